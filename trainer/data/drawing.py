"""The drawing of a photo: the paired target that the initialization phase of `cel` learns from.

In: a photo. Out: two layers of the same size, *flat color* (`trainer.data.regions`: each region in
one smooth color) and *ink* (`trainer.data.ink`: lines at full opacity along edges).
`trainer.networks.cel.compose` makes a cartoon of them.

Nothing is learned and nothing is random: the same photo always gives the same drawing. Left out:
tonal steps and saturation, which belong to `compose`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from toonvid.video import Pixels
from trainer.data.faces import find_faces, find_skin
from trainer.data.ink import draw_borders, draw_features, draw_ink, find_clutter, keep_long_strokes
from trainer.data.planes import Lab, Plane, blur, soft_step, to_lab, to_levels
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
SHORTEST_STROKE = 0.1  # of the frame height
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
    seen = _look_at(photo, unit)
    detailed, skin, faces = seen.lab, seen.skin, seen.faces
    # With lifted shadows, so that a dark shape on a dark ground keeps its outline.
    lifted = (seen.denoised.astype(np.float32) / 255) ** L0_GAMMA
    smooth = to_lab(smooth_l0(lifted, L0_LAMBDA).clip(0, 1) ** (1 / L0_GAMMA))
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
    ink = _keep_strokes(np.maximum(ink, seen.features), seen, height)
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
    seen = _look_at(photo, length_unit(frame_height))
    return to_levels(_keep_strokes(ink.astype(np.float32) / 255, seen, frame_height))


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


class _Seen(NamedTuple):
    """What a photo shows; planes are (H, W) float32 in [0, 1]."""

    denoised: Pixels
    lab: Lab
    """Of the denoised photo."""
    skin: Plane
    faces: Plane
    features: Plane
    """Ink of eyes, brows and mouths."""
    in_face: Plane
    """Where strokes may be short."""


def _look_at(photo: Pixels, unit: float) -> _Seen:
    denoised = photo
    for _ in range(2):
        denoised = cv2.bilateralFilter(denoised, 0, BILATERAL_COLOR, BILATERAL_SPACE * unit)
    lab = to_lab(denoised.astype(np.float32) / 255)
    skin = find_skin(lab, unit)
    faces = find_faces(photo, skin)
    features = draw_features(lab[..., 0], skin, faces, unit)
    in_face = np.maximum(faces, soft_step(blur(features, 2 * unit), 0.1))
    return _Seen(denoised, lab, skin, faces, features, in_face)


def _keep_strokes(ink: Plane, seen: _Seen, height: int) -> Plane:
    shortest, in_face = SHORTEST_STROKE * height, SHORTEST_FACE_STROKE * height
    return keep_long_strokes(ink, shortest, seen.in_face, in_face)
