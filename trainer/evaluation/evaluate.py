"""Evaluate: engines, photos, cartoons and films become the figures that say how good a style is.

Photos, what the engines make of them, and cartoons are compared over crops at the size of a film
(`trainer.evaluation.views`): through a network (`trainer.evaluation.perception`, `trainer.evaluation.fid_kid`) and by their
surface (`trainer.evaluation.sharpness`). Films are judged by their flicker (`trainer.evaluation.warping_error`).
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
from trainer.evaluation.fid_kid import PooledFeatures, frechet_distance, kernel_distance
from trainer.evaluation.perception import (
    FEATURE_NET,
    content_similarity,
    feature_maps,
    load_feature_net,
)
from trainer.evaluation.results import (
    EQUALS_INPUT_BELOW,
    Distance,
    EngineFigures,
    EvaluateOptions,
    Evaluation,
    PictureSet,
    Surface,
)
from trainer.evaluation.sharpness import flat_patch_share, line_sharpness
from trainer.evaluation.views import ViewFolder
from trainer.evaluation.warping_error import FilmErrors, measure_film
from trainer.networks.content_features import ResNetFeatures

_BATCH = 16  # photos that go through the network at once, each with its cartoons


@dataclass(frozen=True)
class Progress:
    """How far a stage of the evaluation is."""

    stage: str
    """What is looked at: a film's name, `cartoons` or `photos`."""
    done: int
    total: int
    """Frames or crops, at most."""


