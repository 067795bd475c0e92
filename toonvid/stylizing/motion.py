"""Motion between two frames of a source: their luma goes in, a vector for each cell comes out.

Cells are squares of 4 pixels. Their vectors are found from coarse to fine: a search over whole
pixels at the coarsest size, then one step of least squares (Lucas and Kanade, 1981) at each size,
over windows of 3 x 3 cells. Neighboring cells share most of their windows, so that their vectors
hardly differ where the motion does not.

Sums over many pixels are sums of sixteenths, which float32 adds exactly in any order: the vectors
are the same on every machine. Moving pixels along the vectors is left out
(`toonvid.stylizing.packed`).
"""

from __future__ import annotations

from itertools import product
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Luma: TypeAlias = NDArray[np.float32]
"""Brightness of a frame, (H, W), whole levels in 0..255; also other values of pixels or cells."""

Vectors: TypeAlias = NDArray[np.int32]
"""For each cell, the way right and down to its place in the frame before, (rows, columns, 2). The
last row and column of cells reach to the edges of the frame."""

CELL = 4  # side in pixels
FRACTION = 16  # steps of a pixel in vectors that `find_motion` gives

_SIZES = 4  # 1, 1/2, 1/4 and 1/8
_FEWEST_CELLS = 3  # rows or columns at the coarsest size
_SEARCH = 2  # pixels of the coarsest size in each direction
_SEARCH_COST = 0.3  # levels that a pixel of motion has to gain, against matches by chance
_LARGEST_DIFFERENCE = 64.0  # levels that count; what has been hidden or uncovered differs by more
_PRIOR = 1.0  # squared levels per pixel; weight of the coarser vector where there is little texture
_LARGEST_STEP = 1.5  # pixels by which a vector may differ from the coarser one
_DEAD_ZONE = 1 / 16  # pixels; less is noise, and moving by it would only blur
_STILL_FACTOR = 0.7  # a window stays if its error there is below this share of the moved one's,
_STILL_ERROR = 0.1  # and squared levels; below 1, because vectors are compared in whole pixels
_SHORT = 0.5  # pixels; a shorter vector has to lower a window's error by more than
_NOISE_SHARE = 0.05  # of the error, and
_NOISE_ERROR = 0.05  # squared levels, else it is noise, and moving by it would only blur
_WINDOW_PIXELS = 9 * CELL**2


