"""A clock that is drawn into a frame and read back from it, to measure a delay.

The time is drawn as black and white squares, one per binary digit, large enough to survive a style
or a codec. Used by `toonvid.bench.live_latency` and by tests that read a screen.
"""

from __future__ import annotations

import numpy as np

from toonvid.video import Pixels

_DIGITS = 24  # binary, of milliseconds: the clock starts again after four and a half hours
_SQUARES_PER_ROW = 8
_RANGE = 1 << _DIGITS
_MIDDLE = 128  # gray between black and white


def draw_clock(pixels: Pixels, milliseconds: int) -> None:
    """Draw a time into the upper left quarter of a frame.

    Args:
        pixels: (H, W, 3) uint8, changed in place.
        milliseconds: Drawn modulo 2^24.
    """
    side = _square_side(pixels)
    for digit in range(_DIGITS):
        top, left = digit // _SQUARES_PER_ROW * side, digit % _SQUARES_PER_ROW * side
        is_one = milliseconds % _RANGE >> digit & 1
        pixels[top : top + side, left : left + side] = 255 * is_one


def read_clock(pixels: Pixels) -> int:
    """Return the time that was drawn into a frame, in milliseconds modulo 2^24.

    Args:
        pixels: (H, W, 3) uint8, with the height and width with which the clock was drawn.
    """
    side = _square_side(pixels)
    inner = slice(side // 4, side - side // 4)  # styles draw lines along the edges of squares
    time = 0
    for digit in range(_DIGITS):
        top, left = digit // _SQUARES_PER_ROW * side, digit % _SQUARES_PER_ROW * side
        square = pixels[top : top + side, left : left + side][inner, inner]
        if np.mean(square) > _MIDDLE:
            time |= 1 << digit
    return time


def elapsed_ms(begin: int, end: int) -> int:
    """Return the milliseconds from one reading of the clock to a later one."""
    return (end - begin) % _RANGE


def _square_side(pixels: Pixels) -> int:
    """Return the side of a square in pixels, at least 1."""
    height, width = pixels.shape[:2]
    rows = -(-_DIGITS // _SQUARES_PER_ROW)
    side: int = min(width // 2 // _SQUARES_PER_ROW, height // 2 // rows)
    return max(1, side)
