"""The steady cartoon of a frame: the last one, moved, blended with the present cartoon.

How motion is found (`toonvid.stylizing.motion`) and how much is kept (`toonvid.stylizing.steady`)
is left out.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from toonvid.ffmpeg.masked_merge import MaskedMerge
from toonvid.stylizing.motion import Vectors
from toonvid.stylizing.moving import Bytes, KeptFrame, Mover, repeat_bytes
from toonvid.stylizing.near_colors import ROWS, near_colors
from toonvid.video import Pixels

_CHANNELS = 3
_BAND_BYTES = 1 << 18  # searched for colors at a time, so that they stay in the CPU's cache


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
        self._lowest = np.empty((self._mover.grid[0] * cell // ROWS, width * _CHANNELS), np.uint8)
        self._highest = np.empty_like(self._lowest)

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
        if near_motion.any():
            self._find_bounds(rows, near_motion)
        wide_weights = repeat_bytes(weights, _CHANNELS * side)[:, :row_bytes]
        for row, whole_cells in enumerate(mover.rows(last, vectors)):
            present = rows[row :: mover.cell]
            if not len(present):  # lower than a cell
                break
            moved = whole_cells[: len(present), :row_bytes]
            if near_motion.any():
                moved = self._clip(moved, row)
            share = wide_weights[row // side :: mover.cell // side]
            merge = self._merges.get(len(present))
            if merge is None:
                merge = self._merges[len(present)] = MaskedMerge(len(present), row_bytes)
            result.rows[row :: mover.cell] = merge(present, moved, share[: len(present)])
        return result

    def _find_bounds(self, rows: Bytes, near_motion: NDArray[np.bool_]) -> None:
        """Set the lowest and highest bytes that a moved frame may have: those near them in the
        present cartoon, channel by channel, and any where no cell moves."""
        mover, row_bytes = self._mover, rows.shape[1]
        cells = max(1, _BAND_BYTES // (mover.cell * row_bytes))
        for top in range(0, mover.grid[0], cells):
            near = near_motion[top : top + cells]
            band = slice(top * mover.cell // ROWS, (top + len(near)) * mover.cell // ROWS)
            lowest, highest = self._lowest[band], self._highest[band]
            lowest[...], highest[...] = near_colors(
                rows, top * mover.cell, len(near) * mover.cell, _CHANNELS
            )
            if not near.all():
                still = mover.spread(np.uint8(255) * ~near)[:, None, :row_bytes]
                by_cells = (len(near), -1, row_bytes)
                highest.reshape(by_cells)[...] |= still
                lowest.reshape(by_cells)[...] &= ~still

    def _clip(self, moved: Bytes, row: int) -> Bytes:
        """Bring some rows of a moved frame, `cell` rows apart, between the bounds."""
        some = slice(row // ROWS, None, self._mover.cell // ROWS)
        clipped = np.maximum(moved, self._lowest[some][: len(moved)])
        return np.minimum(clipped, self._highest[some][: len(moved)], out=clipped)


def _beside(moving: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Cells that are set, and the eight around each."""
    padded = np.pad(moving, 1)
    rows = padded[:-2] | padded[1:-1] | padded[2:]
    beside: NDArray[np.bool_] = rows[:, :-2] | rows[:, 1:-1] | rows[:, 2:]
    return beside
