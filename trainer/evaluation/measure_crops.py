"""Measurements on crops: engines stylize regions of images, a network sees the crops of them.

A folder of crops and engines go in; the measurements of the crops themselves, and of what each
engine makes of them, come out. Distances between them are computed in
`trainer.evaluation.evaluate`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from toonvid.stylizing.stylizer import Stylizer
from toonvid.video import Frame, Pixels
from trainer.evaluation.crops import CropFolder
from trainer.evaluation.feature_network import content_similarity, feature_maps
from trainer.evaluation.fid_kid import PooledFeatures
from trainer.evaluation.results import Surface
from trainer.evaluation.sharpness import flat_patch_share, line_sharpness
from trainer.networks.content_features import ResNetFeatures

_BATCH = 16  # crops of photos that go through the network at once, each with its cartoons


@dataclass(frozen=True)
class _CropBatch:
    """Crops, and what the engines make of them."""

    images: NDArray[np.int64]
    """Number of each crop's image, shape (N,)."""
    pixels: Pixels
    """Shape (N, 1 + engines, H, W, 3): each crop, followed by what each engine makes of it."""


@dataclass
class Measurements:
    """Measurements so far on a set of crops, or on the cartoons that one engine makes of them."""

    images: list[NDArray[np.int64]] = field(default_factory=list)
    features: list[NDArray[np.float32]] = field(default_factory=list)
    flat_shares: list[float] = field(default_factory=list)
    sharpness: list[float] = field(default_factory=list)
    changes: list[float] = field(default_factory=list)
    similarities: list[float] = field(default_factory=list)
    unrelated: list[float] = field(default_factory=list)
    """Content similarities of crops of different images."""

    def add_region(self, source: Pixels, stylized: Pixels) -> None:
        """Measures the pixels of a region, (H, W, 3), and what was made of it."""
        self.flat_shares.append(flat_patch_share(stylized))
        self.sharpness.append(line_sharpness(stylized))
        self.changes.append(float(np.abs(source.astype(np.int16) - stylized).mean()))

    def pooled(self) -> PooledFeatures:
        return PooledFeatures(np.concatenate(self.features), np.concatenate(self.images))

    def surface(self) -> Surface:
        return Surface(
            flat_patch_share=float(np.mean(self.flat_shares)),
            line_sharpness=float(np.mean(self.sharpness)),
        )


def measure_crops(
    folder: CropFolder,
    stylizers: Sequence[Stylizer],
    network: ResNetFeatures,
    on_progress: Callable[[int], None],
) -> list[Measurements]:
    """Measures the crops of a folder, and what each engine makes of them.

    Args:
        folder: Images and the places of their crops.
        stylizers: One for each engine; may be empty.
        network: From `trainer.evaluation.feature_network.load_feature_network`.
        on_progress: Called after each batch with the number of crops done.

    Returns:
        Measurements of the crops themselves, then of each engine's cartoons.

    Raises:
        TrainingError: Fewer than two images can be used.
        BackendError: An engine fails.
    """
    measured = [Measurements() for _ in range(1 + len(stylizers))]
    done = 0
    for batch in _batches(_single_crops(folder, stylizers, measured)):
        maps = feature_maps(network, batch.pixels.reshape(-1, *batch.pixels.shape[2:]))
        maps = maps.unflatten(0, batch.pixels.shape[:2])  # (N, 1 + engines, 1024, H/16, W/16)
        for column, measurements in enumerate(measured):
            measurements.images.append(batch.images)
            measurements.features.append(maps[:, column].mean(dim=(2, 3)).cpu().numpy())
            measurements.similarities += content_similarity(maps[:, 0], maps[:, column]).tolist()
        measured[0].unrelated += _unrelated_similarities(maps[:, 0], batch.images)
        done += len(batch.images)
        on_progress(done)
    return measured


def _batches(crops: Iterable[_CropBatch]) -> Iterator[_CropBatch]:
    iterator = iter(crops)
    while batch := list(islice(iterator, _BATCH)):
        yield _CropBatch(
            images=np.concatenate([crop.images for crop in batch]),
            pixels=np.concatenate([crop.pixels for crop in batch]),
        )


def _single_crops(
    folder: CropFolder, stylizers: Sequence[Stylizer], measured: Sequence[Measurements]
) -> Iterator[_CropBatch]:
    """Yields the crops of a folder one by one, and measures the pixels of their regions.

    A region is stylized as a whole, so that crops do not show the edge that padding leaves.
    """
    for region in folder.regions():
        variants = [region.pixels, *(_stylize(each, region.pixels) for each in stylizers)]
        for measurements, pixels in zip(measured, variants, strict=True):
            measurements.add_region(region.pixels, pixels)
        for index in range(len(region.offsets)):
            crops = np.stack([region.crop(pixels, index) for pixels in variants])
            yield _CropBatch(np.array([region.image]), crops[None])


def _stylize(stylizer: Stylizer, pixels: Pixels) -> Pixels:
    [cartoon] = stylizer.stylize([Frame(pixels, pts=0, time_base=Fraction(1))])
    return cartoon.pixels


def _unrelated_similarities(maps: Tensor, images: NDArray[np.int64]) -> list[float]:
    """Content similarity of crops of different images: the first crop of a batch with the last, the
    second with the last but one, and so on."""
    half = len(images) // 2
    differ = torch.from_numpy(images != images[::-1])[:half].to(maps.device)
    return content_similarity(maps[:half][differ], maps.flip(0)[:half][differ]).tolist()
