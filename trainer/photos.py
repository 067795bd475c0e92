"""Crops of photos, with drawings of them where a phase asks for some.

A drawing is the photo's abstraction, or what a teacher makes of it. Drawings are expensive, so each
is made once and kept in a cache folder, as one JPEG with its photo above it.
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
from trainer.abstraction import ABSTRACTION_VERSION, draw_abstraction
from trainer.data.drawing import DRAWING_VERSION, draw_stacked
from trainer.files import make_folder, write_atomically
from trainer.pictures import (
    PictureFolder,
    UnusablePictureError,
    check_size,
    draw_crop,
    read_picture,
    resize_to,
)

TILE = 384
"""Longest side in pixels of the part that is kept of a resized photo: 1.4 to 4 crops of it."""

CACHE_FORMAT = [
    *(cv2.IMWRITE_JPEG_QUALITY, 95),
    *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
]
"""0.13 MB a photo and frame height, read in 2 ms; as PNG it would be three times both."""


@dataclass(frozen=True)
class Drawing:
    """A way to draw a photo."""

    draw: Callable[[Pixels, int], Pixels]
    """From a photo (H, W, 3) uint8, RGB, and the short side of its frame, to the same shape."""
    key: int | str
    """Names the way: another one draws the same photo otherwise."""
    layers: int = 1
    """Pictures of the photo's shape that `draw` gives, one above the other."""


ABSTRACTION = Drawing(draw_abstraction, ABSTRACTION_VERSION)
LAYERED_DRAWING = Drawing(draw_stacked, f"drawing {DRAWING_VERSION}", layers=2)


class PhotoCrops:
    """Crops of the photos in a folder, in the order of a `PictureFolder`."""

    def __init__(
        self,
        folder: Path,
        cache: Path,
        drawing: Drawing | None,
        frame_heights: tuple[int, ...],
        crop: int,
        seed: int,
        leave_out: tuple[Path, ...] = (),
    ) -> None:
        """Look for photos; none is opened yet.

        Args:
            folder: Searched with all folders in it.
            cache: Folder for the drawings, made if it is not there.
            drawing: How photos are drawn; None draws none, and needs no cache.
            frame_heights: Short sides in pixels that photos are resized to; each crop draws one.
            crop: Side in pixels of the square crops.
            seed: Decides order, tiles, crops and mirroring.
            leave_out: Folders that may lie in `folder` and hold no photos: the run's own.

        Raises:
            TrainingError: There are no photos, the crop does not fit, or the cache is read-only.
        """
        if crop > min(*frame_heights, TILE):
            raise TrainingError(
                f"a crop of {crop} does not fit: the smallest frame height is "
                f"{min(frame_heights)}, the largest crop {TILE}"
            )
        self.pictures = PictureFolder(folder, seed, leave_out=(*leave_out, *filter(None, [cache])))
        self._cache = cache
        self._drawing = drawing
        self._frame_heights = frame_heights
        self._crop = crop
        self._seed = seed
        if drawing:
            make_folder(cache)

    def crop(self, index: int) -> list[Pixels]:
        """Crop number `index` (from 0) of the endless order, and the same crop of its drawing.

        Returns:
            Pictures (crop, crop, 3) uint8, RGB: the photo, then each layer of its drawing.

        Raises:
            TrainingError: No photo can be used, or the cache cannot be written.
        """
        random = np.random.default_rng((self._seed, index))
        frame_height = int(random.choice(self._frame_heights))
        made = self.pictures.first_usable(index, lambda path: self.prepare(path, frame_height))
        rows, columns, mirror = draw_crop(made[0].shape, self._crop, random)
        return [picture[rows, columns][:, mirror] for picture in made]

    def prepare(self, path: Path, frame_height: int) -> list[Pixels]:
        """A photo's tile and its drawing, from the cache if they are there.

        Args:
            path: Of the photo.
            frame_height: Short side that the photo is resized to.

        Returns:
            Pictures (H, W, 3) uint8, RGB, H and W from the crop to `TILE`: the photo, then each
            layer of its drawing. Without a drawing, the whole resized photo alone.

        Raises:
            TrainingError: The photo cannot be used, or the cache cannot be written.
        """
        if not self._drawing:
            return [self._read(path, frame_height)]
        key = self._cache_key(path, frame_height, self._drawing)
        place = self._cache / f"{key}.jpg"
        pair = cv2.imread(str(place)) if place.is_file() else None
        if pair is None:
            made = self._draw_pair(path, frame_height, key, self._drawing)
            encoded = cv2.imencode(".jpg", made, CACHE_FORMAT)[1]
            write_atomically(place, encoded.tobytes())
            pair = cv2.imdecode(encoded, cv2.IMREAD_COLOR)  # as every later reading has it
        return np.vsplit(cv2.cvtColor(pair, cv2.COLOR_BGR2RGB), 1 + self._drawing.layers)

    def _read(self, path: Path, frame_height: int) -> Pixels:
        photo = read_picture(path)
        check_size(photo, self._crop)
        return resize_to(photo, frame_height)

    def _draw_pair(self, path: Path, frame_height: int, key: str, drawing: Drawing) -> Pixels:
        """A tile of the photo above its drawing, BGR."""
        photo = cut_tile(self._read(path, frame_height), np.random.default_rng(int(key, 16)))
        drawn = drawing.draw(photo, frame_height)
        return cv2.cvtColor(np.vstack([photo, drawn]), cv2.COLOR_RGB2BGR)

    def _cache_key(self, path: Path, frame_height: int, drawing: Drawing) -> str:
        """Names a tile's file: another photo, height, seed or way of drawing gives another one.

        The photo's content names it, so that a copy of the folder trains on the very same tiles.
        """
        try:
            content = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise UnusablePictureError(str(error.strerror)) from error
        parts = (content, frame_height, self._crop, self._seed, TILE)
        text = repr((*parts, drawing.key))
        return hashlib.sha256(text.encode()).hexdigest()[:32]


def cut_tile(photo: Pixels, random: np.random.Generator) -> Pixels:
    """Cut at most `TILE` x `TILE` pixels out of a photo, anywhere."""
    top, left = (random.integers(max(side - TILE, 0) + 1) for side in photo.shape[:2])
    return photo[top : top + TILE, left : left + TILE]
