"""Batches depend on photos, seed and step alone; bad photos are skipped and named."""

from __future__ import annotations

from contextlib import closing
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from pictures import draw_discs, write_picture

import trainer.dataset
from toonvid.errors import TrainingError
from trainer.dataset import Batch, PhotoDataset, find_pictures, read_picture, resize_to


def open_dataset(folder: Path, cache: Path, seed: int = 1) -> PhotoDataset:
    return PhotoDataset(folder, cache, frame_heights=(36, 48), crop=32, seed=seed)


def assert_same(first: Batch, second: Batch) -> None:
    torch.testing.assert_close(first.photos, second.photos, atol=0, rtol=0)
    torch.testing.assert_close(first.abstractions, second.abstractions, atol=0, rtol=0)


def test_a_batch_is_the_same_from_any_start_number_of_workers_and_cache(
    photos: Path, tmp_path: Path
) -> None:
    fresh = open_dataset(photos, tmp_path / "one").batch(3, 4)
    dataset = open_dataset(photos, tmp_path / "two")
    with closing(dataset.batches(4, first=0, workers=3)) as batches:
        assert_same(fresh, list(islice(batches, 4))[3])
    with closing(dataset.batches(4, first=3, workers=1)) as batches:
        assert_same(fresh, next(batches))


def test_batches_are_float_in_the_networks_range(photos: Path, tmp_path: Path) -> None:
    batch = open_dataset(photos, tmp_path).batch(0, 4)
    for pictures in (batch.photos, batch.abstractions):
        assert pictures.shape == (4, 3, 32, 32)
        assert pictures.dtype == torch.float32
        assert -1 <= pictures.min() < pictures.max() <= 1
        assert pictures.is_contiguous(memory_format=torch.channels_last)


def test_an_abstraction_is_of_the_same_crop_as_its_photo(photos: Path, tmp_path: Path) -> None:
    batch = open_dataset(photos, tmp_path).batch(0, 8)
    apart = (batch.photos - batch.abstractions).abs().mean()
    shuffled = (batch.photos - batch.abstractions.roll(1, dims=0)).abs().mean()
    mirrored = (batch.photos - batch.abstractions.flip(3)).abs().mean()
    assert apart < 0.5 * min(shuffled, mirrored)


def test_another_seed_gives_other_batches(photos: Path, tmp_path: Path) -> None:
    first = open_dataset(photos, tmp_path, seed=1).batch(0, 4)
    second = open_dataset(photos, tmp_path, seed=2).batch(0, 4)
    assert not torch.equal(first.photos, second.photos)


def test_an_epoch_shows_every_photo_once(photos: Path, tmp_path: Path) -> None:
    dataset = open_dataset(photos, tmp_path)
    shown: list[int] = []

    def note(index: int, frame_height: int) -> tuple[np.ndarray, np.ndarray]:
        shown.append(index)
        return PhotoDataset.prepare(dataset, index, frame_height)

    dataset.prepare = note  # type: ignore[method-assign]
    for number in range(2):
        dataset.batch(number, 5)
    assert sorted(shown[:5]) == sorted(shown[5:]) == list(range(5))
    assert shown[:5] != shown[5:]


def test_an_abstraction_is_drawn_once(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = open_dataset(photos, tmp_path).prepare(0, 48)
    monkeypatch.setattr(trainer.dataset, "draw_abstraction", None)
    second = open_dataset(photos, tmp_path).prepare(0, 48)
    np.testing.assert_array_equal(first, second)


def test_a_damaged_abstraction_is_drawn_again(photos: Path, tmp_path: Path) -> None:
    first = open_dataset(photos, tmp_path).prepare(0, 48)
    (cached,) = tmp_path.iterdir()
    cached.write_bytes(b"cut off")
    np.testing.assert_array_equal(first, open_dataset(photos, tmp_path).prepare(0, 48))


def test_unusable_photos_are_skipped_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "photos"
    (folder / "inner").mkdir(parents=True)
    write_picture(folder / "good ünd [odd].png", draw_discs(50, 50, 1))
    write_picture(folder / "inner" / "small.jpg", draw_discs(20, 50, 2))
    (folder / "text.jpg").write_text("no picture")
    (folder / "empty.png").touch()
    dataset = open_dataset(folder, tmp_path / "cache")
    for number in range(3):
        dataset.batch(number, 4)
    assert {path.name: reason for path, reason in dataset.skipped.items()} == {
        "small.jpg": "50 x 20, smaller than the crop of 32",
        "text.jpg": "not a picture that can be read",
        "empty.png": "not a picture that can be read",
    }
    assert len(caplog.messages) == 3
    assert any("text.jpg" in message for message in caplog.messages)


def test_a_photo_that_vanishes_is_skipped(tmp_path: Path) -> None:
    for seed in range(2):
        write_picture(tmp_path / f"{seed}.png", draw_discs(50, 50, seed))
    dataset = open_dataset(tmp_path, tmp_path / "cache")
    (tmp_path / "0.png").unlink()
    dataset.batch(0, 4)
    assert [path.name for path in dataset.skipped] == ["0.png"]


def test_a_folder_of_unusable_photos_is_an_error(tmp_path: Path) -> None:
    write_picture(tmp_path / "small.png", draw_discs(20, 50, 2))
    with pytest.raises(TrainingError, match=r"no photo in .* small\.png: 50 x 20, smaller than"):
        open_dataset(tmp_path, tmp_path / "cache").batch(0, 2)


def test_a_folder_without_photos_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(TrainingError, match="no photos in"):
        open_dataset(tmp_path, tmp_path / "cache")
    with pytest.raises(TrainingError, match="missing is not a folder of photos"):
        find_pictures(tmp_path / "missing")


def test_a_crop_larger_than_the_frames_is_an_error(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"a crop of 64 does not fit: .* frame height is 48"):
        PhotoDataset(photos, tmp_path, frame_heights=(48, 96), crop=64, seed=1)


def test_a_cache_that_cannot_be_written_is_an_error(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TrainingError, match="cannot write to"):
        open_dataset(photos, tmp_path / "file")


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
