"""Folders of pictures: finding, reading, resizing them, and going through them in a fixed order.

Nothing is kept in memory: hundreds of thousands of pictures cost their names.
"""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from toonvid.errors import TrainingError
from toonvid.video import Pixels

log = logging.getLogger(__name__)

Made = TypeVar("Made")

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})


class UnusableImageError(TrainingError):
    """One picture cannot be used; the others can."""


class ImageFolder:
    """The pictures of a folder in an endless order that the seed alone decides.

    A picture that cannot be used is left out: it is named in `skipped`, and the next one in order
    takes its place.
    """

    def __init__(
        self, folder: Path, seed: int, what: str = "photos", leave_out: tuple[Path, ...] = ()
    ) -> None:
        """Look for pictures; none is opened yet.

        Args:
            folder: Searched with all folders in it.
            seed: Decides the order.
            what: The pictures' word in messages, plural.
            leave_out: Folders that may lie in `folder` and hold none: the run's own.

        Raises:
            TrainingError: There are none.
        """
        self.folder = folder
        self.paths = find_images(folder, what, leave_out)
        self.skipped: dict[Path, str] = {}
        """What was left out, and why."""
        self._seed = seed
        self._what = what
        self._skipping = threading.Lock()

    def first_usable(self, index: int, use: Callable[[Path], Made]) -> Made:
        """What `use` makes of the picture at this place of the order, or of the next one it can.

        Args:
            index: From 0; every epoch is in an order of its own.
            use: Raises `UnusableImageError` where it cannot.

        Raises:
            TrainingError: No picture of the folder can be used.
        """
        epoch, place = divmod(index, len(self.paths))
        order = _shuffled(self._seed, epoch, len(self.paths))
        for offset in range(len(order)):
            path = self.paths[order[(place + offset) % len(order)]]
            if path in self.skipped:
                continue
            try:
                return use(path)
            except UnusableImageError as error:
                self._skip(path, str(error))
        path, reason = next(iter(self.skipped.items()))
        raise TrainingError(
            f"none of the {self._what} in {self.folder} can be used; {path.name}: {reason}"
        )

    def _skip(self, path: Path, reason: str) -> None:
        with self._skipping:
            if path not in self.skipped:
                log.warning("skipped %s: %s", path, reason)
            self.skipped[path] = reason


def find_images(folder: Path, what: str = "photos", leave_out: tuple[Path, ...] = ()) -> list[Path]:
    """Pictures in a folder and the folders in it, but for those left out, in order of their names.

    Raises:
        TrainingError: The folder cannot be read, or holds none.
    """
    if not folder.is_dir():
        raise TrainingError(f"{folder} is not a folder of {what}")
    found = (path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    root, places = folder.resolve(), [place.resolve() for place in leave_out]
    inside = [folder / place.relative_to(root) for place in places if place.is_relative_to(root)]
    pictures = sorted(
        path
        for path in found
        if path.is_file() and not any(path.is_relative_to(place) for place in inside)
    )
    if not pictures:
        raise TrainingError(f"no {what} in {folder} (looked for jpg, png, webp, bmp and tiff)")
    return pictures


def read_image(path: Path) -> Pixels:
    """Read a picture as (H, W, 3) uint8, RGB, turned the way its camera was held.

    Raises:
        UnusableImageError: It cannot be read.
    """
    try:
        # Not cv2.imread: on Windows that cannot open every name.
        encoded = np.frombuffer(path.read_bytes(), np.uint8)
        pixels = cv2.imdecode(encoded, cv2.IMREAD_COLOR) if encoded.size else None
    except (OSError, cv2.error) as error:
        raise UnusableImageError(f"cannot be read: {error}") from error
    if pixels is None:
        raise UnusableImageError("not a picture that can be read")
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def check_size(picture: Pixels, crop: int) -> None:
    """See that a crop of this side fits into a picture.

    Raises:
        UnusableImageError: It does not.
    """
    height, width = picture.shape[:2]
    if min(height, width) < crop:
        raise UnusableImageError(f"{width} x {height}, smaller than the crop of {crop}")


def resize_to(picture: Pixels, short_side: int) -> Pixels:
    """Resize a picture so that its short side is `short_side`."""
    scale = short_side / min(picture.shape[:2])
    height, width = (max(short_side, round(side * scale)) for side in picture.shape[:2])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return cv2.resize(picture, (width, height), interpolation=how)


def draw_crop(
    size: tuple[int, ...], crop: int, random: np.random.Generator
) -> tuple[slice, slice, slice]:
    """Draw where a square crop is cut out of pictures, and whether it is mirrored.

    Args:
        size: H and W of the picture, and what else its shape has.
        crop: Side of the crop.
        random: Asked three times.

    Returns:
        What the picture is indexed by, in two steps: `picture[rows, columns][:, mirror]`.
    """
    top, left = (int(random.integers(side - crop + 1)) for side in size[:2])
    mirror = slice(None, None, -1 if random.integers(2) else 1)
    return slice(top, top + crop), slice(left, left + crop), mirror


def to_tensor(pictures: NDArray[np.uint8]) -> Tensor:
    """(N, H, W, 3) uint8 to (N, 3, H, W) float32 in [-1, 1], channels last in memory."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1


@functools.lru_cache(maxsize=4)
def _shuffled(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    """The order of the pictures in one epoch."""
    return np.random.default_rng((seed, epoch)).permutation(count)
