"""Evaluation of engines: figures of how close to cartoons, and how calm on videos, a style is.

Programs, photos, cartoons and videos go in; an `Evaluation` comes out. Photos, what the programs
make of them, and cartoons are compared by crops (`trainer.evaluation.measure_crops`), with the
distances of `trainer.evaluation.fid_kid`. Whole photos are measured for ink and for whether they
look like art (`trainer.evaluation.measure_photos`), and videos for flicker
(`trainer.evaluation.warping_error`). Printing is left out (`toonvid.commands.evaluate`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from toonvid.reading.decoder import VideoDecoder
from trainer.evaluation import face_landmarks
from trainer.evaluation.art import ArtSources
from trainer.evaluation.cartoon_classifier import LEAST_SIDE
from trainer.evaluation.crops import CropFolder
from trainer.evaluation.feature_network import WEIGHTS_URL, load_feature_network
from trainer.evaluation.fid_kid import PooledFeatures, frechet_distance, kernel_distance
from trainer.evaluation.measure_crops import Measurements, measure_crops
from trainer.evaluation.measure_photos import check_classifier, learn_art, measure_photos
from trainer.evaluation.programs import EngineProgram, Program
from trainer.evaluation.results import (
    EQUALS_INPUT_BELOW,
    Distance,
    EngineFigures,
    EvaluateOptions,
    Evaluation,
    ImageSet,
    WholeFigures,
)
from trainer.evaluation.warping_error import WarpingErrors, measure_warping_errors


@dataclass(frozen=True)
class EvaluationSources:
    """What programs are evaluated with. What is None or empty is left out."""

    photos: Path
    """Folder of photos that no engine should have been trained on."""
    cartoons: Path | None = None
    """Folder of cartoons to compare with."""
    videos: Sequence[str | Path] = ()
    """Videos to measure the warping error on."""
    content_weights: Path | None = None
    """Weights of ResNet-50."""
    art: ArtSources | None = None
    """Images that the cartoon classifier learns from and is tested with."""


@dataclass(frozen=True)
class EvaluationProgress:
    """Progress of one stage of an evaluation."""

    stage: str
    """Name of a video, `cartoons`, `photos`, `art` or `whole photos`."""
    done: int
    """Number of frames, crops or images done."""
    total: int
    """Largest number of them; a short video has fewer."""


OnProgress = Callable[[EvaluationProgress], None]


def evaluate(
    programs: Sequence[Program],
    sources: EvaluationSources,
    options: EvaluateOptions | None = None,
    on_progress: OnProgress = lambda _: None,
) -> Evaluation:
    """Compares programs side by side, on the same crops of the same photos and the same videos.

    Memory holds one batch, 4 kB for each crop of the photos, the cartoons and each program, and 150
    kB for each whole photo and what each program makes of it.

    Args:
        programs: Engines and folders of pictures. Photos that one of the folders has no picture of
            are left out for all.
        sources: Photos and what to compare them with.
        options: None for the defaults.
        on_progress: Called after each frame of a video, each batch of crops and each photo.

    Raises:
        TrainingError: Photos, cartoons, pictures or weights cannot be used.
        SourceError: A video cannot be used.
        BackendError: An engine fails.
    """
    options = options or EvaluateOptions()

    # Everything that can be refused is opened first, before an hour of work.
    weights = sources.content_weights
    network = load_feature_network(weights) if weights else None
    photo_crops = CropFolder(
        sources.photos,
        "photos",
        options.crops,
        options.seed,
        is_wanted=lambda photo: all(program.has(photo) for program in programs),
    )
    cartoon_crops = sources.cartoons and CropFolder(
        sources.cartoons,
        "cartoons",
        options.crops,
        options.seed,
        first_number=len(photo_crops.paths),  # images with the same number are never paired
    )
    for video in sources.videos:
        with VideoDecoder(video):
            pass

    engines = [program for program in programs if isinstance(program, EngineProgram)]
    engines_first = [*engines, *(program for program in programs if program not in engines)]
    trained = None
    if network and sources.art:
        report = _report("art", len(sources.art.art) + len(sources.art.photos), on_progress)
        trained = learn_art(network, sources.art, report)
    errors = tuple(_measure_video(video, engines, options, on_progress) for video in sources.videos)
    cartoon = None
    if cartoon_crops:
        report = _report(cartoon_crops.kind, cartoon_crops.crops, on_progress)
        [cartoon] = measure_crops(cartoon_crops, [], network, report)
    report = _report(photo_crops.kind, photo_crops.crops, on_progress)
    photo, *stylized = measure_crops(photo_crops, engines_first, network, report)

    count = min(options.whole_photos, len(photo_crops.paths))
    report = _report("whole photos", count, on_progress)
    face_weights = face_landmarks.find_weights()
    whole = measure_photos(
        photo_crops,
        engines_first,
        trained,
        face_landmarks.load_network(face_weights) if face_weights else None,
        count,
        report,
    )
    photos_whole, *programs_whole = whole.figures
    classifier = trained and check_classifier(trained, photo_crops, whole)

    own = _distance(photo.pooled(), cartoon.pooled() if cartoon else None)
    return Evaluation(
        feature_net=network.name if network else None,
        options=options,
        photos=_image_set(photo, photo_crops),
        cartoons=_image_set(cartoon, cartoon_crops) if cartoon and cartoon_crops else None,
        photos_to_cartoons=own,
        unrelated_similarity=float(np.mean(photo.unrelated)) if photo.unrelated else None,
        engines=tuple(
            _engine_figures(program, measured, photo, cartoon, own, figures)
            for program, measured, figures in zip(
                engines_first, stylized, programs_whole, strict=True
            )
        ),
        videos=errors,
        whole_photos=whole.photos,
        photos_whole=photos_whole,
        classifier=classifier,
        left_out=_left_out(sources, is_classified=classifier is not None),
    )


def _left_out(sources: EvaluationSources, is_classified: bool) -> tuple[str, ...]:
    """Name the figures that are missing, and how to get them."""
    found = []
    if not sources.content_weights:
        found.append(
            "KID, Frechet distance, content similarity and cartoon share need the weights of"
            f" ResNet-50: --content-weights FILE, such as {WEIGHTS_URL}"
        )
    if not sources.cartoons:
        found.append("distances to cartoons need --cartoons FOLDER")
    if not sources.art:
        found.append("the cartoon share needs --art FOLDER and --art-photos FOLDER to learn from")
    elif sources.content_weights and not is_classified:
        found.append(
            f"the cartoon share needs photos with a short side of {LEAST_SIDE} pixels or more"
        )
    if not face_landmarks.find_weights():
        found.append(f"faces need a network's weights: {face_landmarks.INSTALL}")
    if not sources.videos:
        found.append("flicker needs --video FILE")
    return tuple(found)


def _measure_video(
    video: str | Path,
    engines: Sequence[EngineProgram],
    options: EvaluateOptions,
    on_progress: OnProgress,
) -> WarpingErrors:
    report = _report(Path(video).name, options.frames, on_progress)
    stylizers = [engine.stylizer for engine in engines]
    return measure_warping_errors(video, stylizers, options.frames, report, options.steady)


def _report(stage: str, total: int, on_progress: OnProgress) -> Callable[[int], None]:
    return lambda done: on_progress(EvaluationProgress(stage, done, total))


def _distance(one: PooledFeatures | None, other: PooledFeatures | None) -> Distance | None:
    if one is None or other is None:
        return None
    return Distance(kernel=kernel_distance(one, other), frechet=frechet_distance(one, other))


def _image_set(measurements: Measurements, folder: CropFolder) -> ImageSet:
    images = np.concatenate(measurements.images)
    return ImageSet(
        images=len(np.unique(images)),
        crops=len(images),
        surface=measurements.surface(),
        skipped=dict(folder.skipped),
    )


def _engine_figures(
    program: Program,
    stylized: Measurements,
    photo: Measurements,
    cartoon: Measurements | None,
    own: Distance | None,
    whole: WholeFigures,
) -> EngineFigures:
    to_cartoons = _distance(stylized.pooled(), cartoon.pooled() if cartoon else None)
    change = float(np.mean(stylized.changes))
    similarities = stylized.similarities
    return EngineFigures(
        style=program.name,
        runs_on=program.runs_on,
        to_cartoons=to_cartoons,
        to_photos=_distance(stylized.pooled(), photo.pooled()),
        kernel_share=_share(to_cartoons.kernel.value, own.kernel.value)
        if to_cartoons and own
        else None,
        frechet_share=_share(to_cartoons.frechet, own.frechet) if to_cartoons and own else None,
        content_similarity=float(np.mean(similarities)) if similarities else None,
        surface=stylized.surface(),
        change=change,
        equals_input=change < EQUALS_INPUT_BELOW,
        whole=whole,
    )


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None
