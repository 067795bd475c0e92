"""Crops of cartoons, each with its smoothed twin, at several scales."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from toonvid.video import Pixels
from trainer.data.edge_smoothing import smooth_edges
from trainer.data.images import ImageFolder, check_size, draw_crop, read_image, resize_to


class CartoonCrops:
    """Crops of the cartoons in a folder, in the order of a `ImageFolder`.

    Edges are smoothed on the fly: it takes 1 ms a crop, which is less than reading it back.
    """

    def __init__(self, folder: Path, scales: tuple[float, ...], crop: int, seed: int) -> None:
        """Look for cartoons; none is opened yet.

        Args:
            folder: Searched with all folders in it.
            scales: What cartoons are resized by; each crop draws one. A cartoon that a crop would
                then not fit into is resized less.
            crop: Side in pixels of the square crops.
            seed: Decides order, scales, crops and mirroring.

        Raises:
            TrainingError: There are no cartoons.
        """
        self.images = ImageFolder(folder, seed, "cartoons")
        self._scales = scales
        self._crop = crop
        self._seed = seed

    def crop(self, index: int) -> list[Pixels]:
        """Crop number `index` (from 0) of the endless order, and the same crop smoothed.

        Returns:
            Two pictures (crop, crop, 3) uint8, RGB.

        Raises:
            TrainingError: No cartoon can be used.
        """
        # Not the photos' numbers: that would tie the places of their crops together.
        random = np.random.default_rng((self._seed, index, 1))
        scale = float(random.choice(self._scales))
        cartoon = self.images.first_usable(index, lambda path: self._read(path, scale))
        rows, columns, mirror = draw_crop(cartoon.shape, self._crop, random)
        cut = np.ascontiguousarray(cartoon[rows, columns][:, mirror])
        return [cut, smooth_edges(cut)]

    def _read(self, path: Path, scale: float) -> Pixels:
        cartoon = read_image(path)
        check_size(cartoon, self._crop)
        short_side = min(cartoon.shape[:2])
        wanted = max(self._crop, round(scale * short_side))
        return cartoon if wanted == short_side else resize_to(cartoon, wanted)
