"""The steady cartoon of a frame: the last one, moved, blended with the present cartoon.

How motion is found (`toonvid.stylizing.motion`) and how much is kept (`toonvid.stylizing.steady`)
is left out.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from toonvid.ffmpeg.masked_merge import MaskedMerge
from toonvid.stylizing.motion import Vectors
from toonvid.stylizing.moving import Bytes, KeptFrame, MovedBand, Mover, repeat_bytes
from toonvid.stylizing.near_colors import ROWS, near_colors
from toonvid.video import Pixels

_CHANNELS = 3


class CartoonBlender:
    """Moves and blends the cartoons of one size. Used by one thread at a time."""

    def __init__(
        self, height: int, width: int, cell: int, weight_side: int, is_bilinear: bool
    ) -> None:
        """Reserve memory.

        Args:
            height: In pixels.
            width: In pixels.
            cell: Side of a cell in pixels, a multiple of `near_colors.ROWS`.
            weight_side: Side in pixels of the squares that have one weight; divides `cell`.
            is_bilinear: How places between pixels are interpolated (`toonvid.stylizing.moving`).
        """
        self._mover = Mover(height, width, _CHANNELS, cell, is_bilinear)
        self._weight_side = weight_side
        self._merges: dict[int, MaskedMerge] = {}  # by number of rows

    def keep(self, cartoon: Pixels) -> KeptFrame:
        """Copy a cartoon with which a scene begins, (H, W, 3)."""
        kept = self._mover.empty()
        kept.pixels[...] = cartoon
        return kept

    def blend(
        self, cartoon: Pixels, last: KeptFrame, vectors: Vectors, weights: Bytes
    ) -> KeptFrame:
        """cartoon + weights / 255 (moved - cartoon), rounded, where moved is the last cartoon.

        Where a cell or one beside it moves, what the last frame shows there is brought into the
        range of the colors that the present frame has around a pixel (Karis, 2014, does so against
        ghosts in games): a line that moves with the wrong cell would be seen where there is none.

        Args:
            cartoon: The present cartoon, (H, W, 3).
            last: The last one.
            vectors: For each cell, in 1 / FRACTION pixels.
            weights: For each square, (ceil(H / weight_side), ceil(W / weight_side)).
        """
        mover, side = self._mover, self._weight_side
        result = mover.empty()
        rows = np.ascontiguousarray(cartoon).reshape(result.rows.shape)
        row_bytes = _CHANNELS * mover.width
        vectors = mover.fit(vectors)
        near_motion = _beside((vectors != 0).any(axis=2))
        wide_weights = repeat_bytes(weights, _CHANNELS * side)[:, :row_bytes]
        for band in mover.bands(last, vectors):
            moved = band.rows
            if near_motion[band.cells].any():
                moved = self._clip(band, rows, near_motion[band.cells])
            top = band.cells.start * mover.cell
            bottom = min(band.cells.stop * mover.cell, mover.height)
            count = bottom - top
            share = wide_weights[top // side : -(-bottom // side)].repeat(side, axis=0)
            merge = self._merges.get(count)
            if merge is None:
                merge = self._merges[count] = MaskedMerge(count, row_bytes)
            result.rows[top:bottom] = merge(
                rows[top:bottom], moved[:count, :row_bytes], share[:count]
            )
        return result

    def _clip(self, band: MovedBand, rows: Bytes, near_motion: NDArray[np.bool_]) -> Bytes:
        """Bring moved bytes between those near them in the present cartoon, channel by channel, in
        the cells that move and those beside them."""
        mover, row_bytes = self._mover, rows.shape[1]
        lowest, highest = near_colors(
            rows, band.cells.start * mover.cell, len(band.rows), _CHANNELS
        )
        if not near_motion.all():
            still = mover.spread(np.uint8(255) * ~near_motion)[:, None, :row_bytes]
            by_cells = (len(near_motion), -1, row_bytes)
            highest.reshape(by_cells)[...] |= still
            lowest.reshape(by_cells)[...] &= ~still
        moved = band.rows.reshape(len(lowest), ROWS, -1)[..., :row_bytes]
        clipped = np.empty((len(lowest), ROWS, row_bytes), np.uint8)
        np.maximum(moved, lowest[:, None], out=clipped)
        np.minimum(clipped, highest[:, None], out=clipped)
        return clipped.reshape(-1, row_bytes)


def _beside(moving: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Cells that are set, and the eight around each."""
    padded = np.pad(moving, 1)
    rows = padded[:-2] | padded[1:-1] | padded[2:]
    beside: NDArray[np.bool_] = rows[:, :-2] | rows[:, 1:-1] | rows[:, 2:]
    return beside
