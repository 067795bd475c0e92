"""Views and crops: the same for everyone, at the size of a film, bad pictures named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.drawn_images import draw_discs, write_image

from toonvid.errors import TrainingError
from trainer.evaluation.views import CROP, FRAME_HEIGHTS, VIEW, View, ViewFolder


def folder_of(path: Path, count: int, height: int = 180, width: int = 200) -> Path:
    path.mkdir()
    for seed in range(count):
        write_image(path / f"{seed}.png", draw_discs(height, width, seed))
    return path


def crops_of(views: list[View]) -> list[np.ndarray]:
    return [view.cut(view.pixels, place) for view in views for place in range(len(view.places))]


def test_crops_are_decided_by_the_seed(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "photos", 3)

    def crops(seed: int) -> list[np.ndarray]:
        return crops_of(list(ViewFolder(folder, "photos", 21, seed).views()))

    one, again, other = crops(1), crops(1), crops(2)
    assert len(one) == len(other) == 21
    assert all(np.array_equal(a, b) for a, b in zip(one, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    assert {crop.shape for crop in one} == {(CROP, CROP, 3)}


def test_every_picture_gives_as_many_crops_or_one_more(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "photos", 3)
    views = list(ViewFolder(folder, "photos", 32, 1, first_number=100).views())
    shares = {number: 0 for number in (100, 101, 102)}
    for view in views:
        shares[view.picture] += len(view.places)
    assert sorted(shares.values()) == [10, 11, 11]


def test_large_pictures_come_down_to_frame_heights_and_small_ones_keep_their_size(
    tmp_path: Path,
) -> None:
    wide = folder_of(tmp_path / "wide", 2, height=600, width=400)
    assert {view.pixels.shape for view in ViewFolder(wide, "photos", 4, 1).views()} == {
        (VIEW, VIEW, 3)
    }
    large = folder_of(tmp_path / "large", 0)
    write_image(large / "0.png", np.full((1440, 1500, 3), 90, np.uint8))
    stripes = np.zeros((1440, 1500, 3), np.uint8)
    stripes[:, ::12] = 255
    write_image(large / "1.png", stripes)
    periods = set()
    for view in ViewFolder(large, "photos", 160, 1).views():
        row = view.pixels[0, :, 0].astype(float)
        if np.ptp(row):
            spectrum = np.abs(np.fft.rfft(row - row.mean()))
            periods.add(round(len(row) / int(spectrum[:150].argmax())))
    assert periods == {round(12 * height / 1440) for height in FRAME_HEIGHTS}  # 4, 5, 6 pixels
    small = folder_of(tmp_path / "small", 2)
    assert {view.pixels.shape for view in ViewFolder(small, "photos", 4, 1).views()} == {
        (180, 200, 3)
    }


def test_what_cannot_be_used_is_named_and_moves_nothing_else(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "photos", 4)
    whole = {view.picture: view.places for view in ViewFolder(folder, "photos", 8, 1).views()}
    (folder / "1.png").write_bytes(b"no picture")
    write_image(folder / "2.png", draw_discs(100, 300, 1))
    hurt = ViewFolder(folder, "photos", 8, 1)
    left = {view.picture: view.places for view in hurt.views()}
    assert hurt.skipped == {
        str(folder / "1.png"): "not a picture that can be read",
        str(folder / "2.png"): "300 x 100, smaller than the crop of 160",
    }
    assert left == {0: whole[0], 3: whole[3]}


def test_fewer_than_two_pictures_are_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="nowhere is not a folder of cartoons"):
        ViewFolder(tmp_path / "nowhere", "cartoons", 4, 1)
    (tmp_path / "empty").mkdir()
    with pytest.raises(TrainingError, match=r"no cartoons in .*empty \(looked for jpg"):
        ViewFolder(tmp_path / "empty", "cartoons", 4, 1)
    with pytest.raises(TrainingError, match=r"two photos or more, and .*one holds one"):
        ViewFolder(folder_of(tmp_path / "one", 1), "photos", 4, 1)
    bad = folder_of(tmp_path / "bad", 2)
    (bad / "1.png").write_bytes(b"")
    with pytest.raises(TrainingError, match=r"takes two photos, and 1 of those.*; 1\.png: not a"):
        list(ViewFolder(bad, "photos", 4, 1).views())
