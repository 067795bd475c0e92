"""Photos and their abstractions as batches, in an order that seed and step alone decide.

Abstractions are expensive, so each is drawn once and kept in a cache folder, as one JPEG with its
photo above it. Nothing is kept in memory: hundreds of thousands of photos cost their names.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import threading
from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from toonvid.errors import TrainingError
from toonvid.video import Pixels
from trainer.abstraction import ABSTRACTION_VERSION, draw_abstraction
from trainer.files import make_folder, write_atomically

log = logging.getLogger(__name__)

PICTURE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})

TILE = 384
"""Longest side in pixels of the part that is kept of a resized photo: 1.4 to 4 crops of it."""

CACHE_FORMAT = [
    *(cv2.IMWRITE_JPEG_QUALITY, 95),
    *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
]
"""0.13 MB a photo and frame height, read in 2 ms; as PNG it would be three times both."""

BATCHES_AHEAD = 4


@dataclass(frozen=True)
class Batch:
    """Photos and what the generator shall make of them."""

    photos: Tensor
    """p, (N, 3, H, W) float32 in [-1, 1]."""
    abstractions: Tensor
    """The same crops of the abstractions, same shape and range."""


class PhotoDataset:
    """Crops of the photos in a folder with their abstractions.

    A photo that cannot be read, or is smaller than the crop, is left out: it is named in `skipped`,
    and the next one in order takes its place.
    """

    def __init__(
        self,
        folder: Path,
        cache: Path,
        frame_heights: tuple[int, ...],
        crop: int,
        seed: int,
        leave_out: Path | None = None,
    ) -> None:
        """Look for photos; none is opened yet.

        Args:
            folder: Searched with all folders in it.
            cache: Folder for the abstractions; made if it is not there.
            frame_heights: Short sides in pixels that photos are resized to; each crop draws one.
            crop: Side in pixels of the square crops.
            seed: Decides order, tiles, crops and mirroring.
            leave_out: A folder that may lie in `folder` and holds no photos: the run's own.

        Raises:
            TrainingError: There are no photos, the crop does not fit, or the cache is read-only.
        """
        if crop > min(*frame_heights, TILE):
            raise TrainingError(
                f"a crop of {crop} does not fit: the smallest frame height is "
                f"{min(frame_heights)}, the largest crop {TILE}"
            )
        self.folder = folder
        self.paths = find_pictures(folder, leave_out=(cache, leave_out or cache))
        self.skipped: dict[Path, str] = {}
        """What was left out, and why."""
        self._cache = cache
        self._frame_heights = frame_heights
        self._crop = crop
        self._seed = seed
        self._skipping = threading.Lock()
        make_folder(cache)

    def batches(self, batch_size: int, first: int, workers: int) -> Generator[Batch, None, None]:
        """Yield batches without end, prepared ahead on `workers` threads.

        Args:
            batch_size: Crops in a batch.
            first: Number of the first batch, from 0.
            workers: Threads; they only decide how soon a batch is there, never what is in it.

        Yields:
            Batch number `first`, and all after it in order.

        Raises:
            TrainingError: No photo can be used, or the cache cannot be written.
        """
        with ThreadPoolExecutor(workers, thread_name_prefix="photos") as pool:
            ahead: deque[Future[Batch]] = deque()
            try:
                for number in range(first, first + BATCHES_AHEAD):
                    ahead.append(pool.submit(self.batch, number, batch_size))
                while True:
                    number += 1
                    ahead.append(pool.submit(self.batch, number, batch_size))
                    yield ahead.popleft().result()
            finally:
                pool.shutdown(cancel_futures=True)

    def batch(self, number: int, batch_size: int) -> Batch:
        """Batch number `number` (from 0): always the same for the same photos and seed."""
        first = number * batch_size
        pairs = [self._crop_pair(index) for index in range(first, first + batch_size)]
        photos, abstractions = zip(*pairs, strict=True)
        return Batch(to_tensor(np.stack(photos)), to_tensor(np.stack(abstractions)))

    def prepare(self, index: int, frame_height: int) -> tuple[Pixels, Pixels]:
        """The tile of a photo and its abstraction, from the cache if they are there.

        Args:
            index: Of the photo, in `paths`.
            frame_height: Short side that the photo is resized to.

        Returns:
            Two pictures (H, W, 3) uint8, RGB, H and W from the crop to `TILE`.

        Raises:
            TrainingError: The photo cannot be used, or the cache cannot be written.
        """
        key = self._cache_key(self.paths[index], frame_height)
        path = self._cache / f"{key}.jpg"
        pair = cv2.imread(str(path)) if path.is_file() else None
        if pair is None:
            pair = self._draw_pair(self.paths[index], frame_height, key)
            encoded = cv2.imencode(".jpg", pair, CACHE_FORMAT)[1]
            write_atomically(path, encoded.tobytes())
            pair = cv2.imdecode(encoded, cv2.IMREAD_COLOR)  # as every later reading has it
        photo, abstraction = np.vsplit(cv2.cvtColor(pair, cv2.COLOR_BGR2RGB), 2)
        return photo, abstraction

    def _crop_pair(self, index: int) -> tuple[Pixels, Pixels]:
        """Crop number `index` (from 0) of the endless order, with its abstraction."""
        random = np.random.default_rng((self._seed, index))
        frame_height = int(random.choice(self._frame_heights))
        photo, abstraction = self._first_usable(index, frame_height)
        top, left = (random.integers(side - self._crop + 1) for side in photo.shape[:2])
        cut = np.s_[top : top + self._crop, left : left + self._crop]
        mirror = np.s_[:, :: -1 if random.integers(2) else 1]
        return photo[cut][mirror], abstraction[cut][mirror]

    def _first_usable(self, index: int, frame_height: int) -> tuple[Pixels, Pixels]:
        """The photo at this place of the order, or the next one that can be used."""
        epoch, place = divmod(index, len(self.paths))
        order = _shuffled(self._seed, epoch, len(self.paths))
        for offset in range(len(order)):
            photo = order[(place + offset) % len(order)]
            path = self.paths[photo]
            if path in self.skipped:
                continue
            try:
                return self.prepare(int(photo), frame_height)
            except UnusablePhotoError as error:
                self._skip(path, str(error))
        path, reason = next(iter(self.skipped.items()))
        raise TrainingError(f"no photo in {self.folder} can be used; {path.name}: {reason}")

    def _skip(self, path: Path, reason: str) -> None:
        with self._skipping:
            if path not in self.skipped:
                log.warning("skipped %s: %s", path, reason)
            self.skipped[path] = reason

    def _draw_pair(self, path: Path, frame_height: int, key: str) -> Pixels:
        """A tile of the photo above its abstraction, BGR."""
        photo = read_picture(path)
        if min(photo.shape[:2]) < self._crop:
            height, width = photo.shape[:2]
            raise UnusablePhotoError(f"{width} x {height}, smaller than the crop of {self._crop}")
        photo = cut_tile(resize_to(photo, frame_height), np.random.default_rng(int(key, 16)))
        drawing = draw_abstraction(photo, frame_height)
        return cv2.cvtColor(np.vstack([photo, drawing]), cv2.COLOR_RGB2BGR)

    def _cache_key(self, path: Path, frame_height: int) -> str:
        """Names a tile's file: another photo, height, seed or way of drawing gives another one."""
        try:
            stat = path.stat()
        except OSError as error:
            raise UnusablePhotoError(str(error.strerror)) from error
        name = path.relative_to(self.folder).as_posix()
        parts = (name, stat.st_size, stat.st_mtime_ns, frame_height, self._crop, self._seed, TILE)
        text = repr((*parts, ABSTRACTION_VERSION))
        return hashlib.sha256(text.encode()).hexdigest()[:32]


