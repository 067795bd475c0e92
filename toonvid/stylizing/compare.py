"""Compare: the source's picture and its cartoon in one frame."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np

from toonvid.choices import Comparison
from toonvid.video import Frame, Pixels

_WIPE_SECONDS = 6  # from left to right and back
_LINE_FRACTION = 400  # the dividing line is the width of the frame divided by this
_WHITE = 255


def compose_comparison(source: Frame, cartoon: Frame, comparison: Comparison) -> Frame:
    """Show both in one frame.

    Args:
        source: As it was decoded.
        cartoon: Same size, same time.
        comparison: `horizontal` puts them side by side, `vertical` one above the other, `wipe`
            moves a line across the frame with the source on its left. `none` is the cartoon alone.
    """
    if comparison == "none":
        return cartoon
    if comparison == "wipe":
        return replace(cartoon, pixels=_wiped(source, cartoon))
    axis = 1 if comparison == "horizontal" else 0
    pixels = np.concatenate([source.pixels, cartoon.pixels], axis)
    alpha = None if cartoon.alpha is None else np.concatenate([cartoon.alpha] * 2, axis)
    return replace(cartoon, pixels=pixels, alpha=alpha)


def _wiped(source: Frame, cartoon: Frame) -> Pixels:
    # At time 0 the line stands in the middle, so that a still picture shows both.
    phase = (source.seconds / _WIPE_SECONDS + Fraction(1, 4)) % 1
    return draw_wipe(source.pixels, cartoon.pixels, float(1 - abs(1 - 2 * phase)))


def draw_wipe(source: Pixels, cartoon: Pixels, share: float) -> Pixels:
    """The source, (H, W, 3), on the left of a line, the cartoon on its right.

    Args:
        source: Unchanged.
        cartoon: Same shape.
        share: Where the line stands, 0..1 of the width.
    """
    width = source.shape[1]
    column = round(width * share)
    pixels = cartoon.copy()
    pixels[:, :column] = source[:, :column]
    half_line = max(1, width // _LINE_FRACTION)
    pixels[:, max(0, column - half_line) : column + half_line] = _WHITE
    return pixels
