"""A clock that is drawn into a picture and read back from it, so that its delay can be measured.

Black and white squares, large enough that a style or a codec leaves them what they are.
"""

from __future__ import annotations

import numpy as np

from toonvid.video import Pixels

_DIGITS = 24  # binary, of milliseconds: the clock goes round in four and a half hours
_SQUARES_ACROSS = 8
_RANGE = 1 << _DIGITS
_MIDDLE = 128


def draw_clock(pixels: Pixels, milliseconds: int) -> None:
    """Draw a time into the upper left quarter of a picture, (H, W, 3), in place."""
    side = _side(pixels)
    for digit in range(_DIGITS):
        top, left = digit // _SQUARES_ACROSS * side, digit % _SQUARES_ACROSS * side
        is_one = milliseconds % _RANGE >> digit & 1
        pixels[top : top + side, left : left + side] = 255 * is_one


def read_clock(pixels: Pixels) -> int:
    """The time that was drawn, in milliseconds modulo 2^24."""
    side = _side(pixels)
    inner = slice(side // 4, side - side // 4)  # styles draw lines around squares
    time = 0
    for digit in range(_DIGITS):
        top, left = digit // _SQUARES_ACROSS * side, digit % _SQUARES_ACROSS * side
        square = pixels[top : top + side, left : left + side][inner, inner]
        if np.mean(square) > _MIDDLE:
            time |= 1 << digit
    return time


def elapsed_ms(begin: int, end: int) -> int:
    """Milliseconds from one reading to another."""
    return (end - begin) % _RANGE


def _side(pixels: Pixels) -> int:
    """Of a square, in pixels."""
    height, width = pixels.shape[:2]
    down = -(-_DIGITS // _SQUARES_ACROSS)
    side: int = min(width // 2 // _SQUARES_ACROSS, height // 2 // down)
    return max(1, side)
