"""Folders of images: finding, reading and resizing images, in an order that a seed decides.

In: a folder. Out: uint8 arrays or float tensors. Only file names are kept in memory, so a folder
may contain hundreds of thousands of images.
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

from toonvid.errors import SourceError, TrainingError
from toonvid.reading.image_file import is_plain, open_image_file
from toonvid.reading.options import DecodeOptions
from toonvid.video import Pixels, over_white

log = logging.getLogger(__name__)

Result = TypeVar("Result")

IMAGE_SUFFIXES = frozenset(
    {".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp", ".avif", ".heic", ".heif", ".hif"}
)


class UnusableImageError(TrainingError):
    """One image cannot be used; training continues with the others."""


class ImageFolder:
    """The images of a folder, in an endless order that only the seed decides.

    An image that cannot be used is recorded in `skipped`, and the next one takes its place. Safe to
    use from several threads.
    """

    def __init__(
        self, folder: Path, seed: int, what: str = "photos", leave_out: tuple[Path, ...] = ()
    ) -> None:
        """Find the images; none is opened yet.

        Args:
            folder: Searched recursively.
            seed: Seed of the order.
            what: Plural noun for the images in messages.
            leave_out: Folders inside `folder` that are not searched, such as the run's own.

        Raises:
            TrainingError: The folder contains no images.
        """
        self.folder = folder
        self.paths = find_images(folder, what, leave_out)
        self.skipped: dict[Path, str] = {}
        """Reason for each image that cannot be used, by its path."""
        self._seed = seed
        self._what = what
        self._skipping = threading.Lock()

    def first_usable(self, index: int, use: Callable[[Path], Result]) -> Result:
        """Return `use(path)` for the image at a position of the order, or the next usable one.

        Args:
            index: Position from 0; every epoch has an order of its own.
            use: Raises `UnusableImageError` for an image that it cannot use.

        Raises:
            TrainingError: No image of the folder can be used.
        """
        epoch, position = divmod(index, len(self.paths))
        order = _shuffled(self._seed, epoch, len(self.paths))
        for offset in range(len(order)):
            path = self.paths[order[(position + offset) % len(order)]]
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
        with self._skipping:  # several threads may meet the same image
            if path not in self.skipped:
                log.warning("skipped %s: %s", path, reason)
            self.skipped[path] = reason


def find_images(folder: Path, what: str = "photos", leave_out: tuple[Path, ...] = ()) -> list[Path]:
    """Return the paths of the images in a folder and its subfolders, sorted by name.

    Args:
        folder: Searched recursively.
        what: Plural noun for the images in messages.
        leave_out: Folders that are not searched.

    Raises:
        TrainingError: The folder does not exist, or contains no images.
    """
    if not folder.is_dir():
        raise TrainingError(f"{folder} is not a folder of {what}")
    found = (path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    root, skipped = folder.resolve(), [path.resolve() for path in leave_out]
    inside = [folder / path.relative_to(root) for path in skipped if path.is_relative_to(root)]
    images = sorted(
        path
        for path in found
        if path.is_file() and not any(path.is_relative_to(other) for other in inside)
    )
    if not images:
        raise TrainingError(
            f"no {what} in {folder} (looked for jpg, png, webp, heic, avif, bmp and tiff)"
        )
    return images


def read_image(path: Path) -> Pixels:
    """Read an image as (H, W, 3) uint8, RGB, rotated as its EXIF orientation says.

    Transparent parts are laid on white, and the colors of an ICC profile are converted to sRGB, as
    `toonvid convert` does.

    Raises:
        UnusableImageError: The image cannot be read.
    """
    try:
        # Not cv2.imread: on Windows it cannot open names outside the system's code page.
        data = path.read_bytes()
        # OpenCV ignores opacity and profiles. Without them it is faster than Pillow.
        pixels = None if is_plain(data) else _read_converted(data)
        if pixels is None and data:
            bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
            pixels = None if bgr is None else cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
    except (OSError, cv2.error) as error:
        raise UnusableImageError(f"cannot be read: {error}") from error
    if pixels is None:
        raise UnusableImageError("not a readable image")
    return pixels


def _read_converted(data: bytes) -> Pixels | None:
    """Read an image over white and in sRGB; None where that is left to another decoder."""
    try:
        image = open_image_file("it", data, DecodeOptions())
    except SourceError as error:
        raise UnusableImageError(str(error)) from error
    if image is None:
        return None
    if image.damage:
        raise UnusableImageError(image.damage)
    pixels = image.first.to_ndarray()
    return over_white(pixels[..., :3], pixels[..., 3]) if pixels.shape[2] == 4 else pixels


def check_size(image: Pixels, crop: int) -> None:
    """Check that a square crop fits into an image.

    Args:
        image: (H, W, 3) uint8.
        crop: Side of the crop, in pixels.

    Raises:
        UnusableImageError: It does not fit.
    """
    height, width = image.shape[:2]
    if min(height, width) < crop:
        raise UnusableImageError(f"{width} x {height}, smaller than the crop of {crop}")


def resize_to(image: Pixels, short_side: int) -> Pixels:
    """Resize an image (H, W, 3) so that its short side is `short_side` pixels."""
    scale = short_side / min(image.shape[:2])
    height, width = (max(short_side, round(side * scale)) for side in image.shape[:2])
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return cv2.resize(image, (width, height), interpolation=interpolation)


def draw_crop(
    size: tuple[int, ...], crop: int, random: np.random.Generator
) -> tuple[slice, slice, slice]:
    """Draw the position of a square crop, and whether it is mirrored.

    Args:
        size: Shape of the image, height and width first.
        crop: Side of the crop, in pixels.
        random: Generator; three numbers are drawn.

    Returns:
        Slices `rows`, `columns` and `mirror`, to be used as `image[rows, columns][:, mirror]`.
    """
    top, left = (int(random.integers(side - crop + 1)) for side in size[:2])
    mirror = slice(None, None, -1 if random.integers(2) else 1)
    return slice(top, top + crop), slice(left, left + crop), mirror


def to_tensor(images: NDArray[np.uint8]) -> Tensor:
    """Convert (N, H, W, 3) uint8 to (N, 3, H, W) float32 in [-1, 1], channels last in memory."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1


@functools.lru_cache(maxsize=4)
def _shuffled(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    """Return the order of the images in one epoch, (count,) int64."""
    return np.random.default_rng((seed, epoch)).permutation(count)
