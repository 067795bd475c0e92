"""Images as planes of float32 values, and the filters that all parts of a drawing use.

In and out: planes (H, W) and CIE Lab images (H, W, 3).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]
"""(H, W) float32."""
Lab = NDArray[np.float32]
"""(H, W, 3) float32, CIE Lab: L in [0, 100], a and b about -127 to 127."""


def to_lab(rgb: Plane) -> Lab:
    """Convert (H, W, 3) float32 RGB in [0, 1] to CIE Lab."""
    return cv2.cvtColor(rgb.astype(np.float32), cv2.COLOR_RGB2Lab)


def blur(plane: Plane, sigma: float) -> Plane:
    """Gaussian blur, mirrored at the border."""
    return cv2.GaussianBlur(plane, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101)


def soft_step(value: Plane, width: float | Plane) -> Plane:
    """0 up to 0, 1 from `width` on, smooth between."""
    share = np.clip(value / width, 0, 1)
    return (share * share * (3 - 2 * share)).astype(np.float32)


def to_levels(values: Plane) -> NDArray[np.uint8]:
    """[0, 1] float32 to uint8."""
    return (np.clip(values, 0, 1) * 255 + 0.5).astype(np.uint8)
