"""The figures that an evaluation gives, and how they are written as JSON.

Values only: `trainer.evaluation.evaluate` computes them, `toonvid.commands.evaluate` prints them.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass

from toonvid.stylizing.options import StylizeOptions
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
    """Random seed of the crops, and of what the cartoon classifier learns from."""
    whole_photos: int = 400
    """Largest number of photos that are measured whole, evenly spread; at least 2."""
    steady: float = StylizeOptions.steady
    """Share of the last cartoon that the stage against flicker keeps on videos, in 0..1."""

    def __post_init__(self) -> None:
        if self.crops < 2 or self.frames < 2 or self.seed < 0 or self.whole_photos < 2:
            raise ValueError(
                f"{self.crops = }, {self.frames = }, {self.seed = }, {self.whole_photos = }"
            )
        if not 0 <= self.steady <= 1:
            raise ValueError(f"steady is between 0 and 1, not {self.steady}")


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
    tone_steps: float
    """Share of flat patches times the share of the gradient in hard steps, 0..1."""


@dataclass(frozen=True)
class WholeFigures:
    """Figures of whole photos, or of the cartoons that one program made of them."""

    cartoon_share: float | None
    """Share that the classifier calls art, 0..1; None without a classifier."""
    ink_kept: float | None
    """Share of the ink of the photos' drawings that is a dark line, 0..1; None without ink."""
    foreign_ink: float | None
    """Share of the dark lines that the drawings do not have, 0..1; None without lines."""
    faces_found: float | None
    """Share of the photos' faces that are found, 0..1; None without faces or their network."""
    landmarks_moved: float | None
    """Mean distance of landmarks to those in the photo, over the distance of the eyes."""


@dataclass(frozen=True)
class ClassifierFigures:
    """How well the cartoon classifier tells art from photos that it has not learned from."""

    learned_art: int
    """Number of images of art that it has learned from."""
    learned_photos: int
    """Number of photos that it has learned from."""
    held_out_art: int
    """Number of other images of art that it was tested with."""
    art_accuracy: float
    """Share of the held-out art that it calls art, 0..1."""
    tested_photos: int
    """Number of the evaluated photos that are large enough for it."""
    photo_accuracy: float
    """Share of them that it calls photos, 0..1."""
    edited_photos: dict[str, float]
    """Name of a simple edit -> share of the edited photos that it calls art; none without photos
    that are large enough."""


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
    """The figures of one engine, or of the pictures of another program.

    Figures that need a network are None without its weights, and those that compare with cartoons
    are None without cartoons.
    """

    style: str
    runs_on: str
    """Backend, device and precision; `pictures` for those of another program."""
    to_cartoons: Distance | None
    """Distance from the engine's cartoons to the cartoons of the artist."""
    to_photos: Distance | None
    """Distance from the engine's cartoons to the photos they were made from."""
    kernel_share: float | None
    """KID to the cartoons over the photos' own KID to them; None if the latter is not above 0."""
    frechet_share: float | None
    """The same value for FID."""
    content_similarity: float | None
    """Mean cosine of features of a photo and its cartoon; 1 where they are equal everywhere."""
    surface: Surface
    change: float
    """Mean absolute difference between a photo and its cartoon, in levels (0..255)."""
    equals_input: bool
    """Whether `change` is below `EQUALS_INPUT_BELOW`: the engine gives its input back."""
    whole: WholeFigures
    """Figures of the cartoons of whole photos."""


@dataclass(frozen=True)
class Evaluation:
    """The figures of several engines, side by side."""

    feature_net: str | None
    """Name of the network whose features were compared; None without its weights."""
    options: EvaluateOptions
    photos: ImageSet
    cartoons: ImageSet | None
    photos_to_cartoons: Distance | None
    """Distance of the photos themselves, by which the engines' distances are divided."""
    unrelated_similarity: float | None
    """Content similarity of different photos, the lowest value to expect; None with too few crops
    to tell."""
    engines: tuple[EngineFigures, ...]
    """Engines, then the pictures of other programs."""
    videos: tuple[WarpingErrors, ...]
    """Figures of the engines on videos; other programs are left out."""
    whole_photos: int
    """Number of photos that were measured whole."""
    photos_whole: WholeFigures
    """Figures of the photos themselves."""
    classifier: ClassifierFigures | None
    """The cartoon classifier; None if it was given nothing to learn from."""
    left_out: tuple[str, ...]
    """What was left out, and how to get it: a sentence each."""


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