def find_motion(before: Luma, after: Luma) -> Vectors:
    """Follow each cell of a frame back to the frame before it.

    Args:
        before: Shape (H, W).
        after: The next frame, same shape.

    Returns:
        Vectors in 1 / FRACTION pixels, (H // CELL, W // CELL, 2), of up to about 20 pixels. A frame
        lower or narrower than a cell has one row or column of cells, which do not move.
    """
    if min(after.shape) < CELL:
        return np.zeros((*(max(side // CELL, 1) for side in after.shape), 2), np.int32)
    sizes = [(before, after)]
    while len(sizes) < _SIZES and min(sizes[-1][1].shape) >= 2 * CELL * _FEWEST_CELLS:
        sizes.append((_halve(sizes[-1][0]), _halve(sizes[-1][1])))
    across, down = _search(*sizes[-1])
    for smaller_before, smaller_after in reversed(sizes[1:]):
        across, down = _refine(smaller_before, smaller_after, across, down)
        across, down = _keep_still(smaller_before, smaller_after, across, down)
    across, down = _refine(before, after, across, down)
    vectors = np.stack([across, down], axis=2)
    vectors[(np.abs(vectors) < _DEAD_ZONE).all(axis=2)] = 0
    return np.rint(vectors * FRACTION).astype(np.int32)


def keep_inside(vectors: Vectors, cell: int, shape: tuple[int, ...], unit: int) -> Vectors:
    """Shorten the vectors of cells that would be fetched from outside of a frame.

    Args:
        vectors: In 1 / unit pixels.
        cell: Side of a cell in pixels.
        shape: Height and width of the frame.
        unit: Steps of a pixel.
    """
    inside = np.empty_like(vectors)
    for axis, side in ((0, shape[1]), (1, shape[0])):
        first = np.arange(vectors.shape[1 - axis], dtype=np.int32) * cell
        last = np.append(first[1:] - 1, side - 1).astype(np.int32)
        lowest, highest = -first * unit, (side - 1 - last) * unit
        if axis == 1:
            lowest, highest = lowest[:, None], highest[:, None]
        np.clip(vectors[..., axis], lowest, highest, out=inside[..., axis])
    return inside


def cell_offsets(whole: Vectors, cell: int, width: int) -> NDArray[np.intp]:
    """Distance to where pixels are fetched, in a frame that is stored row by row.

    Args:
        whole: Vectors in whole pixels.
        cell: Side of a cell in pixels.
        width: Width of the frame.

    Returns:
        For each row of cells and each column of pixels, (rows, width).
    """
    offsets = whole[..., 1].astype(np.intp) * width + whole[..., 0]
    return offsets.repeat(column_repeats(offsets.shape[1], cell, width), axis=1)


def column_repeats(columns: int, cell: int, width: int) -> NDArray[np.intp]:
    """Number of pixels in a row of each cell, (columns,)."""
    repeats = np.full(columns, cell)
    repeats[-1] = width - (columns - 1) * cell
    return repeats


def _search(before: Luma, after: Luma) -> tuple[Luma, Luma]:
    """Whole pixels right and down with the smallest difference, (rows, columns) each."""
    height, width = after.shape
    padded = np.pad(before, _SEARCH, mode="edge")
    reach = range(-_SEARCH, _SEARCH + 1)
    # The shortest vectors first, because the first of equal ones is taken.
    candidates = sorted(product(reach, reach), key=lambda each: abs(each[0]) + abs(each[1]))
    differences = np.stack(
        [
            _cell_sums(np.abs(padded[_SEARCH + down :, _SEARCH + right :][:height, :width] - after))
            for down, right in candidates
        ]
    )
    lengths = np.abs(np.array(candidates, np.float32)).sum(axis=1)
    bias = np.float32(_SEARCH_COST * _WINDOW_PIXELS) * lengths
    costs = _window_sums(differences) + bias[:, None, None]
    found = np.array(candidates, np.float32)[np.argmin(costs, axis=0)]
    return found[..., 1], found[..., 0]


def _refine(before: Luma, after: Luma, across: Luma, down: Luma) -> tuple[Luma, Luma]:
    """One step of least squares, from the vectors of this size or of the next smaller one."""
    rows, columns = (side // CELL for side in after.shape)
    if across.shape != (rows, columns):
        across, down = (_enlarge(each, rows, columns) for each in (across, down))
    covered = np.s_[: rows * CELL, : columns * CELL]
    before, after = np.ascontiguousarray(before[covered]), np.ascontiguousarray(after[covered])
    whole = np.rint(np.stack([across, down], axis=2)).astype(np.int32)
    whole = keep_inside(whole, CELL, after.shape, unit=1)
    difference = _fetch_cells(before, whole)
    difference -= after
    np.clip(difference, -_LARGEST_DIFFERENCE, _LARGEST_DIFFERENCE, out=difference)

    # Twice the slopes; those at the edges stay 0.
    slope_across, slope_down = np.zeros_like(after), np.zeros_like(after)
    np.subtract(after[:, 2:], after[:, :-2], out=slope_across[:, 1:-1])
    np.subtract(after[2:], after[:-2], out=slope_down[1:-1])
    quarter, half = np.float32(0.25), np.float32(0.5)
    xx = _cell_sums(slope_across * slope_across) * quarter
    xy = _cell_sums(slope_across * slope_down) * quarter
    yy = _cell_sums(slope_down * slope_down) * quarter
    slope_across *= difference
    slope_down *= difference
    difference *= difference

    # The difference is that of whole-pixel vectors, which differ between the cells of a window.
    # Solved for the vector itself and not for its change, the equations of all cells agree.
    whole_across, whole_down = whole[..., 0].astype(np.float32), whole[..., 1].astype(np.float32)
    right_x = xx * whole_across + xy * whole_down - _cell_sums(slope_across) * half
    right_y = xy * whole_across + yy * whole_down - _cell_sums(slope_down) * half
    xx, xy, yy, right_x, right_y, error = _window_sums(
        np.stack([xx, xy, yy, right_x, right_y, _cell_sums(difference)])
    )
    prior = np.float32(_PRIOR * _WINDOW_PIXELS)
    xx, yy = xx + prior, yy + prior
    right_x, right_y = right_x + prior * across, right_y + prior * down
    determinant = xx * yy - xy * xy
    new_across = (yy * right_x - xy * right_y) / determinant
    new_down = (xx * right_y - xy * right_x) / determinant
    new_across = np.clip(new_across, across - _LARGEST_STEP, across + _LARGEST_STEP)
    new_down = np.clip(new_down, down - _LARGEST_STEP, down + _LARGEST_STEP)
    # By how much the vector makes the error less than none does. Noise alone gives a little.
    gained = 2 * (right_x * new_across + right_y * new_down)
    gained -= xx * new_across**2 + 2 * xy * new_across * new_down + yy * new_down**2
    is_noise = gained < _NOISE_SHARE * error + np.float32(_NOISE_ERROR * _WINDOW_PIXELS)
    is_noise &= np.maximum(np.abs(new_across), np.abs(new_down)) < _SHORT
    zero = np.float32(0)
    return np.where(is_noise, zero, new_across), np.where(is_noise, zero, new_down)


def _keep_still(before: Luma, after: Luma, across: Luma, down: Luma) -> tuple[Luma, Luma]:
    """Set vectors to 0 where a window fits better without them.

    Vectors of a moving object reach into backgrounds with little texture, where they would drag
    along what the cartoon shows there.
    """
    covered = np.s_[: across.shape[0] * CELL, : across.shape[1] * CELL]
    before, after = before[covered], after[covered]
    whole = np.rint(np.stack([across, down], axis=2)).astype(np.int32)
    whole = keep_inside(whole, CELL, after.shape, unit=1)
    still, moved = (
        _window_sums(_cell_sums(difference * difference))
        for difference in (before - after, _fetch_cells(before, whole) - after)
    )
    allowed = moved * np.float32(_STILL_FACTOR) + np.float32(_STILL_ERROR * _WINDOW_PIXELS)
    stays = (still <= allowed) & whole.any(axis=2)
    return np.where(stays, np.float32(0), across), np.where(stays, np.float32(0), down)


def _fetch_cells(before: Luma, whole: Vectors) -> Luma:
    """The frame before, moved by whole pixels; sides are multiples of a cell."""
    offsets = cell_offsets(whole, CELL, before.shape[1])[:, None]
    index = np.arange(before.size).reshape(len(whole), CELL, -1)
    index += offsets
    return before.ravel().take(index, mode="clip").reshape(before.shape)


def _enlarge(cells: Luma, rows: int, columns: int) -> Luma:
    """Vectors of one size for twice the size, smoothed, because objects end inside of cells."""
    doubled = 2 * cells.repeat(2, axis=0).repeat(2, axis=1)
    missing = ((0, max(0, rows - doubled.shape[0])), (0, max(0, columns - doubled.shape[1])))
    padded: Luma = np.pad(doubled, missing, mode="edge")
    return _window_sums(padded[:rows, :columns]) * np.float32(1 / 9)


def _halve(luma: Luma) -> Luma:
    """Means of 2 x 2 pixels, in steps of a quarter level."""
    height, width = (side // 2 * 2 for side in luma.shape)
    pairs = luma[:height:2, :width] + luma[1:height:2, :width]
    means: Luma = np.rint(pairs[:, ::2] + pairs[:, 1::2]) * np.float32(0.25)
    return means


def _cell_sums(values: Luma) -> Luma:
    """Sums over each whole cell, (H // CELL, W // CELL)."""
    height, width = (side // CELL * CELL for side in values.shape)
    rows = values[:height:CELL, :width] + values[1:height:CELL, :width]
    for row in range(2, CELL):
        rows += values[row:height:CELL, :width]
    sums = rows[:, ::CELL] + rows[:, 1::CELL]
    for column in range(2, CELL):
        sums += rows[:, column::CELL]
    return sums


def _window_sums(cells: Luma) -> Luma:
    """Sums over 3 x 3 cells, (..., rows, columns); those at the edges repeat themselves."""
    # By hand, because np.pad takes longer than all the sums.
    rows = cells.copy()
    rows[..., 1:, :] += cells[..., :-1, :]
    rows[..., :-1, :] += cells[..., 1:, :]
    rows[..., 0, :] += cells[..., 0, :]
    rows[..., -1, :] += cells[..., -1, :]
    sums = rows.copy()
    sums[..., 1:] += rows[..., :-1]
    sums[..., :-1] += rows[..., 1:]
    sums[..., 0] += rows[..., 0]
    sums[..., -1] += rows[..., -1]
    return sums
