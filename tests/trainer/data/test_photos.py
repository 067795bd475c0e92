"""Crops of photos and their drawings; unusable photos are skipped and named."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from support.drawn_images import draw_discs, write_image
from support.heic import write_heic_grid
from support.icc import exchanged_profile, srgb_profile

import trainer.data.photos
from toonvid.errors import TrainingError
from toonvid.video import Pixels
from trainer.data.drawing import draw_stacked
from trainer.data.images import UnusableImageError, find_images, read_image, resize_to
from trainer.data.photos import (
    FLAT_DRAWING,
    LAYERED_DRAWING,
    CropSampling,
    DrawingMethod,
    PhotoCrops,
)


def open_photos(
    folder: Path, cache: Path, seed: int = 1, drawing: DrawingMethod | None = FLAT_DRAWING
) -> PhotoCrops:
    return PhotoCrops(folder, cache, drawing, frame_heights=(36, 48), crop=32, seed=seed)


def mean_difference(first: Pixels, second: Pixels) -> float:
    return float(np.abs(first.astype(int) - second).mean())


def test_a_drawing_is_of_the_same_crop_as_its_photo(photos: Path, tmp_path: Path) -> None:
    crops = open_photos(photos, tmp_path)
    pairs = [crops.crop(index) for index in range(8)]
    own = np.mean([mean_difference(photo, drawing) for photo, drawing in pairs])
    others = [mean_difference(pairs[n][0], pairs[n - 1][1]) for n in range(8)]
    mirrored = [mean_difference(photo, drawing[:, ::-1]) for photo, drawing in pairs]
    assert own < 0.5 * min(np.mean(others), np.mean(mirrored))


def test_without_a_drawing_only_the_photo_is_returned(photos: Path, tmp_path: Path) -> None:
    (photo,) = open_photos(photos, tmp_path, drawing=None).crop(3)
    assert photo.shape == (32, 32, 3)
    assert not list(tmp_path.iterdir())


def test_an_epoch_shows_every_photo_once(photos: Path, tmp_path: Path) -> None:
    crops = open_photos(photos, tmp_path)
    shown = [crops.images.first_usable(index, lambda path: path.name) for index in range(10)]
    assert sorted(shown[:5]) == sorted(shown[5:]) == [path.name for path in crops.images.paths]
    assert shown[:5] != shown[5:]


def test_a_photo_is_drawn_once(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = find_images(photos)[0]
    first = open_photos(photos, tmp_path).prepare(path, 48)
    monkeypatch.setattr(trainer.data.photos, "draw_flat", None)
    second = open_photos(photos, tmp_path).prepare(path, 48)
    np.testing.assert_array_equal(first, second)


def test_a_damaged_drawing_is_drawn_again(photos: Path, tmp_path: Path) -> None:
    path = find_images(photos)[0]
    first = open_photos(photos, tmp_path).prepare(path, 48)
    (cached,) = tmp_path.iterdir()
    cached.write_bytes(b"truncated")
    np.testing.assert_array_equal(first, open_photos(photos, tmp_path).prepare(path, 48))


def test_a_copy_of_the_folder_gives_the_same_crops(photos: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(photos, copy, copy_function=shutil.copyfile)  # without the times of the files
    for path in copy.iterdir():
        os.utime(path, (0, 0))
    here, there = (
        open_photos(folder, tmp_path / f"cache {number}")
        for number, folder in enumerate((photos, copy))
    )
    for index in range(6):
        np.testing.assert_array_equal(here.crop(index), there.crop(index))


def test_another_photo_of_the_same_name_is_drawn_anew(tmp_path: Path) -> None:
    path = tmp_path / "photos" / "photo.png"
    path.parent.mkdir()
    drawn = []
    for seed in (1, 2):
        write_image(path, draw_discs(50, 50, seed))
        os.utime(path, (0, 0))
        drawn.append(open_photos(path.parent, tmp_path / "cache").prepare(path, 48)[1])
    assert mean_difference(*drawn) > 1


def test_unusable_photos_are_skipped_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "photos"
    (folder / "inner").mkdir(parents=True)
    write_image(folder / "good ünd [odd].png", draw_discs(50, 50, 1))
    write_image(folder / "inner" / "small.jpg", draw_discs(20, 50, 2))
    (folder / "text.jpg").write_text("not an image")
    (folder / "empty.png").touch()
    crops = open_photos(folder, tmp_path / "cache")
    for index in range(12):
        crops.crop(index)
    assert {path.name: reason for path, reason in crops.images.skipped.items()} == {
        "small.jpg": "50 x 20, smaller than the crop of 32",
        "text.jpg": "not a readable image",
        "empty.png": "not a readable image",
    }
    assert len(caplog.messages) == 3
    assert any("text.jpg" in message for message in caplog.messages)


def test_a_deleted_photo_is_skipped(tmp_path: Path) -> None:
    for seed in range(2):
        write_image(tmp_path / f"{seed}.png", draw_discs(50, 50, seed))
    crops = open_photos(tmp_path, tmp_path / "cache")
    (tmp_path / "0.png").unlink()
    for index in range(4):
        crops.crop(index)
    assert [path.name for path in crops.images.skipped] == ["0.png"]


def test_a_folder_of_unusable_photos_is_an_error(tmp_path: Path) -> None:
    write_image(tmp_path / "small.png", draw_discs(20, 50, 2))
    with pytest.raises(
        TrainingError, match=r"none of the photos in .* small\.png: 50 x 20, smaller than"
    ):
        open_photos(tmp_path, tmp_path / "cache").crop(0)


def test_a_folder_without_photos_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(TrainingError, match="no photos in"):
        open_photos(tmp_path, tmp_path / "cache")
    with pytest.raises(TrainingError, match="missing is not a folder of photos"):
        find_images(tmp_path / "missing")


def test_a_crop_larger_than_the_frames_is_an_error(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"a crop of 64 does not fit: .* frame height is 48"):
        PhotoCrops(photos, tmp_path, FLAT_DRAWING, frame_heights=(48, 96), crop=64, seed=1)


def test_a_cache_that_cannot_be_written_is_an_error(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TrainingError, match="cannot write to"):
        open_photos(photos, tmp_path / "file")


def test_images_are_rotated_as_exif_says(tmp_path: Path) -> None:
    pixels = draw_discs(30, 50, 1)
    encoded = cv2.imencode(".jpg", pixels)[1].tobytes()
    # An Exif block (APP1) with orientation 6: rotate by 90 degrees clockwise.
    tiff = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    block = b"Exif\0\0" + tiff
    app1 = b"\xff\xe1" + (len(block) + 2).to_bytes(2, "big") + block
    (tmp_path / "rotated.jpg").write_bytes(encoded[:2] + app1 + encoded[2:])
    assert read_image(tmp_path / "rotated.jpg").shape == (50, 30, 3)


@pytest.mark.parametrize("suffix", ["png", "webp", "tif"])
def test_transparent_parts_are_laid_on_white(tmp_path: Path, suffix: str) -> None:
    pixels = draw_discs(30, 50, 1)
    alpha = np.full((30, 50), 255, np.uint8)
    alpha[:, :20] = 0  # hides colors that the file keeps
    alpha[:, 20:30] = 51
    options = {"lossless": True, "exact": True} if suffix == "webp" else {}
    path = tmp_path / f"clear.{suffix}"
    Image.fromarray(np.dstack([pixels, alpha])).save(path, **options)
    found = read_image(path)
    assert (found[:, :20] == 255).all()
    np.testing.assert_allclose(found[:, 20:30], pixels[:, 20:30] * 0.2 + 204, atol=1)
    np.testing.assert_array_equal(found[:, 30:], pixels[:, 30:])


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif"])
def test_colors_of_a_profile_become_srgb(tmp_path: Path, suffix: str) -> None:
    pixels = np.full((32, 48, 3), (200, 120, 40), np.uint8)
    options = {"lossless": True} if suffix == "webp" else {}
    path = tmp_path / f"photo.{suffix}"
    Image.fromarray(pixels).save(path, icc_profile=exchanged_profile(), **options)
    np.testing.assert_allclose(read_image(path), pixels[..., ::-1], atol=6)


def test_photos_of_telephones_are_found_and_read(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    heic = tmp_path / "photos" / "1.HEIC"
    write_heic_grid(tmp_path / "grid.heic", [(200, 40, 40), (40, 40, 200)]).rename(heic)
    Image.fromarray(draw_discs(64, 128, 1)).save(tmp_path / "photos" / "2.avif")
    (tmp_path / "photos" / "torn.heic").write_bytes(heic.read_bytes()[:400])
    found = find_images(tmp_path / "photos")
    assert [path.name for path in found] == ["1.HEIC", "2.avif", "torn.heic"]
    red, blue = read_image(found[0])[32, 32::64].astype(int)
    assert red[0] - red[2] > 100 and blue[2] - blue[0] > 100
    assert read_image(found[1]).shape == (64, 128, 3)
    with pytest.raises(UnusableImageError, match="it is a HEIC image that libheif cannot read"):
        read_image(found[2])


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif", "bmp"])
@pytest.mark.parametrize("profile", [None, srgb_profile()], ids=["plain", "sRGB"])
def test_plain_images_are_read_as_opencv_reads_them(
    tmp_path: Path, suffix: str, profile: bytes | None
) -> None:
    path = tmp_path / f"photo.{suffix}"
    options = {} if profile is None else {"icc_profile": profile}
    Image.fromarray(draw_discs(30, 50, 1)).save(path, **options)
    np.testing.assert_array_equal(read_image(path), cv2.imread(str(path))[..., ::-1])


@pytest.mark.parametrize(("height", "width"), [(30, 90), (90, 31), (7, 7)])
def test_the_short_side_becomes_the_frame_height(height: int, width: int) -> None:
    resized = resize_to(np.zeros((height, width, 3), np.uint8), 36)
    assert min(resized.shape[:2]) == 36
    assert max(resized.shape[:2]) == pytest.approx(
        36 * max(height, width) / min(height, width), abs=1
    )


def test_a_layered_drawing_gives_color_and_ink_beside_the_photo(
    photos: Path, tmp_path: Path
) -> None:
    crops = PhotoCrops(photos, tmp_path, LAYERED_DRAWING, frame_heights=(48,), crop=32, seed=1)
    photo, color, ink = crops.prepare(find_images(photos)[0], 48)
    assert photo.shape == color.shape == ink.shape
    wanted = draw_stacked(photo, 48)
    # The cache is JPEG.
    assert mean_difference(color, wanted[: len(photo)]) < 6
    assert np.ptp(ink, axis=2).max() <= 4
    assert [image.shape for image in crops.crop(0)] == [(32, 32, 3)] * 3


def layered_test_method() -> DrawingMethod:
    """Flat color is the photo itself, and ink is where it is dark."""

    def draw(photo: Pixels, frame_height: int) -> Pixels:
        dark = (photo.mean(axis=-1, keepdims=True) < 60) * np.uint8(255)
        return np.vstack([photo, np.repeat(dark, 3, axis=2)])

    return DrawingMethod(draw, "test", layers=2)


def test_photos_are_not_enlarged_beyond_the_limit(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for side in (50, 100):
        noise = np.random.default_rng(side).integers(0, 255, (side, side, 3), np.uint8)
        write_image(tmp_path / "photos" / f"{side}.png", noise)
    asked: list[tuple[int, int]] = []

    def draw(photo: Pixels, frame_height: int) -> Pixels:
        asked.append((round(photo.std()), frame_height))
        return np.vstack([photo, photo])

    crops = PhotoCrops(
        tmp_path / "photos",
        tmp_path / "cache",
        DrawingMethod(draw, "test", layers=2),
        frame_heights=(48, 96, 192),
        crop=32,
        seed=1,
        sampling=CropSampling(max_enlargement=1.1),
    )
    for index in range(24):
        crops.crop(index)
    heights = sorted(height for _, height in asked)
    assert heights == [48, 48, 96], "the small photo at 48 alone, the large one at 48 and 96"


def test_crops_with_features_in_skin_are_taken_more_often(tmp_path: Path) -> None:
    skin = np.full((40, 40, 3), (214, 160, 130), np.uint8)
    skin[16:24, 4:36] = 20
    (tmp_path / "photos").mkdir()
    for index in range(7):
        write_image(tmp_path / "photos" / f"wall{index}.png", np.full_like(skin, 120))
    write_image(tmp_path / "photos" / "face.png", skin)

    def faces(share: float) -> int:
        crops = PhotoCrops(
            tmp_path / "photos",
            tmp_path / "cache",
            layered_test_method(),
            frame_heights=(40,),
            crop=32,
            seed=1,
            sampling=CropSampling(skin_share=share),
        )
        return sum(int(crops.crop(index)[2].any()) for index in range(64))

    assert faces(0.0) == 8
    assert 16 <= faces(1.0) <= 48  # one in eight, and the best of five
