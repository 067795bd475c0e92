"""Evaluation of engines: figures of how close to cartoons, and how calm on videos, a style is.

Engines, photos, cartoons and videos go in; an `Evaluation` comes out. Photos, what the engines make
of them, and cartoons are compared by crops at the size of a video frame
(`trainer.evaluation.crops`): by features of a network (`trainer.evaluation.feature_network`,
`trainer.evaluation.fid_kid`) and by their pixels (`trainer.evaluation.sharpness`). Videos are
measured for flicker (`trainer.evaluation.warping_error`). Printing is left out
(`toonvid.commands.evaluate`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from toonvid.backends import Backend
from toonvid.reading.decoder import VideoDecoder
from toonvid.stylizing.options import StylizeOptions
from toonvid.stylizing.stylizer import Stylizer
from toonvid.video import Frame, Pixels
from trainer.evaluation.crops import CropFolder
from trainer.evaluation.feature_network import (
    FEATURE_NETWORK,
    content_similarity,
    feature_maps,
    load_feature_network,
)
from trainer.evaluation.fid_kid import PooledFeatures, frechet_distance, kernel_distance
from trainer.evaluation.results import (
    EQUALS_INPUT_BELOW,
    Distance,
    EngineFigures,
    EvaluateOptions,
    Evaluation,
    ImageSet,
    Surface,
)
from trainer.evaluation.sharpness import flat_patch_share, line_sharpness
from trainer.evaluation.warping_error import WarpingErrors, measure_warping_errors
from trainer.networks.content_features import ResNetFeatures

_BATCH = 16  # crops of photos that go through the network at once, each with its cartoons


@dataclass(frozen=True)
class EvaluationProgress:
    """Progress of one stage of an evaluation."""

    stage: str
    """Name of a video, `cartoons` or `photos`."""
    done: int
    """Number of frames or crops done."""
    total: int
    """Largest number of frames or crops; a short video has fewer."""


def evaluate(
    backends: Sequence[Backend],
    photos: Path,
    cartoons: Path,
    videos: Sequence[str | Path],
    content_weights: Path,
    options: EvaluateOptions | None = None,
    on_progress: Callable[[EvaluationProgress], None] = lambda _: None,
) -> Evaluation:
    """Compares engines side by side, on the same crops of the same photos and the same videos.

    Memory holds one batch, and 4 kB for each crop of the photos, the cartoons and each engine.

    Args:
        backends: Open backends, one for each engine.
        photos: Folder of photos that no engine should have been trained on.
        cartoons: Folder of cartoons to compare with.
        videos: Videos to measure the warping error on; may be empty.
        content_weights: Weights of ResNet-50, as safetensors.
        options: None for the defaults.
        on_progress: Called after each frame of a video and each batch of crops.

    Raises:
        TrainingError: Photos, cartoons or weights cannot be used.
        SourceError: A video cannot be used.
        BackendError: An engine fails.
    """
    options = options or EvaluateOptions()

    # Everything that can be refused is opened first, before an hour of work.
    network = load_feature_network(content_weights)
    photo_crops = CropFolder(photos, "photos", options.crops, options.seed)
    cartoon_crops = CropFolder(
        cartoons,
        "cartoons",
        options.crops,
        options.seed,
        first_number=len(photo_crops.paths),  # images with the same number are never paired
    )
    for video in videos:
        with VideoDecoder(video):
            pass

    # Figures of the engine alone: the steady stage would hide its flicker.
    stylizers = [Stylizer(backend, StylizeOptions(steady=0)) for backend in backends]
    errors = tuple(_measure_video(video, stylizers, options, on_progress) for video in videos)
    [cartoon] = _measure_crops(cartoon_crops, [], network, on_progress)
    photo, *stylized = _measure_crops(photo_crops, stylizers, network, on_progress)

    own = _distance(photo.pooled(), cartoon.pooled())
    return Evaluation(
        feature_net=FEATURE_NETWORK,
        options=options,
        photos=_image_set(photo, photo_crops),
        cartoons=_image_set(cartoon, cartoon_crops),
        photos_to_cartoons=own,
        unrelated_similarity=float(np.mean(photo.unrelated)) if photo.unrelated else None,
        engines=tuple(
            _engine_figures(backend, measured, photo, cartoon, own)
            for backend, measured in zip(backends, stylized, strict=True)
        ),
        videos=errors,
    )


@dataclass(frozen=True)
class _CropBatch:
    """Crops, and what the engines make of them."""

    images: NDArray[np.int64]
    """Number of each crop's image, shape (N,)."""
    pixels: Pixels
    """Shape (N, 1 + engines, H, W, 3): each crop, followed by what each engine makes of it."""


@dataclass
class _Measurements:
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


def _measure_crops(
    folder: CropFolder,
    stylizers: Sequence[Stylizer],
    network: ResNetFeatures,
    on_progress: Callable[[EvaluationProgress], None],
) -> list[_Measurements]:
    """Measures the crops of a folder, then what each engine makes of them."""
    measured = [_Measurements() for _ in range(1 + len(stylizers))]
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
        on_progress(EvaluationProgress(folder.kind, done, folder.crops))
    return measured


def _batches(crops: Iterable[_CropBatch]) -> Iterator[_CropBatch]:
    iterator = iter(crops)
    while batch := list(islice(iterator, _BATCH)):
        yield _CropBatch(
            images=np.concatenate([crop.images for crop in batch]),
            pixels=np.concatenate([crop.pixels for crop in batch]),
        )


def _single_crops(
    folder: CropFolder, stylizers: Sequence[Stylizer], measured: Sequence[_Measurements]
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


def _measure_video(
    video: str | Path,
    stylizers: Sequence[Stylizer],
    options: EvaluateOptions,
    on_progress: Callable[[EvaluationProgress], None],
) -> WarpingErrors:
    def report(frames: int) -> None:
        on_progress(EvaluationProgress(Path(video).name, frames, options.frames))

    return measure_warping_errors(video, stylizers, options.frames, report)


def _distance(one: PooledFeatures, other: PooledFeatures) -> Distance:
    return Distance(kernel=kernel_distance(one, other), frechet=frechet_distance(one, other))


def _image_set(measurements: _Measurements, folder: CropFolder) -> ImageSet:
    images = measurements.pooled().images
    return ImageSet(
        images=len(np.unique(images)),
        crops=len(images),
        surface=measurements.surface(),
        skipped=dict(folder.skipped),
    )


def _engine_figures(
    backend: Backend,
    stylized: _Measurements,
    photo: _Measurements,
    cartoon: _Measurements,
    own: Distance,
) -> EngineFigures:
    to_cartoons = _distance(stylized.pooled(), cartoon.pooled())
    change = float(np.mean(stylized.changes))
    return EngineFigures(
        style=backend.engine.card.style,
        runs_on=f"{backend.name} on {backend.device}, {backend.precision}",
        to_cartoons=to_cartoons,
        to_photos=_distance(stylized.pooled(), photo.pooled()),
        kernel_share=_share(to_cartoons.kernel.value, own.kernel.value),
        frechet_share=_share(to_cartoons.frechet, own.frechet),
        content_similarity=float(np.mean(stylized.similarities)),
        surface=stylized.surface(),
        change=change,
        equals_input=change < EQUALS_INPUT_BELOW,
    )


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None