class UnusablePhotoError(TrainingError):
    """One photo cannot be used; the others can."""


def find_pictures(folder: Path, leave_out: tuple[Path, ...] = ()) -> list[Path]:
    """Pictures in a folder and the folders in it, but for those left out, in order of their names.

    Raises:
        TrainingError: The folder cannot be read, or holds none.
    """
    if not folder.is_dir():
        raise TrainingError(f"{folder} is not a folder of photos")
    found = (path for path in folder.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES)
    root, places = folder.resolve(), [place.resolve() for place in leave_out]
    inside = [folder / place.relative_to(root) for place in places if place.is_relative_to(root)]
    pictures = sorted(
        path
        for path in found
        if path.is_file() and not any(path.is_relative_to(place) for place in inside)
    )
    if not pictures:
        raise TrainingError(f"no photos in {folder} (looked for jpg, png, webp, bmp and tiff)")
    return pictures


def read_picture(path: Path) -> Pixels:
    """Read a picture as (H, W, 3) uint8, RGB, turned the way its camera was held.

    Raises:
        UnusablePhotoError: It cannot be read.
    """
    try:
        # Not cv2.imread: on Windows that cannot open every name.
        encoded = np.frombuffer(path.read_bytes(), np.uint8)
        pixels = cv2.imdecode(encoded, cv2.IMREAD_COLOR) if encoded.size else None
    except (OSError, cv2.error) as error:
        raise UnusablePhotoError(f"cannot be read: {error}") from error
    if pixels is None:
        raise UnusablePhotoError("not a picture that can be read")
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def resize_to(photo: Pixels, frame_height: int) -> Pixels:
    """Resize a photo so that its short side is `frame_height`."""
    scale = frame_height / min(photo.shape[:2])
    height, width = (max(frame_height, round(side * scale)) for side in photo.shape[:2])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return cv2.resize(photo, (width, height), interpolation=how)


def cut_tile(photo: Pixels, random: np.random.Generator) -> Pixels:
    """Cut at most `TILE` x `TILE` pixels out of a photo, anywhere."""
    top, left = (random.integers(max(side - TILE, 0) + 1) for side in photo.shape[:2])
    return photo[top : top + TILE, left : left + TILE]


def to_tensor(pictures: NDArray[np.uint8]) -> Tensor:
    """(N, H, W, 3) uint8 to (N, 3, H, W) float32 in [-1, 1], channels last in memory."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1


@functools.lru_cache(maxsize=2)
def _shuffled(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    """The order of the photos in one epoch."""
    return np.random.default_rng((seed, epoch)).permutation(count)
