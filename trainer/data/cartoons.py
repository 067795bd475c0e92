"""Crops of cartoons at several scales, each with its smoothed copy.

In: a folder of images. Out: pairs of crops, by number. Both are uint8; `trainer.data.dataset` makes
tensors of them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from toonvid.video import Pixels
from trainer.data.edge_smoothing import smooth_edges
from trainer.data.images import ImageFolder, check_size, draw_crop, read_image, resize_to
from trainer.data.tile_memory import TileMemory


class CartoonCrops:
    """Crops of the cartoons in a folder, in the order of an `ImageFolder`.

    Edges are smoothed on the fly, not cached: smoothing takes 1 ms per crop, reading takes longer.
    """

    def __init__(
        self,
        folder: Path,
        scales: tuple[float, ...],
        crop: int,
        seed: int,
        leave_out: tuple[Path, ...] = (),
    ) -> None:
        """Find the cartoons; none is opened yet.

        Args:
            folder: Folder of images, searched recursively.
            scales: Factors by which cartoons are resized; each crop draws one. A cartoon that would
                become smaller than a crop is resized less.
            crop: Side in pixels of the square crops.
            seed: Seed of order, scales, crop positions and mirroring.
            leave_out: Folders inside `folder` that are not searched, such as the run's own.

        Raises:
            TrainingError: The folder contains no images.
        """
        self.images = ImageFolder(folder, seed, "cartoons", leave_out)
        self._scales = scales
        self._crop = crop
        self._seed = seed
        self._resized = TileMemory()

    def crop(self, index: int) -> list[Pixels]:
        """Return crop number `index`, from 0 without end, and the same crop smoothed.

        Returns:
            Two images (crop, crop, 3) uint8, RGB.

        Raises:
            TrainingError: No cartoon can be used.
        """
        # The 1 keeps the positions independent of those of the photos, which use (seed, index).
        random = np.random.default_rng((self._seed, index, 1))
        scale = float(random.choice(self._scales))

        def use(path: Path) -> list[Pixels]:
            return self._resized.get((path, scale), lambda: [self._read(path, scale)])

        (cartoon,) = self.images.first_usable(index, use)
        rows, columns, mirror = draw_crop(cartoon.shape, self._crop, random)
        cut = np.ascontiguousarray(cartoon[rows, columns][:, mirror])
        return [cut, smooth_edges(cut)]

    def _read(self, path: Path, scale: float) -> Pixels:
        cartoon = read_image(path)
        check_size(cartoon, self._crop)
        short_side = min(cartoon.shape[:2])
        wanted = max(self._crop, round(scale * short_side))
        return cartoon if wanted == short_side else resize_to(cartoon, wanted)
