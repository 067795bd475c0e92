"""Crops are the same for every engine, at the size of a video frame; bad images are named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.drawn_images import draw_discs, write_image

from toonvid.errors import TrainingError
from trainer.evaluation.crops import CROP, FRAME_HEIGHTS, REGION, CropFolder, Region


def folder_of(path: Path, count: int, height: int = 180, width: int = 200) -> Path:
    path.mkdir()
    for seed in range(count):
        write_image(path / f"{seed}.png", draw_discs(height, width, seed))
    return path


def crops_of(regions: list[Region]) -> list[np.ndarray]:
    return [
        region.crop(region.pixels, index)
        for region in regions
        for index in range(len(region.offsets))
    ]


def test_crops_are_decided_by_the_seed(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "photos", 3)

    def crops(seed: int) -> list[np.ndarray]:
        return crops_of(list(CropFolder(folder, "photos", 21, seed).regions()))

    one, again, other = crops(1), crops(1), crops(2)
    assert len(one) == len(other) == 21
    assert all(np.array_equal(a, b) for a, b in zip(one, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    assert {crop.shape for crop in one} == {(CROP, CROP, 3)}


def test_every_image_contributes_as_many_crops_or_one_more(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "photos", 3)
    regions = list(CropFolder(folder, "photos", 32, 1, first_number=100).regions())
    shares = {number: 0 for number in (100, 101, 102)}
    for region in regions:
        shares[region.image] += len(region.offsets)
    assert sorted(shares.values()) == [10, 11, 11]


def test_large_images_are_shrunk_to_frame_heights_and_small_ones_keep_their_size(
    tmp_path: Path,
) -> None:
    wide = folder_of(tmp_path / "wide", 2, height=600, width=400)
    assert {region.pixels.shape for region in CropFolder(wide, "photos", 4, 1).regions()} == {
        (REGION, REGION, 3)
    }
    large = folder_of(tmp_path / "large", 0)
    write_image(large / "0.png", np.full((1440, 1500, 3), 90, np.uint8))
    stripes = np.zeros((1440, 1500, 3), np.uint8)
    stripes[:, ::12] = 255
    write_image(large / "1.png", stripes)
    periods = set()
    for region in CropFolder(large, "photos", 160, 1).regions():
        row = region.pixels[0, :, 0].astype(float)
        if np.ptp(row):
            spectrum = np.abs(np.fft.rfft(row - row.mean()))
            periods.add(round(len(row) / int(spectrum[:150].argmax())))
    assert periods == {round(12 * height / 1440) for height in FRAME_HEIGHTS}  # 4, 5, 6 pixels
    small = folder_of(tmp_path / "small", 2)
    assert {region.pixels.shape for region in CropFolder(small, "photos", 4, 1).regions()} == {
        (180, 200, 3)
    }


def test_an_unusable_image_is_named_and_moves_no_other_crop(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "photos", 4)
    whole = {
        region.image: region.offsets for region in CropFolder(folder, "photos", 8, 1).regions()
    }
    (folder / "1.png").write_bytes(b"no image")
    write_image(folder / "2.png", draw_discs(100, 300, 1))
    hurt = CropFolder(folder, "photos", 8, 1)
    left = {region.image: region.offsets for region in hurt.regions()}
    assert hurt.skipped == {
        str(folder / "1.png"): "not a readable image",
        str(folder / "2.png"): "300 x 100, smaller than the crop of 160",
    }
    assert left == {0: whole[0], 3: whole[3]}


def test_other_whole_images_take_the_place_of_unusable_ones(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "photos", 7)
    (folder / "3.png").write_bytes(b"no image")
    images = CropFolder(folder, "photos", 8, 1)
    assert [region.path.stem for region in images.whole_images(3)] == ["0", "6", "1"]
    assert len(list(images.whole_images(7))) == 6


def test_fewer_than_two_images_are_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="nowhere is not a folder of cartoons"):
        CropFolder(tmp_path / "nowhere", "cartoons", 4, 1)
    (tmp_path / "empty").mkdir()
    with pytest.raises(TrainingError, match=r"no cartoons in .*empty \(looked for jpg"):
        CropFolder(tmp_path / "empty", "cartoons", 4, 1)
    with pytest.raises(TrainingError, match=r"two photos or more, and .*one holds one"):
        CropFolder(folder_of(tmp_path / "one", 1), "photos", 4, 1)
    bad = folder_of(tmp_path / "bad", 2)
    (bad / "1.png").write_bytes(b"")
    with pytest.raises(
        TrainingError, match=r"evaluating takes two photos, and 1 of those.*; 1\.png: not a"
    ):
        list(CropFolder(bad, "photos", 4, 1).regions())
