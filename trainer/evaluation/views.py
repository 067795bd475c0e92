"""The crops that an engine is judged by: the same for every engine, decided by the seed alone.

Scale. A generator draws its lines some pixels wide, and so does a painter on a page that was
scanned; to compare the two, both have to be seen at the size of a film. So a picture is brought to
a short side of 480 to 720 pixels, as in a film of so many lines, and crops of one size are cut from
it. A smaller picture is taken as a piece of such a film and keeps its size: enlarging it would blur
it, and blur is one of the things that are measured.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from toonvid.errors import TrainingError
from toonvid.video import Pixels
from trainer.data.images import IMAGE_SUFFIXES, UnusableImageError, read_image, resize_to

log = logging.getLogger(__name__)

CROP = 160
"""Side of a crop in pixels; 10 x 10 places at stride 16."""

FRAME_HEIGHTS = (480, 576, 720)
"""Short sides in pixels that larger pictures are brought to; each view draws one."""

VIEW = 384
"""Longest side in pixels of a view: what an engine stylizes at once, whatever the picture."""

CROPS_IN_VIEW = 8

FEWEST_PICTURES = 2


@dataclass(frozen=True)
class View:
    """A piece of a picture at the size of a film, and where crops are cut from it."""

    picture: int
    """Number of the picture."""
    pixels: Pixels
    """Shape (H, W, 3), uint8, RGB, H and W from `CROP` to `VIEW`."""
    places: tuple[tuple[int, int], ...]
    """Top and left of each crop, in pixels."""

    def cut(self, drawn: Pixels, place: int) -> Pixels:
        """Crop number `place` of a picture of the view's size: of the view or of its cartoon."""
        top, left = self.places[place]
        return drawn[top : top + CROP, left : left + CROP]


class ViewFolder:
    """A folder of pictures, each of which gives its share of the crops.

    A picture that cannot be read, or is smaller than a crop, is left out and its crops with it, so
    that the crops of all others stay where they are; `skipped` names it.
    """

    def __init__(
        self, folder: Path, kind: str, crops: int, seed: int, first_number: int = 0
    ) -> None:
        """Look for pictures; none is opened yet.

        Args:
            folder: Searched with all folders in it.
            kind: `photos` or `cartoons`, for messages.
            crops: To cut from all pictures together.
            seed: Decides scales and places.
            first_number: Number of the first picture.

        Raises:
            TrainingError: There are fewer than two pictures.
        """
        self.folder = folder
        self.kind = kind
        self.paths = _find(folder, kind)
        self.skipped: dict[str, str] = {}
        """What was left out, and why."""
        self._seed = seed
        self._first_number = first_number
        self._shares = _share_out(crops, len(self.paths), seed)

    @property
    def crops(self) -> int:
        """Crops that will be cut if no picture is left out."""
        return int(self._shares.sum())

    def views(self) -> Iterator[View]:
        """Yield views, picture by picture.

        Raises:
            TrainingError: Fewer than two pictures could be used; known at the end.
        """
        self.skipped.clear()
        used = 0
        for index, path in enumerate(self.paths):
            if not self._shares[index]:
                continue
            try:
                picture = _read(path)
            except UnusableImageError as error:
                log.warning("skipped %s: %s", path, error)
                self.skipped[str(path)] = str(error)
                continue
            used += 1
            yield from self._views_of(picture, index)
        if used < FEWEST_PICTURES:
            path, reason = next(iter(self.skipped.items()))
            raise TrainingError(
                f"judging takes two {self.kind}, and {used} of those in {self.folder} can be used; "
                f"{Path(path).name}: {reason}"
            )

    def _views_of(self, picture: Pixels, index: int) -> Iterator[View]:
        random = np.random.default_rng((self._seed, index))
        share = int(self._shares[index])
        for first in range(0, share, CROPS_IN_VIEW):
            pixels = _cut_view(_lower(picture, int(random.choice(FRAME_HEIGHTS))), random)
            count = min(CROPS_IN_VIEW, share - first)
            rooms = [side - CROP + 1 for side in pixels.shape[:2]]
            places = random.integers(rooms, size=(count, 2)).tolist()
            yield View(
                self._first_number + index, pixels, tuple((top, left) for top, left in places)
            )


def _find(folder: Path, kind: str) -> list[Path]:
    """Pictures in a folder and the folders in it, in order of their names."""
    if not folder.is_dir():
        raise TrainingError(f"{folder} is not a folder of {kind}")
    found = (path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    paths = sorted(path for path in found if path.is_file())
    if not paths:
        raise TrainingError(f"no {kind} in {folder} (looked for jpg, png, webp, bmp and tiff)")
    if len(paths) < FEWEST_PICTURES:
        raise TrainingError(f"judging takes two {kind} or more, and {folder} holds one")
    return paths


def _share_out(crops: int, pictures: int, seed: int) -> NDArray[np.int64]:
    """How many crops each picture gives: as many as any other, or one more."""
    ranks = np.random.default_rng(seed).permutation(pictures)
    return crops // pictures + (ranks < crops % pictures)


def _read(path: Path) -> Pixels:
    picture = read_image(path)
    height, width = picture.shape[:2]
    if min(height, width) < CROP:
        raise UnusableImageError(f"{width} x {height}, smaller than the crop of {CROP}")
    return picture


def _lower(picture: Pixels, frame_height: int) -> Pixels:
    """Bring a picture down to a frame height; a smaller one stays."""
    return picture if min(picture.shape[:2]) <= frame_height else resize_to(picture, frame_height)


def _cut_view(picture: Pixels, random: np.random.Generator) -> Pixels:
    top, left = (int(random.integers(max(side - VIEW, 0) + 1)) for side in picture.shape[:2])
    return np.ascontiguousarray(picture[top : top + VIEW, left : left + VIEW])
