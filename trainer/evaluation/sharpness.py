"""Figures of the pixels of an image alone: how flat it is, how sharp its lines, how hard its steps.

An image goes in, a number comes out. All figures are of the luma (BT.601, 0..255), and depend on
the image's size: `trainer.evaluation.crops` brings all images to the size of a video frame.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from toonvid.video import Pixels

PATCH = 7
"""Side of a patch in pixels."""

FLAT_BELOW = 3.0
"""Standard deviation in levels below which a patch is flat: grain and JPEG artifacts have less."""

HARD_STEP = 24.0
"""Gradient in levels per pixel from which an edge counts as a hard step: that of an edge of 48
levels over one pixel. At 16, a slight blur would raise the figure of a photo."""

LINE_PERCENTILE = 99
"""Percentile of the gradient that is taken for that of the lines, which cover a few percent of an
image."""


def flat_patch_share(image: Pixels) -> float:
    """Share of the 7x7 patches, overlapping, whose luma has a standard deviation below 3 levels.

    A cartoon has flat color between its lines: CartoonGAN names smooth shading as one of the two
    properties of cartoons (Chen et al., 2018, section 1).

    Args:
        image: Shape (H, W, 3), uint8, RGB, both sides at least 7.

    Returns:
        A share in 0..1.
    """
    inner = np.s_[PATCH // 2 : -(PATCH // 2), PATCH // 2 : -(PATCH // 2)]
    luma = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    # Both sums are integers below 2^24, which float32 holds exactly; their products are larger.
    total = _patch_sums(luma)[inner].astype(np.float64)
    of_squares = _patch_sums(luma * luma)[inner].astype(np.float64)
    count = PATCH * PATCH
    # n^2 Var(x) = n sum(x^2) - sum(x)^2, compared with (n * 3)^2: no division, no rounding.
    return float((of_squares * count - total**2 < (FLAT_BELOW * count) ** 2).mean())


def line_sharpness(image: Pixels) -> float:
    """99th percentile of the magnitude of the luma gradient.

    It is read beside the other figures because blur improves them: a blurred image is flat, and
    its warping error is low.

    Args:
        image: Shape (H, W, 3), uint8, RGB, both sides at least 3.

    Returns:
        Levels per pixel. The gradient is Sobel's, 3x3, over 8, so that a ramp of one level per
        pixel has 1.
    """
    return float(np.percentile(luma_gradient(image), LINE_PERCENTILE))


def tone_steps(image: Pixels) -> float:
    """Share of flat patches times the share of the gradient that lies in hard steps.

    High where an image is flat color with hard steps between, and little else. Blur makes more
    patches flat, and loses the hard steps; sharpening, contrast and noise make hard steps, and
    lose flat patches.

    Args:
        image: Shape (H, W, 3), uint8, RGB, both sides at least 7.

    Returns:
        In 0..1; 0 for an image of one color.
    """
    gradient = luma_gradient(image)
    total = float(gradient.sum())
    if not total:
        return 0.0
    return flat_patch_share(image) * float(gradient[gradient >= HARD_STEP].sum()) / total


def luma_gradient(image: Pixels) -> NDArray[np.float32]:
    """Magnitude of the luma gradient, in levels per pixel.

    Args:
        image: Shape (H, W, 3), uint8, RGB, both sides at least 3.

    Returns:
        Shape (H - 2, W - 2), without the rim, where the gradient is not defined.
    """
    luma = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    across, down = (cv2.Sobel(luma, cv2.CV_32F, x, y, scale=1 / 8) for x, y in ((1, 0), (0, 1)))
    return np.hypot(across, down)[1:-1, 1:-1]


def _patch_sums(luma: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sum over the patch around each pixel, same shape."""
    return cv2.boxFilter(luma, cv2.CV_32F, (PATCH, PATCH), normalize=False)
