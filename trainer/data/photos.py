"""Crops of photos, with drawings of them where a phase needs some.

In: a folder of images. Out: crops of a photo and of its drawing, by number. A drawing is made by
`trainer.data.drawing`, by `trainer.data.flat_drawing` or by a teacher network
(`trainer.training.distill`). It is expensive, so it is made once and cached as one JPEG with its
photo above it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from toonvid.errors import TrainingError
from toonvid.video import Pixels
from trainer.data.drawing import DRAWING_VERSION, draw_stacked, length_unit
from trainer.data.flat_drawing import FLAT_DRAWING_VERSION, draw_flat
from trainer.data.images import (
    ImageFolder,
    UnusableImageError,
    check_size,
    draw_crop,
    read_image,
    resize_to,
)
from trainer.data.layer_changes import change_layers, count_features
from trainer.data.tile_memory import TileMemory
from trainer.files import make_folder, write_atomically

TILE = 384
"""Maximum side, in pixels, of the part of a resized photo that is drawn and cached. Larger than a
crop, so that the crops of a tile differ."""

CACHE_FORMAT = [
    *(cv2.IMWRITE_JPEG_QUALITY, 95),
    *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
]
"""0.13 MB per photo and frame height, read in 2 ms; a PNG takes three times both. Without chroma
subsampling, lines keep their color."""


@dataclass(frozen=True)
class DrawingMethod:
    """A method of drawing photos."""

    draw: Callable[[Pixels, int], Pixels]
    """Function from a photo, (H, W, 3) uint8 RGB, and the short side of its frame in pixels, to a
    drawing: `layers` images of the same shape and dtype, stacked vertically."""
    key: int | str
    """Identifies the method in the cache: methods that draw differently have different keys."""
    layers: int = 1
    """Number of images that a drawing has; default 1."""


FLAT_DRAWING = DrawingMethod(draw_flat, FLAT_DRAWING_VERSION)
"""One image with flat colors and ink lines, see `trainer.data.flat_drawing`."""

LAYERED_DRAWING = DrawingMethod(draw_stacked, f"drawing {DRAWING_VERSION}", layers=2)
"""Flat color and ink as two layers, see `trainer.data.drawing`."""

SKIN_CANDIDATES = 5
"""Number of crops of which the one with most drawn features in skin is taken."""


@dataclass(frozen=True)
class CropSampling:
    """Which crops of layered drawings are taken, and how they are changed."""

    max_enlargement: float = 0.0
    """Largest factor by which a photo is enlarged, from 1; 0 for no limit."""
    skin_share: float = 0.0
    """Share of the crops that are the best of `SKIN_CANDIDATES`, in [0, 1]."""
    ink_growth: int = 0
    """Pixels by which lines grow on each side at `REFERENCE_HEIGHT`, from 0."""
    color_rounding: int = 0
    """Radius in pixels, at `REFERENCE_HEIGHT`, of the median over the flat color; 0 for none."""


class PhotoCrops:
    """Crops of the photos in a folder, in the order of an `ImageFolder`."""

    def __init__(
        self,
        folder: Path,
        cache: Path,
        drawing: DrawingMethod | None,
        frame_heights: tuple[int, ...],
        crop: int,
        seed: int,
        leave_out: tuple[Path, ...] = (),
        sampling: CropSampling = CropSampling(),
    ) -> None:
        """Find the photos; none is opened yet.

        Args:
            folder: Folder of images, searched recursively.
            cache: Folder for the drawings, created if it does not exist.
            drawing: How photos are drawn; None for no drawings, and no cache.
            frame_heights: Short sides in pixels to which photos are resized; each crop draws one.
            crop: Side in pixels of the square crops.
            seed: Seed of order, tiles, crop positions and mirroring.
            leave_out: Folders inside `folder` that are not searched, such as the run's own.
            sampling: Which crops are taken, and how they are changed.

        Raises:
            TrainingError: The folder contains no images, the crop does not fit, or the cache cannot
                be written.
        """
        if crop > min(*frame_heights, TILE):
            raise TrainingError(
                f"a crop of {crop} does not fit: the smallest frame height is "
                f"{min(frame_heights)}, the largest crop {TILE}"
            )
        self.images = ImageFolder(folder, seed, leave_out=(*leave_out, *filter(None, [cache])))
        self._cache = cache
        self._drawing = drawing
        self._frame_heights = frame_heights
        self._crop = crop
        self._seed = seed
        self._sampling = sampling
        self._tiles = TileMemory()
        self._short_sides: dict[Path, int] = {}
        if drawing:
            make_folder(cache)

    def crop(self, index: int) -> list[Pixels]:
        """Return crop number `index`, from 0 without end, and the same crop of its drawing.

        Returns:
            Images (crop, crop, 3) uint8, RGB: the photo, then each layer of its drawing.

        Raises:
            TrainingError: No photo can be used, or the cache cannot be written.
        """
        random = np.random.default_rng((self._seed, index))
        first, frame_height = self._cut(index, random)
        if self._sampling.skin_share and random.random() < self._sampling.skin_share:
            others = random.integers(2**31, size=SKIN_CANDIDATES - 1)
            candidates = [(first, frame_height), *(self._cut(int(i), random) for i in others)]
            first, frame_height = max(candidates, key=lambda found: count_features(found[0]))
        if len(first) < 3:
            return first
        unit = length_unit(frame_height)
        return change_layers(
            first, self._sampling.ink_growth * unit, self._sampling.color_rounding * unit
        )

    def _cut(self, index: int, random: np.random.Generator) -> tuple[list[Pixels], int]:
        """Return a crop of the photo at a position of the order, and its frame height."""
        draw = float(random.random()) if self._sampling.max_enlargement else None
        frame_height = 0 if draw is not None else int(random.choice(self._frame_heights))

        def use(path: Path) -> list[Pixels]:
            nonlocal frame_height
            if draw is not None:
                heights = self._fitting_heights(path)
                frame_height = heights[int(draw * len(heights))]
            return self._tiles.get((path, frame_height), lambda: self.prepare(path, frame_height))

        images = self.images.first_usable(index, use)
        rows, columns, mirror = draw_crop(images[0].shape, self._crop, random)
        return [image[rows, columns][:, mirror] for image in images], frame_height

    def _fitting_heights(self, path: Path) -> tuple[int, ...]:
        """Return the frame heights to which a photo need not be enlarged too much; at least one."""
        if path not in self._short_sides:
            self._short_sides[path] = min(read_image(path).shape[:2])
        limit = self._sampling.max_enlargement * self._short_sides[path]
        return tuple(h for h in self._frame_heights if h <= limit) or (min(self._frame_heights),)

    def prepare(self, path: Path, frame_height: int) -> list[Pixels]:
        """Return a photo's tile and its drawing, from the cache if they are in it.

        Args:
            path: Path of the photo.
            frame_height: Short side in pixels to which the photo is resized.

        Returns:
            Images (H, W, 3) uint8, RGB, H and W between the crop's side and `TILE`: the photo, then
            each layer of its drawing. Without a drawing, only the whole resized photo.

        Raises:
            TrainingError: The photo cannot be used, or the cache cannot be written.
        """
        if not self._drawing:
            return [self._read(path, frame_height)]
        key = self._cache_key(path, frame_height, self._drawing)
        cached = self._cache / f"{key}.jpg"
        pair = cv2.imread(str(cached)) if cached.is_file() else None
        if pair is None:
            drawn = self._draw_pair(path, frame_height, key, self._drawing)
            encoded = cv2.imencode(".jpg", drawn, CACHE_FORMAT)[1]
            write_atomically(cached, encoded.tobytes())
            # Decode what was just encoded: the first use must equal all later ones.
            pair = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
        return np.vsplit(cv2.cvtColor(pair, cv2.COLOR_BGR2RGB), 1 + self._drawing.layers)

    def _read(self, path: Path, frame_height: int) -> Pixels:
        photo = read_image(path)
        check_size(photo, self._crop)
        return resize_to(photo, frame_height)

    def _draw_pair(self, path: Path, frame_height: int, key: str, drawing: DrawingMethod) -> Pixels:
        """Return a tile of the photo above its drawing, (2 H, W, 3) uint8, BGR."""
        photo = cut_tile(self._read(path, frame_height), np.random.default_rng(int(key, 16)))
        drawn = drawing.draw(photo, frame_height)
        # One file for both: they are written in one step and cannot belong to different tiles.
        return cv2.cvtColor(np.vstack([photo, drawn]), cv2.COLOR_RGB2BGR)

    def _cache_key(self, path: Path, frame_height: int, drawing: DrawingMethod) -> str:
        """Return the name of a tile in the cache; it depends on the photo, height, seed and method.

        It depends on the photo's content, not its path, so that a copy of the folder gives the same
        tiles.
        """
        try:
            content = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise UnusableImageError(str(error.strerror)) from error
        parts = (content, frame_height, self._crop, self._seed, TILE)
        text = repr((*parts, drawing.key))
        return hashlib.sha256(text.encode()).hexdigest()[:32]


def cut_tile(photo: Pixels, random: np.random.Generator) -> Pixels:
    """Cut a tile of at most `TILE` x `TILE` pixels at a random position of a photo (H, W, 3)."""
    top, left = (random.integers(max(side - TILE, 0) + 1) for side in photo.shape[:2])
    return photo[top : top + TILE, left : left + TILE]
