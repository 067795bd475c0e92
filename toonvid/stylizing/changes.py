"""How much a source changed around each pixel: two frames go in, a map of changes comes out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from toonvid.video import Pixels

_SLOPE_ALLOWANCE = 6  # sixteenths of the slope that are not a change: vectors are not exact
_NEAR_CHANGE_LEVELS = 8  # levels by which a change nearby counts less than one at a pixel
_ROWS_PER_REACH = 120  # rows at a quarter of the size for each pixel that a change reaches
_SMALLEST_REACH = 2  # pixels, of 4 x 4: half a thick line


def find_changes(frame: Pixels, last: Pixels) -> NDArray[np.uint8]:
    """How much a source changed around each pixel.

    A change is the difference of the channel that differs most, less what a vector that is a third
    of a pixel off makes of the slope there, as a mean over 3 x 3 pixels. Larger changes are found
    around them as well: an outline covers pixels beside the edge, which did not change themselves.

    Args:
        frame: The source at a quarter of the size, (H, W, 3 or more), uint8.
        last: The kept source, moved, same shape.

    Returns:
        In 8/9 levels, (H, W).
    """
    # uint8 has no sign: the larger value minus the smaller one is the difference.
    difference = np.maximum(frame, last)
    difference -= np.minimum(frame, last)
    largest = np.maximum(difference[..., 0], difference[..., 1])
    np.maximum(largest, difference[..., 2], out=largest)
    green = frame[..., 1].astype(np.int16)
    slope = np.zeros_like(green)
    slope[:, :-1] = np.abs(green[:, 1:] - green[:, :-1])
    slope[:-1] += np.abs(green[1:] - green[:-1])
    slope *= _SLOPE_ALLOWANCE
    slope >>= 4
    changes = np.pad(largest - slope, 1, mode="edge")
    rows = changes[:-2] + changes[1:-1] + changes[2:]
    sums = rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]
    sums >>= 3  # a division by 9 takes ten times as long
    local = np.clip(sums, 0, 255, out=sums).astype(np.uint8)
    near = _largest_near(local, max(_SMALLEST_REACH, len(frame) // _ROWS_PER_REACH))
    margin = np.full_like(near, _NEAR_CHANGE_LEVELS)
    near = np.maximum(near, margin) - margin
    changed: NDArray[np.uint8] = np.maximum(local, near)
    return changed


def _largest_near(values: NDArray[np.uint8], reach: int) -> NDArray[np.uint8]:
    """Largest value in a square of 2 reach + 1 pixels, same shape."""
    for _ in range(2):  # rows, then columns; twice transposed is as before
        values = np.pad(values, ((reach, reach), (0, 0)), mode="edge")
        span, wanted = 1, 2 * reach + 1
        while span < wanted:
            step = min(span, wanted - span)
            values = np.maximum(values[:-step], values[step:])
            span += step
        values = values.T
    return values
