"""The programs that are compared: an engine, or a folder of pictures that another program made.

A region of a photo goes in; the cartoon of that region comes out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
from trainer.data.images import UnusableImageError, find_images, read_image
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
    pictures: Mapping[Path, Path]
    """Path of a photo -> path of the picture that was made of it."""
    runs_on = "pictures"

    def cartoon(self, region: Region) -> Pixels:
        """Cuts a region out of the picture of its photo: (H, W, 3), uint8, RGB.

        A picture of another size is resized as the photo was.

        Raises:
            TrainingError: The picture cannot be read, or has not the photo's shape.
        """
        path = self.pictures.get(region.path)
        if path is None:
            raise TrainingError(f"{self.name} has no picture of {region.path.name}")
        try:
            picture = read_image(path)
        except UnusableImageError as error:
            raise TrainingError(f"{path}: {error}") from error
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
        return photo in self.pictures


Program: TypeAlias = EngineProgram | PictureProgram


def find_pictures(text: str, photos: Path) -> PictureProgram:
    """Finds the pictures that another program made of photos.

    A picture has the path of its photo inside the folder of photos, or else the photo's name alone.

    Args:
        text: `NAME=PATH`. PATH is a folder of pictures, or the path of a picture with `*` in place
            of its photo's path or name, without suffix.
        photos: Folder of the photos, searched with all folders in it.

    Raises:
        TrainingError: The text has another form, there are no photos or no pictures, or two photos
            would have the same picture.
    """
    name, equals, pattern = text.partition("=")
    if not name or not equals or not pattern:
        raise TrainingError(
            f"--pictures takes NAME=PATH, such as other=made/*_other.jpg, not {text!r}"
        )
    if "*" not in pattern and not Path(pattern).is_dir():
        raise TrainingError(f"{pattern} is neither a folder of pictures nor a path with *")
    find = _find_by_pattern(pattern) if "*" in pattern else _find_in_folder(Path(pattern))
    paths = find_images(photos)
    inside = {path: find(path.relative_to(photos).with_suffix("")) for path in paths}
    found = {path: picture for path, picture in inside.items() if picture}
    taken = set(found.values())
    for path in paths:
        picture = find(Path(path.stem))
        if path not in found and picture and picture not in taken:
            found[path] = picture
    photo_of: dict[Path, Path] = {}
    for path, picture in found.items():
        other = photo_of.setdefault(picture, path)
        if other.with_suffix("") != path.with_suffix(""):  # not the same photo in two formats
            raise TrainingError(
                f"{picture} would be the picture of {photo_of[picture]} and of {path}: put the"
                " pictures in folders like those of the photos"
            )
    return PictureProgram(name, found)


def _find_by_pattern(pattern: str) -> Callable[[Path], Path | None]:
    """Returns a function from the path of a photo, without folder and suffix, to its picture."""

    def find(photo: Path) -> Path | None:
        path = Path(pattern.replace("*", str(photo)))
        return path if path.is_file() else None

    return find


def _find_in_folder(folder: Path) -> Callable[[Path], Path | None]:
    """Returns such a function for a folder of pictures, whose suffixes may be in any case."""
    pictures: dict[Path, Path] = {}
    for path in find_images(folder, "pictures"):
        pictures.setdefault(path.relative_to(folder).with_suffix(""), path)
    return pictures.get
