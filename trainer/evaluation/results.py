"""The figures that an evaluation gives, and how they are written as JSON.

Values only: `trainer.evaluation.evaluate` computes them, `toonvid.commands.evaluate` prints them.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass

from trainer.evaluation.fid_kid import KernelDistance
from trainer.evaluation.warping_error import WarpingErrors

EQUALS_INPUT_BELOW = 3.0
"""Change in levels below which an output counts as its input: saving a photo as JPEG at quality 90
changes it by 1 level, at quality 75 by 5."""

# Field -> name in JSON, where the two differ: scripts of users read the names of toonvid 0.1.
_JSON_NAMES = {"images": "pictures", "videos": "films", "video": "film"}


@dataclass(frozen=True)
class EvaluateOptions:
    """The amount of images and frames that are evaluated."""

    crops: int = 4000
    """Number of crops of the photos, and as many of the cartoons; at least 2."""
    frames: int = 120
    """Largest number of frames of each video, from its start; at least 2."""
    seed: int = 1
    """Random seed of the crops."""

    def __post_init__(self) -> None:
        if self.crops < 2 or self.frames < 2 or self.seed < 0:
            raise ValueError(f"{self.crops = }, {self.frames = }, {self.seed = }")


@dataclass(frozen=True)
class Distance:
    """Distance between two sets of images."""

    kernel: KernelDistance
    """KID."""
    frechet: float
    """FID."""


@dataclass(frozen=True)
class Surface:
    """Figures of the pixels alone (`trainer.evaluation.sharpness`), means over all regions."""

    flat_patch_share: float
    """Share of the 7x7 patches that are flat, 0..1."""
    line_sharpness: float
    """99th percentile of the luma gradient, in levels per pixel."""


@dataclass(frozen=True)
class ImageSet:
    """The photos, or the cartoons."""

    images: int
    """Number of images that crops were cut from."""
    crops: int
    """Number of crops."""
    surface: Surface
    skipped: dict[str, str]
    """Path of an image that was left out -> the reason."""


@dataclass(frozen=True)
class EngineFigures:
    """The figures of one engine."""

    style: str
    runs_on: str
    """Backend, device and precision."""
    to_cartoons: Distance
    """Distance from the engine's cartoons to the cartoons of the artist."""
    to_photos: Distance
    """Distance from the engine's cartoons to the photos they were made from."""
    kernel_share: float | None
    """KID to the cartoons over the photos' own KID to them; None if the latter is not above 0."""
    frechet_share: float | None
    """The same value for FID."""
    content_similarity: float
    """Mean cosine of features of a photo and its cartoon; 1 where they are equal everywhere."""
    surface: Surface
    change: float
    """Mean absolute difference between a photo and its cartoon, in levels (0..255)."""
    equals_input: bool
    """Whether `change` is below `EQUALS_INPUT_BELOW`: the engine gives its input back."""


@dataclass(frozen=True)
class Evaluation:
    """The figures of several engines, side by side."""

    feature_net: str
    """Name of the network whose features were compared."""
    options: EvaluateOptions
    photos: ImageSet
    cartoons: ImageSet
    photos_to_cartoons: Distance
    """Distance of the photos themselves, by which the engines' distances are divided."""
    unrelated_similarity: float | None
    """Content similarity of different photos, the lowest value to expect; None with too few crops
    to tell."""
    engines: tuple[EngineFigures, ...]
    videos: tuple[WarpingErrors, ...]


def to_json(value: object) -> object:
    """Returns figures as values of JSON, under the names that toonvid 0.1 wrote.

    Args:
        value: An `Evaluation`, or a part of one.
    """
    if is_dataclass(value):
        return {
            _JSON_NAMES.get(field.name, field.name): to_json(getattr(value, field.name))
            for field in fields(value)
        }
    if isinstance(value, tuple):
        return [to_json(part) for part in value]
    return value