def evaluate(
    backends: Sequence[Backend],
    photos: Path,
    cartoons: Path,
    films: Sequence[str | Path],
    content_weights: Path,
    options: EvaluateOptions | None = None,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> Evaluation:
    """Judge engines side by side, on the same crops of the same photos and on the same films.

    Memory holds a batch, and 4 kB for each crop of each engine, the photos and the cartoons.

    Args:
        backends: The engines, ready to run.
        photos: Folder; no engine should have been trained on them.
        cartoons: Folder.
        films: To measure the warping error on.
        content_weights: ResNet-50 as safetensors.
        options: None for the defaults.
        on_progress: Called after every frame of a film and every batch of crops.

    Raises:
        TrainingError: Photos, cartoons or weights cannot be used.
        SourceError: A film cannot be used.
        BackendError: An engine fails.
    """
    options = options or EvaluateOptions()
    network = load_feature_net(content_weights)
    photo_folder = ViewFolder(photos, "photos", options.crops, options.seed)
    taken = len(photo_folder.paths)  # a cartoon must not have the number of a photo
    cartoon_folder = ViewFolder(cartoons, "cartoons", options.crops, options.seed, taken)
    for film in films:  # bad news comes before an hour of work
        with VideoDecoder(film):
            pass

    stylizers = [Stylizer(backend, StylizeOptions(steady=0)) for backend in backends]
    errors = tuple(_measure_film(film, stylizers, options, on_progress) for film in films)
    [cartoon] = _look_at(cartoon_folder, [], network, on_progress)
    photo, *stylized = _look_at(photo_folder, stylizers, network, on_progress)

    own = _distance(photo.pooled(), cartoon.pooled())
    figures = tuple(
        _engine_figures(backend, tally, photo, cartoon, own)
        for backend, tally in zip(backends, stylized, strict=True)
    )
    return Evaluation(
        feature_net=FEATURE_NET,
        options=options,
        photos=_picture_set(photo, photo_folder),
        cartoons=_picture_set(cartoon, cartoon_folder),
        photos_to_cartoons=own,
        unrelated_similarity=float(np.mean(photo.unrelated)) if photo.unrelated else None,
        engines=figures,
        films=errors,
    )


@dataclass(frozen=True)
class _Crops:
    """A batch of crops."""

    pictures: NDArray[np.int64]
    """Number of each one's picture, shape (N,)."""
    pixels: Pixels
    """Shape (N, 1 + engines, H, W, 3): a crop, and what each engine makes of it."""


@dataclass
class _Tally:
    """What was seen so far of a set of crops, or of what an engine makes of them."""

    pictures: list[NDArray[np.int64]] = field(default_factory=list)
    features: list[NDArray[np.float32]] = field(default_factory=list)
    flat: list[float] = field(default_factory=list)
    sharp: list[float] = field(default_factory=list)
    changes: list[float] = field(default_factory=list)
    similar: list[float] = field(default_factory=list)
    unrelated: list[float] = field(default_factory=list)

    def add_view(self, source: Pixels, picture: Pixels) -> None:
        """Add a view, or what an engine made of it."""
        self.flat.append(flat_patch_share(picture))
        self.sharp.append(line_sharpness(picture))
        self.changes.append(float(np.abs(source.astype(np.int16) - picture).mean()))

    def pooled(self) -> PooledFeatures:
        return PooledFeatures(np.concatenate(self.features), np.concatenate(self.pictures))

    def surface(self) -> Surface:
        return Surface(float(np.mean(self.flat)), float(np.mean(self.sharp)))


def _look_at(
    folder: ViewFolder,
    stylizers: Sequence[Stylizer],
    network: ResNetFeatures,
    on_progress: Callable[[Progress], None],
) -> list[_Tally]:
    """See the crops of a folder, and what each engine makes of them."""
    tallies = [_Tally() for _ in range(1 + len(stylizers))]
    done = 0
    for crops in _batches(_single_crops(folder, stylizers, tallies)):
        maps = feature_maps(network, crops.pixels.reshape(-1, *crops.pixels.shape[2:]))
        maps = maps.unflatten(0, crops.pixels.shape[:2])  # (N, 1 + engines, 1024, H/16, W/16)
        for column, tally in enumerate(tallies):
            tally.pictures.append(crops.pictures)
            tally.features.append(maps[:, column].mean(dim=(2, 3)).cpu().numpy())
            tally.similar += content_similarity(maps[:, 0], maps[:, column]).tolist()
        tallies[0].unrelated += _unrelated_similarity(maps[:, 0], crops.pictures)
        done += len(crops.pictures)
        on_progress(Progress(folder.kind, done, folder.crops))
    return tallies


def _batches(singles: Iterable[_Crops]) -> Iterator[_Crops]:
    iterator = iter(singles)
    while batch := list(islice(iterator, _BATCH)):
        yield _Crops(
            np.concatenate([crop.pictures for crop in batch]),
            np.concatenate([crop.pixels for crop in batch]),
        )


def _single_crops(
    folder: ViewFolder, stylizers: Sequence[Stylizer], tallies: Sequence[_Tally]
) -> Iterator[_Crops]:
    """Cut the crops of a folder one by one. What the whole views show is tallied on the way."""
    for view in folder.views():
        drawn = [view.pixels, *(_stylize(stylizer, view.pixels) for stylizer in stylizers)]
        for tally, picture in zip(tallies, drawn, strict=True):
            tally.add_view(view.pixels, picture)
        for place in range(len(view.places)):
            pixels = np.stack([view.cut(picture, place) for picture in drawn])
            yield _Crops(np.array([view.picture]), pixels[None])


def _stylize(stylizer: Stylizer, pixels: Pixels) -> Pixels:
    [cartoon] = stylizer.stylize([Frame(pixels, 0, Fraction(1))])
    return cartoon.pixels


def _unrelated_similarity(maps: Tensor, pictures: NDArray[np.int64]) -> list[float]:
    """Content similarity of crops of different pictures: first with last, second with last but one
    and so on."""
    half = len(pictures) // 2
    apart = torch.from_numpy(pictures != pictures[::-1])[:half].to(maps.device)
    return content_similarity(maps[:half][apart], maps.flip(0)[:half][apart]).tolist()


def _measure_film(
    film: str | Path,
    stylizers: Sequence[Stylizer],
    options: EvaluateOptions,
    on_progress: Callable[[Progress], None],
) -> FilmErrors:
    def show(frames: int) -> None:
        on_progress(Progress(Path(film).name, frames, options.frames))

    return measure_film(film, stylizers, options.frames, show)


def _distance(one: PooledFeatures, other: PooledFeatures) -> Distance:
    return Distance(kernel_distance(one, other), frechet_distance(one, other))


def _picture_set(tally: _Tally, folder: ViewFolder) -> PictureSet:
    pictures = tally.pooled().pictures
    return PictureSet(
        len(np.unique(pictures)), len(pictures), tally.surface(), dict(folder.skipped)
    )


def _engine_figures(
    backend: Backend, stylized: _Tally, photo: _Tally, cartoon: _Tally, own: Distance
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
        content_similarity=float(np.mean(stylized.similar)),
        surface=stylized.surface(),
        change=change,
        equals_input=change < EQUALS_INPUT_BELOW,
    )


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None
