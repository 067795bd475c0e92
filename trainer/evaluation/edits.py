"""Simple edits of an image that do not make a cartoon of a photo: blur, sharpening and the like.

An image goes in, an image of the same shape comes out. The classifier of
`trainer.evaluation.cartoon_classifier` is checked with photos that were edited so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import cv2
import numpy as np

from toonvid.video import Pixels

REFERENCE_SIDE = 288  # short side in pixels at which the lengths below hold

Edit = Callable[[Pixels], Pixels]


def blur(image: Pixels, sigma: float) -> Pixels:
    """Blurs by a Gaussian.

    Args:
        image: Shape (H, W, 3), uint8.
        sigma: In pixels where the short side has `REFERENCE_SIDE`.
    """
    return cv2.GaussianBlur(image, (0, 0), sigma * _unit(image))


def shrink_and_enlarge(image: Pixels, scale: float) -> Pixels:
    """Reduces an image and enlarges it again, as a video of low resolution is."""
    height, width = image.shape[:2]
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def sharpen(image: Pixels, amount: float) -> Pixels:
    """Adds the difference to a blurred copy, times `amount`."""
    source = image.astype(np.float32)
    return _to_pixels(source + amount * (source - blur(source, 1.5)))


def recolor(image: Pixels, saturation: float, contrast: float) -> Pixels:
    """Multiplies the distance from gray, and then the distance from mid gray."""
    source = image.astype(np.float32)
    gray = source.mean(axis=2, keepdims=True)
    return _to_pixels((gray + saturation * (source - gray) - 128) * contrast + 128)


def smooth_surfaces(image: Pixels) -> Pixels:
    """Smooths what lies between edges, by three bilateral filters: what "cartoon" filters do."""
    for _ in range(3):
        image = cv2.bilateralFilter(image, 0, 25, 3 * _unit(image))
    return image


EDITS: Mapping[str, Edit] = {
    "blurred": lambda image: blur(image, 1.5),
    "downscaled": lambda image: shrink_and_enlarge(image, 0.4),
    "sharpened": lambda image: sharpen(image, 1.5),
    "saturated": lambda image: recolor(image, 1.7, 1.25),
    "smoothed": smooth_surfaces,
}
"""Name -> edit of photos that a classifier must not take for art."""


def _unit(image: Pixels) -> float:
    return min(image.shape[:2]) / REFERENCE_SIDE


def _to_pixels(levels: np.ndarray) -> Pixels:
    return np.clip(np.round(levels), 0, 255).astype(np.uint8)
