"""A source frame and its cartoon in one frame, so that they can be compared.

Two frames of the same size and time go in; one frame with both comes out.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np

from toonvid.choices import Comparison
from toonvid.video import Frame, Pixels

_WIPE_SECONDS = 6  # time in which the line moves from left to right and back
_LINE_FRACTION = 400  # half the width of the line is the frame's width over this
_WHITE = 255


def compose_comparison(source: Frame, cartoon: Frame, comparison: Comparison) -> Frame:
    """Shows a source frame and its cartoon in one frame.

    Args:
        source: The frame as it was decoded, (H, W, 3).
        cartoon: Its cartoon, of the same size and time.
        comparison: `horizontal` puts them side by side and `vertical` one above the other, the
            source first; `wipe` moves a line across the frame with the source on its left; `none`
            is the cartoon alone.

    Returns:
        A frame of shape (H, 2 W, 3), (2 H, W, 3), (H, W, 3) or the cartoon itself.
    """
    if comparison == "none":
        return cartoon
    if comparison == "wipe":
        share = _wipe_position(source.seconds)
        return replace(cartoon, pixels=draw_wipe(source.pixels, cartoon.pixels, share))
    axis = 1 if comparison == "horizontal" else 0
    pixels = np.concatenate([source.pixels, cartoon.pixels], axis)
    alpha = None if cartoon.alpha is None else np.concatenate([cartoon.alpha] * 2, axis)
    return replace(cartoon, pixels=pixels, alpha=alpha)


def draw_wipe(source: Pixels, cartoon: Pixels, share: float) -> Pixels:
    """Shows the source on the left of a white line and the cartoon on its right.

    Args:
        source: Shape (H, W, 3), uint8. Not changed.
        cartoon: Same shape. Not changed.
        share: Where the line is, 0..1 of the width.

    Returns:
        A new array of the same shape.
    """
    width = source.shape[1]
    column = round(width * share)
    pixels = cartoon.copy()
    pixels[:, :column] = source[:, :column]
    half_line = max(1, width // _LINE_FRACTION)
    pixels[:, max(0, column - half_line) : column + half_line] = _WHITE
    return pixels


def _wipe_position(seconds: Fraction) -> float:
    """Position of the line at a time, 0..1: a triangle wave that starts in the middle, so that a
    still image, whose time is 0, shows both halves."""
    phase = (seconds / _WIPE_SECONDS + Fraction(1, 4)) % 1
    return float(1 - abs(1 - 2 * phase))
