"""The drawing of a photo: the paired target that the initialization phase of `cel` learns from.

In: a photo. Out: two layers of the same size, *flat color* (`trainer.data.regions`: each region in
one smooth color) and *ink* (`trainer.data.ink`: lines at full opacity along edges).
`trainer.networks.cel.compose` makes a cartoon of them.

Nothing is learned and nothing is random: the same photo always gives the same drawing. Left out:
tonal steps and saturation, which belong to `compose`.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from toonvid.video import Pixels
from trainer.data.faces import find_faces, find_skin
from trainer.data.ink import draw_borders, draw_features, draw_ink, find_clutter, keep_long_strokes
from trainer.data.planes import Plane, blur, soft_step, to_lab, to_levels
from trainer.data.regions import find_regions, paint_regions, smooth_l0

REFERENCE_HEIGHT = 288
"""Frame height in pixels at which the lengths below hold."""
LENGTH_EXPONENT = 0.8
"""Lengths grow with the frame height to this power. With 1 a line would keep its share of the
frame; photos of 288 pixels have finer detail than frames of 1080, which an exponent below 1 allows
for."""
BILATERAL_COLOR = 16.0  # levels of 255
BILATERAL_SPACE = 2.0  # pixels
L0_LAMBDA = 0.01
L0_GAMMA = 0.6
SHADING_LENGTH = 0.5  # of the frame height: regions smaller than about this get one color
SHORTEST_STROKE = 0.08  # of the frame height
SHORTEST_FACE_STROKE = 0.008
FACE_FLATNESS = 0.6  # in faces, of the region's color against the smoothed photo
SKIN_LIFT = 5.0  # CIE lightness
DRAWING_VERSION = 4
"""Raised whenever the same photo would be drawn otherwise, which makes cached drawings stale."""


@dataclass(frozen=True)
class Drawing:
    """The two layers of a drawing."""

    color: Pixels
    """Flat color, (H, W, 3) uint8 RGB."""
    ink: NDArray[np.uint8]
    """Ink, (H, W) uint8: 0 is none, 255 is full."""


def draw(photo: Pixels, frame_height: int | None = None) -> Drawing:
    """Draw a photo.

    Args:
        photo: (H, W, 3) uint8 RGB.
        frame_height: Short side in pixels of the whole picture that `photo` is a part of. None:
            `photo` is whole.

    Returns:
        Flat color and ink, both of the photo's height and width.
    """
    height = frame_height or min(photo.shape[:2])
    unit = length_unit(height)
    denoised = _denoise(photo, unit)
    # With lifted shadows, so that a dark shape on a dark ground keeps its outline.
    lifted = (denoised.astype(np.float32) / 255) ** L0_GAMMA
    smooth = to_lab(smooth_l0(lifted, L0_LAMBDA).clip(0, 1) ** (1 / L0_GAMMA))
    detailed = to_lab(denoised.astype(np.float32) / 255)
    skin = find_skin(detailed, unit)
    faces = find_faces(photo, skin)
    labels = find_regions(smooth)
    painted = paint_regions(smooth, labels, SHADING_LENGTH * height)
    flatness = (1 - (1 - FACE_FLATNESS) * faces)[..., None]
    color = flatness * painted + (1 - flatness) * smooth
    color[..., 0] += SKIN_LIFT * skin
    # Lines of the smoothed photo are clean, those of the detailed one complete.
    share = (0.5 - 0.4 * faces).astype(np.float32)
    lightness = share * smooth[..., 0] + (1 - share) * detailed[..., 0]
    clutter = find_clutter(lightness, unit) * (1 - faces)
    ink = draw_ink(lightness, faces, skin, clutter, unit)
    borders = draw_borders(painted, labels, unit)
    ink = np.maximum(ink, borders * (1 - faces) * (1 - clutter))
    features = draw_features(detailed[..., 0], skin, faces, unit)
    ink = _keep_strokes(np.maximum(ink, features), features, faces, unit, height)
    rgb = cv2.cvtColor(blur(color.astype(np.float32), 0.5 * unit), cv2.COLOR_Lab2RGB)
    return Drawing(to_levels(rgb), to_levels(ink))


def drop_short_strokes(photo: Pixels, ink: NDArray[np.uint8], frame_height: int) -> NDArray:
    """Leave out what `draw` leaves out of the ink that a network has drawn: short strokes.

    Args:
        photo: (H, W, 3) uint8 RGB.
        ink: (H, W) uint8, of that photo.
        frame_height: As in `draw`.

    Returns:
        Ink, (H, W) uint8.
    """
    unit = length_unit(frame_height)
    lab = to_lab(_denoise(photo, unit).astype(np.float32) / 255)
    # Without the detector of faces, which takes four times as long as all else.
    faces = np.zeros(ink.shape, np.float32)
    features = draw_features(lab[..., 0], find_skin(lab, unit), faces, unit)
    kept = _keep_strokes(ink.astype(np.float32) / 255, features, faces, unit, frame_height)
    return to_levels(kept)


def length_unit(frame_height: int) -> float:
    """Factor on all lengths of a drawing for a frame height in pixels; 1 at `REFERENCE_HEIGHT`."""
    return (frame_height / REFERENCE_HEIGHT) ** LENGTH_EXPONENT


def draw_stacked(photo: Pixels, frame_height: int) -> Pixels:
    """Draw a photo, both layers in one picture, for a cache of pictures.

    Args:
        photo: (H, W, 3) uint8 RGB.
        frame_height: Short side in pixels of the whole picture that `photo` is a part of.

    Returns:
        (2 H, W, 3) uint8 RGB: flat color above ink, whose three channels are equal.
    """
    drawing = draw(photo, frame_height)
    return np.vstack([drawing.color, np.repeat(drawing.ink[..., None], 3, axis=2)])


def _denoise(photo: Pixels, unit: float) -> Pixels:
    for _ in range(2):
        photo = cv2.bilateralFilter(photo, 0, BILATERAL_COLOR, BILATERAL_SPACE * unit)
    return photo


def _keep_strokes(ink: Plane, features: Plane, faces: Plane, unit: float, height: int) -> Plane:
    """Drop short strokes, but not those of eyes, brows and mouths; all (H, W) in [0, 1]."""
    in_face = np.maximum(faces, soft_step(blur(features, 2 * unit), 0.1))
    return keep_long_strokes(ink, SHORTEST_STROKE * height, in_face, SHORTEST_FACE_STROKE * height)
