"""A source frame at half and at a quarter of its size, for the stage against flicker.

Means instead of single pixels: most of the noise is gone in them, and what moves by a part of a
pixel still shows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toonvid.stylizing.cell_sums import Luma
from toonvid.video import Pixels

Packed = NDArray[np.uint32]
"""Pixels as numbers of four bytes, (H, W): red, green, blue and one without a meaning."""


_BAND_BYTES = 1 << 19  # worked on at a time, so that they stay in the CPU's cache


@dataclass(frozen=True)
class ReducedFrame:
    """A frame at half and at a quarter of its size."""

    luma: Luma
    """Green at half the size, (ceil(H / 2), ceil(W / 2))."""
    quarter: Pixels
    """A quarter of the size, (ceil(H / 4), ceil(W / 4), 4); the last byte means nothing."""


def reduce_frame(pixels: Pixels) -> ReducedFrame:
    """Means of 2 x 2 and of 4 x 4 pixels.

    Args:
        pixels: Shape (H, W, 3), uint8. Edges are repeated where sides are no multiples of 4; means
            of 2 x 2 pixels that are such repetitions alone are left out.
    """
    height, width = pixels.shape[:2]
    if height % 4 or width % 4:
        missing = ((0, -height % 4), (0, -width % 4), (0, 0))
        pixels = np.pad(pixels, missing, mode="edge")
    rows = np.ascontiguousarray(pixels).reshape(len(pixels), -1)
    half_width = rows.shape[1] // 6
    luma = np.empty((len(rows) // 2, half_width), np.float32)
    quarter = np.empty((len(rows) // 4, half_width // 2), np.uint32)
    step = max(1, _BAND_BYTES // rows.shape[1] // 4) * 4
    for top in range(0, len(rows), step):
        half = _halve(rows[top : top + step])
        green = half.view(np.uint8).reshape(*half.shape, 4)[..., 1]
        luma[top // 2 : (top + step) // 2] = green
        fewer = _mean(half[::2], half[1::2])
        quarter[top // 4 : (top + step) // 4] = _mean(fewer[:, ::2], fewer[:, 1::2])
    return ReducedFrame(
        luma[: -(-height // 2), : -(-width // 2)],
        quarter.view(np.uint8).reshape(*quarter.shape, 4),
    )


def _halve(rows: NDArray[np.uint8]) -> Packed:
    """Means of 2 x 2 pixels, from rows of bytes whose number is even."""
    pairs = rows.reshape(len(rows) // 2, 2, -1)
    # Four bytes are read for each pixel of three, which for the last one ends behind it.
    memory = np.empty(pairs[:, 0].size + 1, np.uint8)
    memory[-1] = 0
    means = memory[:-1].reshape(len(pairs), -1)
    # Rounded up here and down below, so that the mean of all is that of the frame.
    difference = pairs[:, 0] ^ pairs[:, 1]
    difference >>= 1
    np.bitwise_or(pairs[:, 0], pairs[:, 1], out=means)
    means -= difference
    left, right = (
        np.ndarray(
            (len(pairs), means.shape[1] // 6), np.uint32, memory, offset, (means.shape[1], 6)
        ).copy()
        for offset in (0, 3)
    )
    return _mean(left, right)


def _mean(one: Packed, other: Packed) -> Packed:
    """Means of bytes, rounded down."""
    mean = one ^ other
    mean >>= 1
    mean &= np.uint32(0x7F7F7F7F)
    mean += one & other
    return mean
