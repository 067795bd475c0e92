"""The figures that say how good a style is. Values only; `trainer.evaluation.evaluate` finds them."""

from __future__ import annotations

from dataclasses import dataclass

from trainer.evaluation.fid_kid import KernelDistance
from trainer.evaluation.warping_error import FilmErrors

EQUALS_INPUT_BELOW = 3.0
"""Levels of change under which an output counts as its input: saving a photo as JPEG at quality 90
changes it by 1 level, at 75 by 5."""


@dataclass(frozen=True)
class EvaluateOptions:
    """How much is looked at."""

    crops: int = 4000
    """Crops of the photos, and as many of the cartoons."""
    frames: int = 120
    """The most frames of each film, from its beginning."""
    seed: int = 1
    """Decides the crops."""

    def __post_init__(self) -> None:
        if self.crops < 2 or self.frames < 2 or self.seed < 0:
            raise ValueError(f"{self.crops = }, {self.frames = }, {self.seed = }")


@dataclass(frozen=True)
class Distance:
    """How far one set of pictures is from another."""

    kernel: KernelDistance
    frechet: float


@dataclass(frozen=True)
class Surface:
    """What can be read off pictures alone, see `trainer.evaluation.sharpness`; means over the views."""

    flat_patch_share: float
    """0..1."""
    line_sharpness: float
    """Levels a pixel."""


@dataclass(frozen=True)
class PictureSet:
    """The photos, or the cartoons."""

    pictures: int
    """That crops were cut from."""
    crops: int
    surface: Surface
    skipped: dict[str, str]
    """Pictures that were left out -> why."""


@dataclass(frozen=True)
class EngineFigures:
    """How one engine does."""

    style: str
    runs_on: str
    """Backend, device and precision."""
    to_cartoons: Distance
    to_photos: Distance
    kernel_share: float | None
    """Kernel distance to the cartoons over the photos' own; None if theirs is not above 0."""
    frechet_share: float | None
    """The same of the Frechet distance."""
    content_similarity: float
    """Between photo and cartoon: 1 says that the network sees the same in every place."""
    surface: Surface
    change: float
    """Mean absolute difference between photo and cartoon, in levels (0..255)."""
    equals_input: bool
    """Alarm: the change is under `EQUALS_INPUT_BELOW`, so this is no style."""


@dataclass(frozen=True)
class Evaluation:
    """All figures, of engines side by side."""

    feature_net: str
    options: EvaluateOptions
    photos: PictureSet
    cartoons: PictureSet
    photos_to_cartoons: Distance
    """What the engines' distances are shares of."""
    unrelated_similarity: float | None
    """Content similarity of different photos: what says nothing. None with too few to tell."""
    engines: tuple[EngineFigures, ...]
    films: tuple[FilmErrors, ...]
