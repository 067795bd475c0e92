"""Batches depend on images, seed and number only."""

from __future__ import annotations

import shutil
from contextlib import closing
from itertools import islice
from pathlib import Path

import pytest
import torch

from trainer.data.cartoons import CartoonCrops
from trainer.data.color_transfer import ColorStatistics, ColorTransfer
from trainer.data.dataset import Batch, Dataset
from trainer.data.photos import FLAT_DRAWING, PhotoCrops

FIRST_ADVERSARIAL = 2


@pytest.fixture
def dataset(photos: Path, cartoons: Path, tmp_path: Path) -> Dataset:
    return open_dataset(photos, cartoons, tmp_path)


def open_dataset(
    photos: Path,
    cartoons: Path,
    cache: Path,
    seed: int = 1,
    cartoon_colors: float = 0.0,
    first_matched: int | None = None,
) -> Dataset:
    photo_crops = PhotoCrops(
        photos, cache, FLAT_DRAWING, frame_heights=(36, 48), crop=32, seed=seed
    )
    cartoon_crops = CartoonCrops(cartoons, (0.8, 1.0), crop=32, seed=seed)

    def match(drawings: torch.Tensor, wanted: torch.Tensor) -> ColorTransfer:
        statistics = (ColorStatistics.measure(images) for images in (drawings, wanted))
        return ColorTransfer.between(*statistics, cartoon_colors)

    match_colors = match if cartoon_colors else None
    return Dataset(photo_crops, cartoon_crops, 4, FIRST_ADVERSARIAL, match_colors, first_matched)


def unchanged(number: int, batch: Batch) -> Batch:
    return batch


def assert_same(first: Batch, second: Batch) -> None:
    for name in ("photos", "drawings", "cartoons", "smoothed"):
        torch.testing.assert_close(getattr(first, name), getattr(second, name), atol=0, rtol=0)


def test_a_batch_is_the_same_from_any_start_number_of_workers_and_cache(
    dataset: Dataset, photos: Path, cartoons: Path, tmp_path: Path
) -> None:
    fresh = dataset.batch(3)
    other = open_dataset(photos, cartoons, tmp_path / "other")
    with closing(other.batches(first=0, workers=3, prepare=unchanged)) as batches:
        assert_same(fresh, list(islice(batches, 4))[3])
    with closing(other.batches(first=3, workers=1, prepare=unchanged)) as batches:
        assert_same(fresh, next(batches))


def test_batches_are_float_in_the_range_of_the_networks(dataset: Dataset) -> None:
    batch = dataset.batch(FIRST_ADVERSARIAL)
    for images in (batch.photos, batch.drawings, batch.cartoons, batch.smoothed):
        assert images is not None
        assert images.shape == (4, 3, 32, 32)
        assert images.dtype == torch.float32
        assert -1 <= images.min() < images.max() <= 1
        assert images.is_contiguous(memory_format=torch.channels_last)


def test_drawings_get_the_colors_of_cartoons_in_the_adversarial_phase(
    photos: Path, cartoons: Path, tmp_path: Path
) -> None:
    plain, recolored = (open_dataset(photos, cartoons, tmp_path, 1, share) for share in (0.0, 1.0))
    assert_same(*(one.batch(FIRST_ADVERSARIAL - 1) for one in (plain, recolored)))
    before, after = (one.batch(FIRST_ADVERSARIAL) for one in (plain, recolored))
    torch.testing.assert_close(before.photos, after.photos, atol=0, rtol=0)
    assert before.drawings is not None and after.drawings is not None
    assert before.cartoons is not None
    assert after.drawings.is_contiguous(memory_format=torch.channels_last)
    target = ColorStatistics.measure(before.cartoons).mean
    far, near = (
        (ColorStatistics.measure(one).mean - target).abs().sum()
        for one in (before.drawings, after.drawings)
    )
    assert near < 0.7 * far  # not 0: values out of range are clamped


def test_colors_can_be_matched_from_the_first_batch_on(
    photos: Path, cartoons: Path, tmp_path: Path
) -> None:
    plain, late, early = (
        open_dataset(photos, cartoons, tmp_path, 1, share, first).batch(0).drawings
        for share, first in ((0.0, None), (1.0, None), (1.0, 0))
    )
    assert plain is not None and late is not None and early is not None
    assert torch.equal(plain, late)
    assert not torch.equal(plain, early)


def test_cartoons_come_with_the_adversarial_phase(dataset: Dataset) -> None:
    assert dataset.batch(FIRST_ADVERSARIAL - 1).cartoons is None
    assert dataset.batch(FIRST_ADVERSARIAL).cartoons is not None


def test_another_seed_gives_other_batches(photos: Path, cartoons: Path, tmp_path: Path) -> None:
    first, second = (open_dataset(photos, cartoons, tmp_path, seed).batch(2) for seed in (1, 2))
    assert not torch.equal(first.photos, second.photos)
    assert not torch.equal(first.cartoons, second.cartoons)


def test_skipped_images_of_both_kinds_are_named(
    dataset: Dataset, photos: Path, cartoons: Path, tmp_path: Path
) -> None:
    folders = []
    for folder in (photos, cartoons):
        copy = tmp_path / folder.name
        copy.mkdir()
        for path in folder.iterdir():
            (copy / path.name).write_bytes(path.read_bytes())
        (copy / f"bad {folder.name}.jpg").write_text("not an image")
        folders.append(copy)
    dataset = open_dataset(folders[0], folders[1], tmp_path / "cache")
    for number in range(2, 6):
        dataset.batch(number)
    assert {path.name for path in dataset.skipped} == {f"bad {f.name}.jpg" for f in folders}


def test_a_batch_can_be_sliced_and_cut_to_its_middle(dataset: Dataset) -> None:
    batch = dataset.batch(2)
    part = batch.part(1, 3)
    torch.testing.assert_close(part.smoothed, batch.smoothed[1:3])
    middle = batch.middle(16)
    torch.testing.assert_close(middle.cartoons, batch.cartoons[..., 8:24, 8:24])
    assert dataset.batch(0).part(0, 1).cartoons is None


def test_the_hash_of_names_tells_folders_with_other_images_apart(
    photos: Path, cartoons: Path, tmp_path: Path
) -> None:
    shutil.copytree(photos, tmp_path / "copy")
    before = open_dataset(photos, cartoons, tmp_path / "cache").names_hash()
    assert open_dataset(tmp_path / "copy", cartoons, tmp_path / "cache").names_hash() == before
    next((tmp_path / "copy").iterdir()).rename(tmp_path / "copy" / "other.png")
    assert open_dataset(tmp_path / "copy", cartoons, tmp_path / "cache").names_hash() != before
