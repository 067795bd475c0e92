"""Motion between two frames of a source: their luma goes in, a vector for each cell comes out.

Cells are squares of 4 pixels. Their vectors are found from coarse to fine: a search over whole
pixels at the coarsest size, then a step of least squares (Lucas and Kanade, 1981) at each size,
over windows of 3 x 3 cells; two at the finest size, the first of which looks at one row of each
cell. At last each vector becomes the mean of the 3 x 3 around it: what is left of noise in them
would make lines jump by a fraction of a pixel.

Every sum is written as additions of whole arrays, whose order does not depend on the CPU: the
vectors are the same on every machine. Moving pixels along the vectors is left out
(`toonvid.stylizing.moving`).
"""

from __future__ import annotations

from itertools import product
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from toonvid.stylizing.cell_sums import (
    CELL,
    Luma,
    cell_sums,
    fetch_cells,
    sample_products,
    sum_products,
)

Vectors: TypeAlias = NDArray[np.int32]
"""For each cell, the way right and down to its place in the frame before, (rows, columns, 2)."""

_SIZES = 4  # 1, 1/2, 1/4 and 1/8
_FEWEST_CELLS = 3  # rows or columns at the coarsest size
_SEARCH = 2  # pixels of the coarsest size in each direction
_SEARCH_COST = 0.3  # levels that a pixel of motion has to gain, against matches by chance
_PRIOR = 1.0  # squared levels per pixel; weight of the coarser vector where there is little texture
_LARGEST_STEP = 1.5  # pixels by which a vector may differ from the coarser one
_DEAD_ZONE = 1 / 32  # pixels; less is noise, and moving by it would only blur
_STILL_FACTOR = 0.7  # a window stays if its error there is below this share of the moved one's,
_STILL_ERROR = 0.1  # and squared levels; below 1, because vectors are compared in whole pixels
_SHORT = 0.5  # pixels; a shorter vector has to lower a window's error by more than
_NOISE_SHARE = 0.05  # of the error, and
_NOISE_ERROR = 0.05  # squared levels, else it is noise, and moving by it would only blur
_WINDOW_PIXELS = 9 * CELL**2


