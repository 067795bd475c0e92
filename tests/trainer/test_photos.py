"""Crops of photos and their abstractions; bad photos are skipped and named."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from pictures import draw_discs, write_picture

import trainer.photos
from toonvid.errors import TrainingError
from toonvid.video import Pixels
from trainer.data.drawing import draw_stacked
from trainer.photos import ABSTRACTION, LAYERED_DRAWING, Drawing, PhotoCrops
from trainer.pictures import find_pictures, read_picture, resize_to


def open_photos(
    folder: Path, cache: Path, seed: int = 1, drawing: Drawing | None = ABSTRACTION
) -> PhotoCrops:
    return PhotoCrops(folder, cache, drawing, frame_heights=(36, 48), crop=32, seed=seed)


def apart(first: Pixels, second: Pixels) -> float:
    return float(np.abs(first.astype(int) - second).mean())


def test_an_abstraction_is_of_the_same_crop_as_its_photo(photos: Path, tmp_path: Path) -> None:
    crops = open_photos(photos, tmp_path)
    pairs = [crops.crop(index) for index in range(8)]
    own = np.mean([apart(photo, drawing) for photo, drawing in pairs])
    others = [apart(pairs[n][0], pairs[n - 1][1]) for n in range(8)]
    mirrored = [apart(photo, drawing[:, ::-1]) for photo, drawing in pairs]
    assert own < 0.5 * min(np.mean(others), np.mean(mirrored))


def test_without_a_drawing_the_photo_is_alone(photos: Path, tmp_path: Path) -> None:
    (alone,) = open_photos(photos, tmp_path, drawing=None).crop(3)
    assert alone.shape == (32, 32, 3)
    assert not list(tmp_path.iterdir())


def test_an_epoch_shows_every_photo_once(photos: Path, tmp_path: Path) -> None:
    crops = open_photos(photos, tmp_path)
    shown = [crops.pictures.first_usable(index, lambda path: path.name) for index in range(10)]
    assert sorted(shown[:5]) == sorted(shown[5:]) == [path.name for path in crops.pictures.paths]
    assert shown[:5] != shown[5:]


def test_an_abstraction_is_drawn_once(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = find_pictures(photos)[0]
    first = open_photos(photos, tmp_path).prepare(path, 48)
    monkeypatch.setattr(trainer.photos, "draw_abstraction", None)
    second = open_photos(photos, tmp_path).prepare(path, 48)
    np.testing.assert_array_equal(first, second)


def test_a_damaged_abstraction_is_drawn_again(photos: Path, tmp_path: Path) -> None:
    path = find_pictures(photos)[0]
    first = open_photos(photos, tmp_path).prepare(path, 48)
    (cached,) = tmp_path.iterdir()
    cached.write_bytes(b"cut off")
    np.testing.assert_array_equal(first, open_photos(photos, tmp_path).prepare(path, 48))


def test_a_copy_of_the_folder_gives_the_same_crops(photos: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(photos, copy, copy_function=shutil.copyfile)  # as new files
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
        write_picture(path, draw_discs(50, 50, seed))
        os.utime(path, (0, 0))
        drawn.append(open_photos(path.parent, tmp_path / "cache").prepare(path, 48)[1])
    assert apart(*drawn) > 1


def test_unusable_photos_are_skipped_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "photos"
    (folder / "inner").mkdir(parents=True)
    write_picture(folder / "good ünd [odd].png", draw_discs(50, 50, 1))
    write_picture(folder / "inner" / "small.jpg", draw_discs(20, 50, 2))
    (folder / "text.jpg").write_text("no picture")
    (folder / "empty.png").touch()
    crops = open_photos(folder, tmp_path / "cache")
    for index in range(12):
        crops.crop(index)
    assert {path.name: reason for path, reason in crops.pictures.skipped.items()} == {
        "small.jpg": "50 x 20, smaller than the crop of 32",
        "text.jpg": "not a picture that can be read",
        "empty.png": "not a picture that can be read",
    }
    assert len(caplog.messages) == 3
    assert any("text.jpg" in message for message in caplog.messages)


def test_a_photo_that_vanishes_is_skipped(tmp_path: Path) -> None:
    for seed in range(2):
        write_picture(tmp_path / f"{seed}.png", draw_discs(50, 50, seed))
    crops = open_photos(tmp_path, tmp_path / "cache")
    (tmp_path / "0.png").unlink()
    for index in range(4):
        crops.crop(index)
    assert [path.name for path in crops.pictures.skipped] == ["0.png"]


def test_a_folder_of_unusable_photos_is_an_error(tmp_path: Path) -> None:
    write_picture(tmp_path / "small.png", draw_discs(20, 50, 2))
    with pytest.raises(
        TrainingError, match=r"none of the photos in .* small\.png: 50 x 20, smaller than"
    ):
        open_photos(tmp_path, tmp_path / "cache").crop(0)


def test_a_folder_without_photos_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(TrainingError, match="no photos in"):
        open_photos(tmp_path, tmp_path / "cache")
    with pytest.raises(TrainingError, match="missing is not a folder of photos"):
        find_pictures(tmp_path / "missing")


def test_a_crop_larger_than_the_frames_is_an_error(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"a crop of 64 does not fit: .* frame height is 48"):
        PhotoCrops(photos, tmp_path, ABSTRACTION, frame_heights=(48, 96), crop=64, seed=1)


def test_a_cache_that_cannot_be_written_is_an_error(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TrainingError, match="cannot write to"):
        open_photos(photos, tmp_path / "file")


def test_pictures_are_turned_as_their_camera_was_held(tmp_path: Path) -> None:
    pixels = draw_discs(30, 50, 1)
    encoded = cv2.imencode(".jpg", pixels)[1].tobytes()
    # An Exif block (APP1) that says: orientation 6, turn right.
    tiff = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    block = b"Exif\0\0" + tiff
    app1 = b"\xff\xe1" + (len(block) + 2).to_bytes(2, "big") + block
    (tmp_path / "held.jpg").write_bytes(encoded[:2] + app1 + encoded[2:])
    assert read_picture(tmp_path / "held.jpg").shape == (50, 30, 3)


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
    photo, color, ink = crops.prepare(find_pictures(photos)[0], 48)
    assert photo.shape == color.shape == ink.shape
    wanted = draw_stacked(photo, 48)
    # The cache is JPEG.
    assert apart(color, wanted[: len(photo)]) < 6
    assert np.ptp(ink, axis=2).max() <= 4
    assert [picture.shape for picture in crops.crop(0)] == [(32, 32, 3)] * 3
