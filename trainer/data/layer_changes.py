"""Changes of a drawing's layers that give a style of its own hand, and the search for faces.

In: crops of a photo, its flat color and its ink. Out: the same, changed. They are cheap, so that
all styles share one cache of drawings.
"""

from __future__ import annotations

import cv2
import numpy as np

from toonvid.video import Pixels

FULL_INK = 100
"""Level of ink, of 255, from which a pixel counts as a line."""
SKIN_AROUND = 0.35
"""Smallest share of skin in the surroundings of a feature."""


def change_layers(images: list[Pixels], ink_growth: float, color_rounding: float) -> list[Pixels]:
    """Make lines wider and shapes rounder.

    Args:
        images: Photo, flat color and ink, each (H, W, 3) uint8 RGB.
        ink_growth: Pixels by which lines grow on each side, from 0; rounded.
        color_rounding: Radius in pixels of a median over the flat color, from 0; rounded.
    """
    photo, color, ink = images
    if color_rounding:
        color = cv2.medianBlur(np.ascontiguousarray(color), 1 + 2 * max(1, round(color_rounding)))
    if ink_growth:
        side = 1 + 2 * max(1, round(ink_growth))
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
        ink = cv2.dilate(np.ascontiguousarray(ink), kernel)
    return [photo, color, ink]


def count_features(images: list[Pixels]) -> float:
    """Share of a crop that is ink in the middle of skin: eyes, brows, mouths.

    Args:
        images: Photo, flat color and ink, each (H, W, 3) uint8 RGB.
    """
    _, color, ink = (image[::2, ::2].astype(np.float32) for image in images)
    luminance = color @ np.float32([0.299, 0.587, 0.114])
    reddish = 0.713 * (color[..., 0] - luminance)
    bluish = 0.564 * (color[..., 2] - luminance)
    skin = ((reddish > 8) & (reddish < 45) & (bluish > -48) & (bluish < -3)).astype(np.float32)
    near, around = cv2.blur(skin, (7, 7)), cv2.blur(skin, (25, 25))
    return float((near * (ink[..., 0] > FULL_INK) * (around > SKIN_AROUND)).mean())