def find_motion(before: Luma, after: Luma, steps: int) -> Vectors:
    """Follow each cell of a frame back to the frame before it.

    Args:
        before: Shape (H, W).
        after: The next frame, same shape.
        steps: Steps of a pixel in the vectors that are given.

    Returns:
        Vectors in 1 / steps pixels, (H // CELL, W // CELL, 2), of up to about 20 pixels; pixels to
        the right of whole cells and below them have none. A frame lower or narrower than a cell has
        one row or column of cells, which do not move.
    """
    if min(after.shape) < CELL:
        return np.zeros((*(max(side // CELL, 1) for side in after.shape), 2), np.int32)
    sizes = [(before, after)]
    while len(sizes) < _SIZES and min(sizes[-1][1].shape) >= 2 * CELL * _FEWEST_CELLS:
        sizes.append((_halve(sizes[-1][0]), _halve(sizes[-1][1])))
    sizes = [(_whole_cells(one), _whole_cells(other)) for one, other in sizes]
    across, down = _search(*sizes[-1])
    for smaller_before, smaller_after in reversed(sizes[1:]):
        across, down = _refine(smaller_before, smaller_after, across, down)
        across, down = _keep_still(smaller_before, smaller_after, across, down)
    across, down = _refine(*sizes[0], across, down, is_finest=True)
    vectors = _window_sums(np.stack([across, down])).transpose(1, 2, 0) * np.float32(1 / 9)
    vectors[(np.abs(vectors) < _DEAD_ZONE).all(axis=2)] = 0
    whole: Vectors = np.rint(vectors * np.float32(steps)).astype(np.int32)
    return whole


def _whole_cells(luma: Luma) -> Luma:
    """The part of a frame that whole cells cover."""
    height, width = (side // CELL * CELL for side in luma.shape)
    return np.ascontiguousarray(luma[:height, :width])


def _search(before: Luma, after: Luma) -> tuple[Luma, Luma]:
    """Whole pixels right and down with the smallest difference, (rows, columns) each."""
    height, width = after.shape
    padded = np.pad(before, _SEARCH, mode="edge")
    reach = range(-_SEARCH, _SEARCH + 1)
    # The shortest vectors first, because the first of equal ones is taken.
    candidates = sorted(product(reach, reach), key=lambda each: abs(each[0]) + abs(each[1]))
    differences = np.stack(
        [padded[_SEARCH + down :, _SEARCH + right :][:height, :width] for down, right in candidates]
    )
    differences -= after
    np.abs(differences, out=differences)
    lengths = np.abs(np.array(candidates, np.float32)).sum(axis=1)
    bias = np.float32(_SEARCH_COST * _WINDOW_PIXELS) * lengths
    costs = _window_sums(cell_sums(differences)) + bias[:, None, None]
    found = np.array(candidates, np.float32)[np.argmin(costs, axis=0)]
    return found[..., 1], found[..., 0]


def _refine(
    before: Luma, after: Luma, across: Luma, down: Luma, is_finest: bool = False
) -> tuple[Luma, Luma]:
    """One or two steps of least squares, from the vectors of this size or of the next smaller."""
    rows, columns = (side // CELL for side in after.shape)
    if across.shape != (rows, columns):
        across, down = (_enlarge(each, rows, columns) for each in (across, down))
    whole_across, whole_down = _whole_vectors(across, down, after.shape)
    if is_finest and (whole_across.any() or whole_down.any()):
        # A step is exact over half a pixel. From further away, a rough one comes first.
        sums = sample_products(before, after, whole_across, whole_down)
        across, down = _solve(sums, whole_across, whole_down, across, down)[:2]
        whole_across, whole_down = _whole_vectors(across, down, after.shape)
    sums = sum_products(before, after, whole_across, whole_down)
    across, down, gained = _solve(sums[:5], whole_across, whole_down, across, down)
    # Noise alone makes the error a little less.
    error = _window_sums(sums[5])
    is_noise = gained < _NOISE_SHARE * error + np.float32(_NOISE_ERROR * _WINDOW_PIXELS)
    is_noise &= np.maximum(np.abs(across), np.abs(down)) < _SHORT
    zero = np.float32(0)
    return np.where(is_noise, zero, across), np.where(is_noise, zero, down)


def _solve(
    sums: Luma, whole_across: Luma, whole_down: Luma, across: Luma, down: Luma
) -> tuple[Luma, Luma, Luma]:
    """Vectors that make the squared differences smallest.

    Args:
        sums: Those of xx, xy, xd, yy and yd (`sum_products`). Overwritten.
        whole_across, whole_down: Vectors along which the frame before was moved.
        across, down: Vectors that are taken where there is little texture.

    Returns:
        Vectors right and down, and by how much they make the squared differences of a window less
        than no motion does, (rows, columns) each.
    """
    xx, xy, x_difference, yy, y_difference = sums
    # The difference is that of whole-pixel vectors, which differ between the cells of a window.
    # Solved for the vector itself and not for its change, the equations of all cells agree.
    x_difference *= np.float32(-1)
    x_difference += xx * whole_across
    x_difference += xy * whole_down
    y_difference *= np.float32(-1)
    y_difference += xy * whole_across
    y_difference += yy * whole_down
    xx, xy, right_x, yy, right_y = _window_sums(sums)
    prior = np.float32(_PRIOR * _WINDOW_PIXELS)
    xx, yy = xx + prior, yy + prior
    right_x, right_y = right_x + prior * across, right_y + prior * down
    determinant = xx * yy - xy * xy
    new_across = (yy * right_x - xy * right_y) / determinant
    new_down = (xx * right_y - xy * right_x) / determinant
    new_across = np.clip(new_across, across - _LARGEST_STEP, across + _LARGEST_STEP)
    new_down = np.clip(new_down, down - _LARGEST_STEP, down + _LARGEST_STEP)
    gained = 2 * (right_x * new_across + right_y * new_down)
    gained -= xx * new_across**2 + 2 * xy * new_across * new_down + yy * new_down**2
    return new_across, new_down, gained


def _keep_still(before: Luma, after: Luma, across: Luma, down: Luma) -> tuple[Luma, Luma]:
    """Set vectors to 0 where a window fits better without them.

    Vectors of a moving object reach into backgrounds with little texture, where they would drag
    along what the cartoon shows there.
    """
    whole_across, whole_down = _whole_vectors(across, down, after.shape)
    moves = (whole_across != 0) | (whole_down != 0)
    if not moves.any():
        return across, down
    differences = np.stack([before, fetch_cells(before, whole_across, whole_down)])
    differences -= after
    differences *= differences
    still, moved = _window_sums(cell_sums(differences))
    allowed = moved * np.float32(_STILL_FACTOR) + np.float32(_STILL_ERROR * _WINDOW_PIXELS)
    stays = (still <= allowed) & moves
    return np.where(stays, np.float32(0), across), np.where(stays, np.float32(0), down)


def _whole_vectors(across: Luma, down: Luma, shape: tuple[int, ...]) -> tuple[Luma, Luma]:
    """Vectors rounded to whole pixels, and shortened where they lead out of the frame."""
    limited = []
    for vectors, side, axis in ((across, shape[1], 1), (down, shape[0], 0)):
        first = np.arange(0, side, CELL, dtype=np.float32)
        first = first if axis == 1 else first[:, None]
        limited.append(np.clip(np.rint(vectors), -first, np.float32(side - CELL) - first))
    return limited[0], limited[1]


def _enlarge(cells: Luma, rows: int, columns: int) -> Luma:
    """Vectors of one size for twice the size, smoothed, because objects end inside of cells."""
    doubled = 2 * cells.repeat(2, axis=0).repeat(2, axis=1)
    missing = (max(0, rows - doubled.shape[0]), max(0, columns - doubled.shape[1]))
    if any(missing):
        doubled = np.pad(doubled, ((0, missing[0]), (0, missing[1])), mode="edge")
    return _window_sums(doubled[:rows, :columns]) * np.float32(1 / 9)


def _halve(luma: Luma) -> Luma:
    """Means of 2 x 2 pixels, in steps of a quarter level."""
    height, width = (side // 2 * 2 for side in luma.shape)
    pairs = luma[:height:2, :width] + luma[1:height:2, :width]
    means: Luma = np.rint(pairs[:, ::2] + pairs[:, 1::2]) * np.float32(0.25)
    return means


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
