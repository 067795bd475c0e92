"""The crops that engines are compared on: the same for every engine, decided by the seed alone.

A folder of images goes in; regions of images, and the places of crops in them, come out. What is
measured on the crops is left out (`trainer.evaluation.evaluate`).

Scale: a generator draws lines of some pixels' width, and so does an artist on a page that was
scanned. To compare the two, both must be seen at the size of a video frame. So an image is shrunk
to a short side of 480 to 720 pixels, as a video of that height has, and crops of one size are cut
from it. A smaller image counts as a piece of such a frame and keeps its size: enlarging would blur
it, and blur is one of the things that are measured.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from toonvid.errors import TrainingError
from toonvid.video import Pixels
from trainer.data.images import UnusableImageError, find_images, read_image, resize_to

log = logging.getLogger(__name__)

CROP = 160
"""Side of a crop in pixels; 10 x 10 positions of a feature map at stride 16."""

FRAME_HEIGHTS = (480, 576, 720)
"""Short sides in pixels that larger images are shrunk to; each region draws one."""

WHOLE_HEIGHT = 480
"""Short side in pixels that larger images are shrunk to where they are stylized whole."""

REGION = 384
"""Longest side in pixels of a region, which an engine stylizes at once, however large its image."""

CROPS_IN_REGION = 8

MIN_IMAGES = 2
"""Distances between sets need at least two images in each."""


@dataclass(frozen=True)
class Region:
    """A region of an image at the size of a video frame, and where crops are cut from it."""

    image: int
    """Number of the image."""
    path: Path
    """File of the image."""
    whole_size: tuple[int, int]
    """Height and width in pixels of the whole image, at the size of a video frame."""
    corner: tuple[int, int]
    """Top and left of the region in the whole image, in pixels."""
    pixels: Pixels
    """Shape (H, W, 3), uint8, RGB; H and W from `CROP` to `REGION`."""
    offsets: tuple[tuple[int, int], ...]
    """Top and left of each crop, in pixels."""

    def cut(self, whole: Pixels) -> Pixels:
        """Cuts the region out of an image of `whole_size`, or of what was made of it."""
        (top, left), (height, width) = self.corner, self.pixels.shape[:2]
        return np.ascontiguousarray(whole[top : top + height, left : left + width])

    def crop(self, pixels: Pixels, index: int) -> Pixels:
        """Cuts one crop out.

        Args:
            pixels: The region, or its cartoon: shape (H, W, 3).
            index: Number of the crop in `offsets`.

        Returns:
            Shape (CROP, CROP, 3), a view of `pixels`.
        """
        top, left = self.offsets[index]
        return pixels[top : top + CROP, left : left + CROP]


class CropFolder:
    """A folder of images, each of which contributes the same number of crops, or one more.

    An image that cannot be read, or is smaller than a crop, is left out together with its crops, so
    that the crops of all other images stay where they are. `skipped` names it.
    """

    def __init__(
        self,
        folder: Path,
        kind: str,
        crops: int,
        seed: int,
        first_number: int = 0,
        is_wanted: Callable[[Path], bool] = lambda _: True,
    ) -> None:
        """Lists the images; none is opened yet.

        Args:
            folder: Folder that is searched, with all folders in it.
            kind: `photos` or `cartoons`, for messages.
            crops: Number of crops from all images together.
            seed: Decides the scales and the places of the crops.
            first_number: Number of the first image.
            is_wanted: Whether an image is used; the others are left out silently.

        Raises:
            TrainingError: There are fewer than two images.
        """
        self.folder = folder
        self.kind = kind
        self.paths = _find_images(folder, kind, is_wanted)
        self.skipped: dict[str, str] = {}
        """Path of an image that was left out -> the reason."""
        self._seed = seed
        self._first_number = first_number
        self._crops_per_image = _distribute(crops, len(self.paths), seed)

    @property
    def crops(self) -> int:
        """Number of crops if no image is left out."""
        return int(self._crops_per_image.sum())

    def regions(self) -> Iterator[Region]:
        """Yields regions, image by image.

        Raises:
            TrainingError: Fewer than two images could be used; known only at the end.
        """
        self.skipped.clear()
        used = 0
        for index in np.flatnonzero(self._crops_per_image):
            image = self._read(int(index))
            if image is not None:
                used += 1
                yield from self._regions_of(image, int(index))
        if used < MIN_IMAGES:
            path, reason = next(iter(self.skipped.items()))
            raise TrainingError(
                f"evaluating takes two {self.kind}, and {used} of those in {self.folder} can be"
                f" used; {Path(path).name}: {reason}"
            )

    def whole_images(self, count: int) -> Iterator[Region]:
        """Yields images, evenly spread over the folder, as regions without crops.

        Args:
            count: Number of images; others take the place of those that are left out.
        """
        total = len(self.paths)
        chosen = np.unique(np.linspace(0, total - 1, min(count, total)).astype(int))
        others = np.setdiff1d(np.arange(total), chosen)
        used = 0
        for index in (*chosen, *others):
            if used == len(chosen):
                return
            image = self._read(int(index))
            if image is None:
                continue
            used += 1
            pixels = _shrink(image, WHOLE_HEIGHT)
            yield Region(
                image=self._first_number + int(index),
                path=self.paths[index],
                whole_size=pixels.shape[:2],
                corner=(0, 0),
                pixels=pixels,
                offsets=(),
            )

    def _read(self, index: int) -> Pixels | None:
        """Reads an image, or notes why it is left out."""
        path = self.paths[index]
        if str(path) in self.skipped:
            return None
        try:
            return _read(path)
        except UnusableImageError as error:
            log.warning("skipped %s: %s", path, error)
            self.skipped[str(path)] = str(error)
            return None

    def _regions_of(self, image: Pixels, index: int) -> Iterator[Region]:
        random = np.random.default_rng((self._seed, index))
        crops = int(self._crops_per_image[index])
        for first in range(0, crops, CROPS_IN_REGION):
            whole = _shrink(image, int(random.choice(FRAME_HEIGHTS)))
            top, left = (int(random.integers(max(s - REGION, 0) + 1)) for s in whole.shape[:2])
            pixels = np.ascontiguousarray(whole[top : top + REGION, left : left + REGION])
            count = min(CROPS_IN_REGION, crops - first)
            limits = [side - CROP + 1 for side in pixels.shape[:2]]
            offsets = random.integers(limits, size=(count, 2)).tolist()
            yield Region(
                image=self._first_number + index,
                path=self.paths[index],
                whole_size=whole.shape[:2],
                corner=(top, left),
                pixels=pixels,
                offsets=tuple((top, left) for top, left in offsets),
            )


def _find_images(folder: Path, kind: str, is_wanted: Callable[[Path], bool]) -> list[Path]:
    """Images in a folder and the folders in it, in order of their names."""
    found = find_images(folder, kind)
    if len(found) < MIN_IMAGES:
        raise TrainingError(f"evaluating takes two {kind} or more, and {folder} holds one")
    paths = [path for path in found if is_wanted(path)]
    if len(paths) < MIN_IMAGES:
        raise TrainingError(
            f"evaluating takes two {kind}, and every program has pictures of {len(paths)} in"
            f" {folder}"
        )
    return paths


def _distribute(crops: int, images: int, seed: int) -> NDArray[np.int64]:
    """Number of crops of each image, shape (images,): equal, or one more for a random few."""
    ranks = np.random.default_rng(seed).permutation(images)
    return crops // images + (ranks < crops % images)


def _read(path: Path) -> Pixels:
    image = read_image(path)
    height, width = image.shape[:2]
    if min(height, width) < CROP:
        raise UnusableImageError(f"{width} x {height}, smaller than the crop of {CROP}")
    return image


def _shrink(image: Pixels, frame_height: int) -> Pixels:
    """Shrinks the short side to a frame height; a smaller image keeps its size."""
    return image if min(image.shape[:2]) <= frame_height else resize_to(image, frame_height)
