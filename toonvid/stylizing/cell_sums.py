"""What least squares needs to follow cells from one frame to the next: sums over each cell.

Two frames and vectors in whole pixels go in; sums of products of slopes and differences come out.
Every sum is written as additions of whole arrays, whose order does not depend on the CPU. How
vectors are found from them is left out (`toonvid.stylizing.motion`).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations_with_replacement
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Luma: TypeAlias = NDArray[np.float32]
"""Brightness of a frame, (H, W), whole levels in 0..255; also other values of pixels or cells."""

CELL = 4  # side in pixels

_LARGEST_DIFFERENCE = 64.0  # levels that count; what has been hidden or uncovered differs by more
_BAND_PIXELS = 32768  # worked on at a time, so that intermediate values stay in the CPU's cache


def sum_products(before: Luma, after: Luma, whole_across: Luma, whole_down: Luma) -> Luma:
    """Sums over each cell of the products that least squares needs.

    Args:
        before: Shape (H, W), whole cells.
        after: The next frame, same shape.
        whole_across, whole_down: Vectors in whole pixels that stay inside.

    Returns:
        Of the slopes x and y and the difference d of the moved frame before and the frame: xx, xy,
        xd, yy, yd and dd, (6, H / CELL, W / CELL).
    """
    height, width = after.shape
    sums = np.empty((6, height // CELL, width // CELL), np.float32)
    step = max(1, min(height, _BAND_PIXELS // width) // CELL)
    scratch = np.empty((8, step * CELL, width), np.float32)
    half = np.float32(0.5)
    for top in range(0, height, step * CELL):
        bottom = min(top + step * CELL, height)
        present = after[top:bottom]
        cells = slice(top // CELL, bottom // CELL)
        difference = fetch_cells(before, whole_across, whole_down, cells)
        x_slope, y_slope, *products = scratch[:, : bottom - top]
        # Slopes at the edges stay 0.
        x_slope[:, 0] = x_slope[:, -1] = 0
        np.subtract(present[:, 2:], present[:, :-2], out=x_slope[:, 1:-1])
        above, below = max(top, 1), min(bottom, height - 1)
        y_slope[: above - top] = y_slope[below - top :] = 0
        np.subtract(
            after[above + 1 : below + 1],
            after[above - 1 : below - 1],
            out=y_slope[above - top : below - top],
        )
        x_slope *= half
        y_slope *= half
        difference -= present
        np.clip(difference, -_LARGEST_DIFFERENCE, _LARGEST_DIFFERENCE, out=difference)
        pairs = combinations_with_replacement((x_slope, y_slope, difference), 2)
        for (one, other), out in zip(pairs, products, strict=True):
            np.multiply(one, other, out=out)
        sums[:, cells] = cell_sums(scratch[2:, : bottom - top])
    return sums


def sample_products(before: Luma, after: Luma, whole_across: Luma, whole_down: Luma) -> Luma:
    """What `sum_products` gives but dd, from the second row of each cell alone."""
    height, width = after.shape
    by_cells = after.reshape(-1, CELL, width)
    sums = np.empty((5, height // CELL, width // CELL), np.float32)
    step = max(1, _BAND_PIXELS // 2 // width)
    for top in range(0, height // CELL, step):
        cells = slice(top, top + step)
        above, present, below = (by_cells[cells, row] for row in range(3))
        difference = fetch_cells(before, whole_across, whole_down, cells, rows=[1])
        difference -= present
        np.clip(difference, -_LARGEST_DIFFERENCE, _LARGEST_DIFFERENCE, out=difference)
        x_slope, y_slope = np.zeros_like(difference), below - above
        np.subtract(present[:, 2:], present[:, :-2], out=x_slope[:, 1:-1])
        x_slope *= np.float32(0.5)
        y_slope *= np.float32(0.5)
        # The first columns of all cells, then their second ones, and so on: sums are then
        # additions of whole arrays.
        columns = [
            np.ascontiguousarray(each.reshape(len(each), -1, CELL).transpose(2, 0, 1))
            for each in (x_slope, y_slope, difference)
        ]
        pairs = combinations_with_replacement(columns, 2)
        for (one, other), out in zip(pairs, sums, strict=False):  # dd is left out
            np.sum(one * other, axis=0, out=out[cells])
    sums *= np.float32(CELL)  # one row instead of four
    return sums


def fetch_cells(
    before: Luma,
    whole_across: Luma,
    whole_down: Luma,
    cells: slice = slice(None),
    rows: Sequence[int] = range(CELL),
) -> Luma:
    """Some rows of cells of the frame before, moved by whole pixels: all or some of their rows."""
    width = before.shape[1]
    # The row of a cell is fetched as one number of 16 bytes, from any pixel.
    starts = np.ndarray((before.size - CELL + 1,), f"V{4 * CELL}", before, strides=(4,))
    index = whole_down[cells] * np.float32(width)
    index += whole_across[cells]
    first = index.astype(np.intp)
    first += np.arange(0, width, CELL)
    first += np.arange(0, before.size, CELL * width)[cells, None]
    fetched = first[:, None] + (np.array(rows) * width)[:, None]
    moved: Luma = starts[fetched].view(np.float32).reshape(-1, width)
    return moved


def cell_sums(values: Luma) -> Luma:
    """Sums over each cell, (..., H / CELL, W / CELL); sides are multiples of a cell."""
    *others, height, width = values.shape
    cells = values.reshape(*others, height // CELL, CELL, width)
    rows = cells[..., 0, :] + cells[..., 1, :]
    for row in range(2, CELL):
        rows += cells[..., row, :]
    pairs = rows[..., ::2] + rows[..., 1::2]
    sums: Luma = pairs[..., ::2] + pairs[..., 1::2]
    return sums
