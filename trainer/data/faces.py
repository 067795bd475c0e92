"""Where skin and faces are in a photo, so that a drawing keeps eyes, brows and mouth.

In: a photo. Out: planes (H, W) float32 in [0, 1].
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import cv2
import numpy as np
from skimage.data import lbp_frontal_face_cascade_filename
from skimage.feature import Cascade

from toonvid.video import Pixels
from trainer.data.planes import Lab, Plane, blur, soft_step

SMALLEST_FACE = 0.08  # of the short side
LARGEST_FACE = 0.8
LARGE_FACE = 0.25  # of the short side: from here on all detail is drawn
SKIN_IN_FACE = 0.35  # smallest share of skin-colored pixels in a detected face
_BOX_KEYS = ("r", "c", "height", "width")  # scikit-image's names of the fields of `FaceBox`


class FaceBox(NamedTuple):
    """A rectangle around a face, in pixels."""

    top: int
    left: int
    height: int
    width: int


def find_skin(lab: Lab, unit: float) -> Plane:
    """Where a photo has the color of skin: (H, W) float32 in [0, 1].

    The ranges of hue and chroma hold for light and dark skin alike; wood, sand and brick lie in
    them as well, so nothing but a small change of lightness may depend on this alone.
    """
    lightness, a, b = (lab[..., c] for c in range(3))
    chroma, hue = np.hypot(a, b), np.degrees(np.arctan2(b, a))
    inside = soft_step(chroma - 9, 6) * (1 - soft_step(chroma - 42, 10))
    inside *= soft_step(hue - 18, 12) * (1 - soft_step(hue - 68, 12))
    inside *= soft_step(lightness - 18, 10) * (1 - soft_step(lightness - 90, 6))
    return blur(inside.astype(np.float32), 1.5 * unit)


def find_faces(photo: Pixels, skin: Plane) -> Plane:
    """Where faces are: (H, W) float32 in [0, 1], soft ellipses, lower in small faces.

    Args:
        photo: (H, W, 3) uint8 RGB.
        skin: (H, W) float32 in [0, 1]; a face without skin color is taken for an error of the
            detector.
    """
    height, width = photo.shape[:2]
    side = min(height, width)
    faces = np.zeros((height, width), np.float32)
    for top, left, tall, wide in find_face_boxes(photo):
        if skin[top : top + tall, left : left + wide].mean() < SKIN_IN_FACE:
            continue
        center = (int(left + wide / 2), int(top + tall * 0.52))
        # A small face has room for few lines: with a low threshold they become a beard.
        weight = float(np.clip(wide / (LARGE_FACE * side), 0.5, 1))
        cv2.ellipse(faces, center, (int(0.52 * wide), int(0.66 * tall)), 0, 0, 360, weight, -1)
    return blur(faces, 0.02 * side) if faces.any() else faces


def find_face_boxes(photo: Pixels) -> list[FaceBox]:
    """Find upright frontal faces in a photo, (H, W, 3) uint8 RGB; some are errors."""
    side = min(photo.shape[:2])
    scale = min(1.0, 320 / side)  # a larger picture costs more and finds nothing else
    small = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    smallest, largest = (int(share * side * scale) for share in (SMALLEST_FACE, LARGEST_FACE))
    found = _face_detector().detect_multi_scale(
        img=small,
        scale_factor=1.15,
        step_ratio=1,
        min_neighbor_number=3,
        min_size=(max(smallest, 24),) * 2,
        max_size=(largest, largest),
    )
    return [FaceBox(*(int(box[name] / scale) for name in _BOX_KEYS)) for box in found]


@functools.cache
def _face_detector() -> Cascade:
    """The cascade of local binary patterns that scikit-image brings along."""
    return Cascade(lbp_frontal_face_cascade_filename())
