"""Checks a cartoon for what goes wrong without an error: black frames, one color, NaN, no effect.

In: a frame, its cartoon, and the cartoon that float32 on the CPU makes. Out: a few words on what is
wrong, or None. Imported styles are checked before they are kept, and TensorRT plans at their first
use on a GPU. Black frames without an error are the most frequent failure of either.
"""

from __future__ import annotations

import math

import numpy as np

from toonvid.video import Pixels

SAMPLE_SIDE = 256
"""Smallest side of the frame that is checked, in pixels; most networks were trained on it."""
MOST_MEAN_DIFFERENCE = 4.0
"""Largest mean difference from float32, in levels, of a cartoon that passes."""

_DARK = 8  # levels: a frame without a brighter value is black
_FLAT = 8  # levels between the smallest and the largest value of a frame of one color
_UNCHANGED = 1.0  # levels of mean difference from the source


def sample_frame(height: int, width: int) -> Pixels:
    """Draw a frame with what a style may fail on: gradients, edges, texture, all colors.

    Args:
        height: In pixels.
        width: In pixels.

    Returns:
        (height, width, 3) uint8, RGB; always the same for a size.
    """
    rows, columns = np.indices((height, width)) / max(height, width)
    sky = np.stack([0.45 + 0.3 * columns, 0.6 + 0.2 * rows, 0.95 - 0.5 * rows], axis=-1)
    ground = np.stack([0.35 + 0.3 * rows, 0.55 - 0.2 * columns, 0.2 + 0.1 * columns], axis=-1)
    image = np.where((rows > 0.55)[..., None], ground, sky)
    for row, column, radius, color in (
        (0.25, 0.25, 0.12, (0.95, 0.85, 0.3)),
        (0.5, 0.6, 0.2, (0.85, 0.6, 0.5)),
        (0.7, 0.3, 0.1, (0.75, 0.1, 0.15)),
    ):
        inside = (rows - row) ** 2 + (columns - column) ** 2 < radius**2
        image[inside] = color
    texture = 0.05 * np.sin(90 * rows) * np.sin(70 * columns)
    grain = np.random.default_rng(0).normal(0, 0.015, (height, width))
    drawn = np.clip(image + (texture + grain)[..., None], 0, 1) * 255
    return np.asarray(drawn, np.uint8)


def sample_for(multiple_of: int) -> Pixels:
    """Draw the frame on which an engine is checked.

    Args:
        multiple_of: What both sides must be multiples of, in pixels.

    Returns:
        (1, H, W, 3) uint8, RGB, and wider than high.
    """
    height = math.ceil(SAMPLE_SIDE / multiple_of) * multiple_of
    width = height + math.ceil(SAMPLE_SIDE / 4 / multiple_of) * multiple_of
    return sample_frame(height, width)[None]


def find_flaw(frames: Pixels, cartoons: Pixels) -> str | None:
    """Say what is wrong with a cartoon by itself.

    Args:
        frames: The sources, (N, H, W, 3) uint8.
        cartoons: Their cartoons, of the same shape.

    Returns:
        "black", "one color" or "equal to the input"; None if it is none of them.
    """
    if int(cartoons.max()) <= _DARK:
        return "black"
    spread = cartoons.max(axis=(0, 1, 2)).astype(int) - cartoons.min(axis=(0, 1, 2))
    if int(spread.max()) <= _FLAT:
        return "one color"
    if _mean_difference(frames, cartoons) < _UNCHANGED:
        return "equal to the input"
    return None


def find_difference(frames: Pixels, cartoons: Pixels, wanted: Pixels) -> str | None:
    """Say how a cartoon fails to be the one that float32 on the CPU makes.

    Args:
        frames: The sources, (N, H, W, 3) uint8.
        cartoons: Their cartoons.
        wanted: Their cartoons in float32 on the CPU.

    Returns:
        The flaw of `find_flaw`, if the wanted cartoon does not have it too, or "far from f32" with
        the difference; None if they are close.
    """
    if cartoons.shape != wanted.shape:
        return f"{'x'.join(map(str, cartoons.shape))} instead of {'x'.join(map(str, wanted.shape))}"
    levels = _mean_difference(cartoons, wanted)
    if levels <= MOST_MEAN_DIFFERENCE:
        return None
    far = f"far from f32 (by {levels:.1f} levels on average)"
    return find_flaw(frames, cartoons) or far


def _mean_difference(first: Pixels, second: Pixels) -> float:
    return float(np.abs(first.astype(np.int16) - second).mean())
