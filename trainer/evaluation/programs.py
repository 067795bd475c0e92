"""The programs that are compared: an engine, or a folder of pictures that another program made.

A region of a photo goes in; the cartoon of that region comes out.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TypeAlias

import cv2

from toonvid.backends import Backend
from toonvid.errors import TrainingError
from toonvid.stylizing.options import StylizeOptions
from toonvid.stylizing.stylizer import Stylizer
from toonvid.video import Frame, Pixels
from trainer.data.images import IMAGE_SUFFIXES, read_image
from trainer.evaluation.crops import Region

LARGEST_DISTORTION = 0.02
"""Largest difference between the ratios of sides of a photo and of a picture made of it, as a share
of the ratio: a few pixels, because some programs round sides to multiples."""


class EngineProgram:
    """An engine, which makes cartoons when they are asked for."""

    def __init__(self, backend: Backend) -> None:
        """Uses an open backend, which stays the caller's to close."""
        self.name = backend.engine.card.style
        self.runs_on = f"{backend.name} on {backend.device}, {backend.precision}"
        # Images follow each other by chance, and on videos the stage is measured apart.
        self.stylizer = Stylizer(backend, StylizeOptions(steady=0))

    def cartoon(self, region: Region) -> Pixels:
        """Stylizes a region: (H, W, 3), uint8, RGB.

        Raises:
            BackendError: The engine fails.
        """
        [cartoon] = self.stylizer.stylize([Frame(region.pixels, pts=0, time_base=Fraction(1))])
        return cartoon.pixels

    def has(self, photo: Path) -> bool:
        """Whether there is a cartoon of this photo: always."""
        return True


@dataclass(frozen=True)
class PictureProgram:
    """Pictures that another program made of the photos, one file for each photo."""

    name: str
    """Heading of its figures."""
    pattern: str
    """Path of a picture with `*` in place of the photo's name without its suffix; or the folder of
    pictures that have the photos' names."""
    runs_on = "pictures"

    def cartoon(self, region: Region) -> Pixels:
        """Cuts a region out of the picture of its photo: (H, W, 3), uint8, RGB.

        A picture of another size is resized as the photo was.

        Raises:
            TrainingError: The picture cannot be read, or has not the photo's shape.
        """
        path = self._find(region.path)
        if path is None:
            raise TrainingError(f"{self.name} has no picture of {region.path.name}")
        picture = read_image(path)
        height, width = region.whole_size
        ratio = picture.shape[1] / picture.shape[0] / (width / height)
        if abs(ratio - 1) > LARGEST_DISTORTION:
            size = f"{picture.shape[1]} x {picture.shape[0]}"
            raise TrainingError(f"{path} is {size}, another shape than {region.path}")
        if picture.shape[:2] != (height, width):
            shrinks = picture.shape[0] > height
            interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
            picture = cv2.resize(picture, (width, height), interpolation=interpolation)
        return region.cut(picture)

    def has(self, photo: Path) -> bool:
        """Whether there is a picture of this photo."""
        return self._find(photo) is not None

    def _find(self, photo: Path) -> Path | None:
        if "*" in self.pattern:
            path = Path(self.pattern.replace("*", photo.stem))
            return path if path.is_file() else None
        paths = (Path(self.pattern) / f"{photo.stem}{suffix}" for suffix in sorted(IMAGE_SUFFIXES))
        return next((path for path in paths if path.is_file()), None)


Program: TypeAlias = EngineProgram | PictureProgram


def parse_pictures(text: str) -> PictureProgram:
    """Reads `NAME=PATH`, where `*` in PATH stands for a photo's name.

    Raises:
        TrainingError: The text has another form.
    """
    name, equals, pattern = text.partition("=")
    if not name or not equals or not pattern:
        raise TrainingError(
            f"--pictures takes NAME=PATH, such as other=made/*_other.jpg, not {text!r}"
        )
    if "*" not in pattern and not Path(pattern).is_dir():
        raise TrainingError(f"{pattern} is neither a folder of pictures nor a path with *")
    return PictureProgram(name, pattern)
