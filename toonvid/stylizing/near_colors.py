"""Colors around each pixel of a frame: its rows go in, the lowest and highest values come out."""

from __future__ import annotations

import numpy as np

from toonvid.stylizing.moving import Bytes

ROWS = 4
"""Rows that have bounds in common."""

_REACH = 2  # pixels, in both directions
_NEAR_LEVELS = 8  # levels that are allowed beyond the values found where they are all the same
# In flat color a wrong line shows most. Among lines it hardly does, and flicker is worst.


def near_colors(rows: Bytes, top: int, count: int, channels: int) -> tuple[Bytes, Bytes]:
    """Lowest and highest values around each `ROWS` rows, channel by channel, and a bit beyond.

    Beyond them are 8 levels and half the way from the lowest to the highest value. Near are 8 rows,
    and every second one of 5 columns: the lines of a cartoon are wider than one.

    Args:
        rows: Those of the frame, (H, W * channels).
        top: First row.
        count: Number of rows, a multiple of `ROWS`. Below the frame, the last row is repeated.
        channels: Bytes of a pixel.

    Returns:
        (count / ROWS, W * channels) each.
    """
    first, last = top - _REACH, top + count + _REACH
    if first < 0 or last > len(rows):
        near = rows.take(np.arange(first, last), axis=0, mode="clip")
    else:
        near = rows[first:last]
    lowest = _extremes(near, np.minimum, _REACH * channels)
    highest = _extremes(near, np.maximum, _REACH * channels)
    margin = highest - lowest
    margin >>= 1
    margin += np.uint8(_NEAR_LEVELS)
    np.maximum(lowest, margin, out=lowest)
    lowest -= margin
    np.minimum(highest, ~margin, out=highest)
    highest += margin
    return lowest, highest


def _extremes(near: Bytes, extreme: np.ufunc, reach: int) -> Bytes:
    """Lowest or highest bytes around each `ROWS` rows, (rows / ROWS - 1, bytes)."""
    pairs: Bytes = extreme(near[::2], near[1::2])
    fours: Bytes = extreme(pairs[::2], pairs[1::2])
    high: Bytes = extreme(fours[:-1], fours[1:])
    wide = high.copy()
    extreme(wide[:, reach:], high[:, :-reach], out=wide[:, reach:])
    extreme(wide[:, :-reach], high[:, reach:], out=wide[:, :-reach])
    return wide
