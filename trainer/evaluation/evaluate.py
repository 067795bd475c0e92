"""Evaluation of engines: figures of how close to cartoons, and how calm on videos, a style is.

Engines, photos, cartoons and videos go in; an `Evaluation` comes out. Photos, what the engines make
of them, and cartoons are compared by crops (`trainer.evaluation.measure_crops`); distances between
them are those of `trainer.evaluation.fid_kid`. Videos are measured for flicker
(`trainer.evaluation.warping_error`). Printing is left out (`toonvid.commands.evaluate`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from toonvid.backends import Backend
from toonvid.reading.decoder import VideoDecoder
from toonvid.stylizing.options import StylizeOptions
from toonvid.stylizing.stylizer import Stylizer
from trainer.evaluation.crops import CropFolder
from trainer.evaluation.feature_network import FEATURE_NETWORK, load_feature_network
from trainer.evaluation.fid_kid import PooledFeatures, frechet_distance, kernel_distance
from trainer.evaluation.measure_crops import Measurements, measure_crops
from trainer.evaluation.results import (
    EQUALS_INPUT_BELOW,
    Distance,
    EngineFigures,
    EvaluateOptions,
    Evaluation,
    ImageSet,
)
from trainer.evaluation.warping_error import WarpingErrors, measure_warping_errors


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
    [cartoon] = measure_crops(
        cartoon_crops, [], network, _crop_progress(cartoon_crops, on_progress)
    )
    photo, *stylized = measure_crops(
        photo_crops, stylizers, network, _crop_progress(photo_crops, on_progress)
    )

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


def _measure_video(
    video: str | Path,
    stylizers: Sequence[Stylizer],
    options: EvaluateOptions,
    on_progress: Callable[[EvaluationProgress], None],
) -> WarpingErrors:
    def report(frames: int) -> None:
        on_progress(EvaluationProgress(Path(video).name, frames, options.frames))

    return measure_warping_errors(video, stylizers, options.frames, report)


def _crop_progress(
    folder: CropFolder, on_progress: Callable[[EvaluationProgress], None]
) -> Callable[[int], None]:
    return lambda done: on_progress(EvaluationProgress(folder.kind, done, folder.crops))


def _distance(one: PooledFeatures, other: PooledFeatures) -> Distance:
    return Distance(kernel=kernel_distance(one, other), frechet=frechet_distance(one, other))


def _image_set(measurements: Measurements, folder: CropFolder) -> ImageSet:
    images = measurements.pooled().images
    return ImageSet(
        images=len(np.unique(images)),
        crops=len(images),
        surface=measurements.surface(),
        skipped=dict(folder.skipped),
    )


def _engine_figures(
    backend: Backend,
    stylized: Measurements,
    photo: Measurements,
    cartoon: Measurements,
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
