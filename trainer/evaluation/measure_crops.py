"""Measurements on crops: programs stylize regions of images, a network sees the crops of them.

A folder of crops and programs go in; the measurements of the crops themselves, and of what each
program makes of them, come out. Distances between them are computed in
`trainer.evaluation.evaluate`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from toonvid.video import Pixels
from trainer.evaluation.crops import CropFolder
from trainer.evaluation.feature_network import FeatureNetwork, content_similarity
from trainer.evaluation.fid_kid import PooledFeatures
from trainer.evaluation.programs import Program
from trainer.evaluation.results import Surface
from trainer.evaluation.sharpness import flat_patch_share, line_sharpness, tone_steps

_BATCH = 16  # crops of photos that go through the network at once, each with its cartoons


@dataclass(frozen=True)
class _CropBatch:
    """Crops, and what the programs make of them."""

    images: NDArray[np.int64]
    """Number of each crop's image, shape (N,)."""
    pixels: Pixels
    """Shape (N, 1 + programs, H, W, 3): each crop, followed by what each program makes of it."""


@dataclass
class Measurements:
    """Measurements so far on a set of crops, or on the cartoons that one program makes of them."""

    images: list[NDArray[np.int64]] = field(default_factory=list)
    features: list[NDArray[np.float32]] = field(default_factory=list)
    flat_shares: list[float] = field(default_factory=list)
    sharpness: list[float] = field(default_factory=list)
    changes: list[float] = field(default_factory=list)
    tone_steps: list[float] = field(default_factory=list)
    similarities: list[float] = field(default_factory=list)
    unrelated: list[float] = field(default_factory=list)
    """Content similarities of crops of different images."""

    def add_region(self, source: Pixels, stylized: Pixels) -> None:
        """Measures the pixels of a region, (H, W, 3), and what was made of it."""
        self.flat_shares.append(flat_patch_share(stylized))
        self.sharpness.append(line_sharpness(stylized))
        self.tone_steps.append(tone_steps(stylized))
        self.changes.append(float(np.abs(source.astype(np.int16) - stylized).mean()))

    def pooled(self) -> PooledFeatures | None:
        """The features of the crops, or None without a network."""
        if not self.features:
            return None
        return PooledFeatures(np.concatenate(self.features), np.concatenate(self.images))

    def surface(self) -> Surface:
        return Surface(
            flat_patch_share=float(np.mean(self.flat_shares)),
            line_sharpness=float(np.mean(self.sharpness)),
            tone_steps=float(np.mean(self.tone_steps)),
        )


def measure_crops(
    folder: CropFolder,
    programs: Sequence[Program],
    network: FeatureNetwork | None,
    on_progress: Callable[[int], None],
) -> list[Measurements]:
    """Measures the crops of a folder, and what each program makes of them.

    Args:
        folder: Images and the places of their crops.
        programs: May be empty.
        network: None leaves features and similarities out.
        on_progress: Called after each batch with the number of crops done.

    Returns:
        Measurements of the crops themselves, then of each program's cartoons.

    Raises:
        TrainingError: Fewer than two images can be used, or a picture does not fit its photo.
        BackendError: An engine fails.
    """
    measured = [Measurements() for _ in range(1 + len(programs))]
    done = 0
    for batch in _batches(_single_crops(folder, programs, measured)):
        for measurements in measured:
            measurements.images.append(batch.images)
        if network:
            _add_features(network, batch, measured)
        done += len(batch.images)
        on_progress(done)
    return measured


def _add_features(
    network: FeatureNetwork, batch: _CropBatch, measured: Sequence[Measurements]
) -> None:
    maps = network.maps(batch.pixels.reshape(-1, *batch.pixels.shape[2:]))
    maps = maps.unflatten(0, batch.pixels.shape[:2])  # (N, 1 + programs, 1024, H/16, W/16)
    for column, measurements in enumerate(measured):
        measurements.features.append(maps[:, column].mean(dim=(2, 3)).cpu().numpy())
        measurements.similarities += content_similarity(maps[:, 0], maps[:, column]).tolist()
    measured[0].unrelated += _unrelated_similarities(maps[:, 0], batch.images)


def _batches(crops: Iterable[_CropBatch]) -> Iterator[_CropBatch]:
    iterator = iter(crops)
    while batch := list(islice(iterator, _BATCH)):
        yield _CropBatch(
            images=np.concatenate([crop.images for crop in batch]),
            pixels=np.concatenate([crop.pixels for crop in batch]),
        )


def _single_crops(
    folder: CropFolder, programs: Sequence[Program], measured: Sequence[Measurements]
) -> Iterator[_CropBatch]:
    """Yields the crops of a folder one by one, and measures the pixels of their regions.

    A region is stylized as a whole, so that crops do not show the edge that padding leaves.
    """
    for region in folder.regions():
        variants = [region.pixels, *(program.cartoon(region) for program in programs)]
        for measurements, pixels in zip(measured, variants, strict=True):
            measurements.add_region(region.pixels, pixels)
        for index in range(len(region.offsets)):
            crops = np.stack([region.crop(pixels, index) for pixels in variants])
            yield _CropBatch(np.array([region.image]), crops[None])


def _unrelated_similarities(maps: Tensor, images: NDArray[np.int64]) -> list[float]:
    """Content similarity of crops of different images: the first crop of a batch with the last, the
    second with the last but one, and so on."""
    half = len(images) // 2
    differ = torch.from_numpy(images != images[::-1])[:half].to(maps.device)
    return content_similarity(maps[:half][differ], maps.flip(0)[:half][differ]).tolist()
