"""What the surface of a picture tells of a cartoon: flat areas, sharp lines.

Both are read from the luminance (BT.601, 0..255) at the size of a film, see `trainer.evaluation.views`.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

PATCH = 7
"""Side of a patch in pixels."""

FLAT_BELOW = 3.0
"""Standard deviation in levels under which a patch is flat: less than that is grain and JPEG."""

SHARPEST = 99
"""Percentile of the gradient that stands for the lines: they cover a few percent of a picture."""

Pixels = NDArray[np.uint8]


def flat_patch_share(picture: Pixels) -> float:
    """Share of all 7x7 patches, overlapping, whose luminance has a standard deviation under 3.

    A cartoon is flat colour between lines: what CartoonGAN calls smooth shading (Chen et al., 2018,
    section 1), counted.

    Args:
        picture: Shape (H, W, 3), uint8, RGB, both sides at least 7.

    Returns:
        0..1.
    """
    inner = np.s_[PATCH // 2 : -(PATCH // 2), PATCH // 2 : -(PATCH // 2)]
    levels = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    # Both sums are whole numbers below 2^24, so float32 holds them exactly; their products are not.
    total = _patch_sums(levels)[inner].astype(np.float64)
    of_squares = _patch_sums(levels * levels)[inner].astype(np.float64)
    count = PATCH * PATCH
    return float((of_squares * count - total**2 < (FLAT_BELOW * count) ** 2).mean())


def line_sharpness(picture: Pixels) -> float:
    """99th percentile of the luminance gradient, in levels a pixel.

    The gradient is Sobel's, 3x3, divided by 8: a ramp of one level a pixel has 1. A blurred picture
    passes for calm and flat, but not here.

    Args:
        picture: Shape (H, W, 3), uint8, RGB, both sides at least 3.
    """
    levels = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    across, down = (cv2.Sobel(levels, cv2.CV_32F, x, y, scale=1 / 8) for x, y in ((1, 0), (0, 1)))
    return float(np.percentile(np.hypot(across, down)[1:-1, 1:-1], SHARPEST))


def _patch_sums(levels: NDArray[np.float32]) -> NDArray[np.float32]:
    return cv2.boxFilter(levels, cv2.CV_32F, (PATCH, PATCH), normalize=False)
