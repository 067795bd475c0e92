"""Edge smoothing: cartoons without clear edges, which the discriminator has to reject.

In: a crop of a cartoon, c. Out: the same crop with smoothed edges, e, for the edge-promoting
adversarial loss (CartoonGAN, equation 3).

Source: CartoonGAN, section 3.2.1: detect edge pixels by Canny, dilate the edge regions, smooth by a
Gaussian in the dilated regions. The paper states no sizes; those below are ours.
"""

from __future__ import annotations

import cv2
import numpy as np

from toonvid.video import Pixels

CANNY_WEAK = 80
CANNY_STRONG = 160
"""Gradients of luminance (0..255, Sobel): an edge starts above the strong threshold and continues
above the weak one."""

DILATION = 5
"""Side in pixels of the square to which each edge pixel grows: covers a line and both its sides."""

SMOOTHING = 7
"""Side in pixels of the Gaussian, sigma 1.4: a line of 2 pixels gets soft but stays visible."""


def smooth_edges(cartoon: Pixels) -> Pixels:
    """Smooth a cartoon in the regions around its edges only.

    Args:
        cartoon: (H, W, 3) uint8, RGB.

    Returns:
        The smoothed cartoon, of the same shape and dtype.
    """
    gray = cv2.cvtColor(cartoon, cv2.COLOR_RGB2GRAY)
    # The paper's three steps: detect, dilate, smooth inside the dilated regions.
    edges = cv2.Canny(gray, CANNY_WEAK, CANNY_STRONG)
    regions = cv2.dilate(edges, np.ones((DILATION, DILATION), np.uint8))
    smooth = cv2.GaussianBlur(cartoon, (SMOOTHING, SMOOTHING), 0)
    return np.where(regions[..., None] > 0, smooth, cartoon)
