"""The size at which a frame is drawn, which need not be its own.

A style draws lines that are a few pixels wide at any size: in a frame of few pixels they cover eyes
and mouths. Drawn larger and reduced again, lines are finer and rims smooth. Drawn smaller, a frame
takes less time. Loads no numpy; `toonvid.stylizing.stylizer` resizes the frames.
"""

from __future__ import annotations

from fractions import Fraction

from toonvid.choices import Quality

BEST_SIDE = 864
"""Short side in pixels up to which `best` enlarges. Lines are then as fine as in a video of that
size, and areas have small detail."""
BEST_FACTOR = Fraction(3)
"""Largest factor by which `best` enlarges: more would not show what the frame does not have."""
FAST_SIDE = 540
"""Short side in pixels to which `fast` reduces."""


def drawing_size(height: int, width: int, quality: Quality) -> tuple[int, int]:
    """Give the size at which frames of a size are drawn.

    Args:
        height: Height of the frames in pixels.
        width: Width of the frames in pixels.
        quality: `fast` or `best`; `normal` and `auto` keep the size.

    Returns:
        Height and width in pixels.
    """
    side = min(height, width)
    if quality == "best":
        factor = max(Fraction(1), min(BEST_FACTOR, Fraction(BEST_SIDE, side)))
    elif quality == "fast":
        factor = min(Fraction(1), Fraction(FAST_SIDE, side))
    else:
        return height, width
    return max(1, round(height * factor)), max(1, round(width * factor))
