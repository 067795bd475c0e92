"""Ink of a drawing: lines along the edges of a photo.

In: lightness, faces, skin, clutter and regions of a photo. Out: ink, (H, W) float32 in [0, 1].

Lines come from a difference of Gaussians along the flow of the edges (Kang et al., "Coherent Line
Drawing", 2007) and from the borders of regions that differ strongly in color. Where edges are dense
and point everywhere (foliage, gravel, patterns), or where much of the surroundings is ink already,
the threshold rises. In faces it falls, and short strokes stay: eyes, brows and mouth are short. A
faint line is drawn where it continues a clear one (hysteresis, as in Canny's edges): an outline
that ends half way, and dashes, are what a viewer takes for a filter.
Small dark shapes in the middle of skin are eyes and brows even where no face was detected.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from trainer.data.edge_flow import (
    difference_across,
    edge_normals,
    mean_along,
    structure_tensor,
)
from trainer.data.planes import Lab, Plane, blur, soft_step
from trainer.data.regions import DARK_GAIN

INK_SIGMA = 0.85  # pixels, of the narrow Gaussian: half the width of a line
FLOW_SIGMA = 2.0  # pixels, of the structure tensor
STROKE_SIGMA = 3.2  # pixels, of the mean along a line: joins strokes, breaks up noise
INK_THRESHOLD = 1.0
INK_SOFTNESS = 0.7  # from no ink to full ink
BORDER_CONTRAST = 26.0  # Lab; borders of regions that differ by more get a line in any case
CLUTTER_SLOPE = 2.2  # lightness a pixel that counts as an edge
CLUTTER_SIGMA = 6.0  # pixels
CLUTTER_GAIN = 1.2  # how much the threshold rises in full clutter
BRIGHT_GAIN = 0.5  # how much stronger edges count in white: cloth before a wall, snow, a street
BRIGHT_LIGHTNESS = 60.0  # CIE lightness from which they do
BRIGHT_RANGE = 35.0  # up to all of the gain
FAINT_THRESHOLD = 0.5  # factor on the ink threshold, for lines that continue clear ones
CLEAR_SHARE = 0.18  # smallest share of a line, faint parts included, that has to be clear
DENSITY_LIMIT = 0.27  # share of ink in the surroundings from which the threshold rises
DENSITY_GAIN = 9.0
FACE_THRESHOLD = 0.5  # factor on the ink threshold
FACE_SIGMA = 0.75  # factor on the ink sigma
SKIN_THRESHOLD = 0.7  # factor on the ink threshold, for faces that the detector misses
FEATURE_RADIUS = 3.0  # pixels: dark shapes narrower than twice this, in skin, are features
FEATURE_CONTRAST = 11.0  # CIE lightness below the skin around


def draw_ink(lightness: Plane, faces: Plane, skin: Plane, clutter: Plane, unit: float) -> Plane:
    """Draw the dark side of each edge as a line.

    Args:
        lightness: (H, W) float32, CIE lightness in [0, 100].
        faces: (H, W) float32 in [0, 1], 1 in faces.
        skin: (H, W) float32 in [0, 1], 1 where the color is that of skin.
        clutter: (H, W) float32 in [0, 1], see `find_clutter`.
        unit: Factor on every length.

    Returns:
        (H, W) float32 in [0, 1].
    """
    # In the dark, a smaller difference makes an edge that a viewer sees.
    around = blur(lightness, 10 * unit)
    seen = lightness * (1 + DARK_GAIN * (1 - around / 100).clip(0, 1) ** 2)
    response = _line_response(seen, INK_SIGMA * unit, unit)
    response *= 1 + BRIGHT_GAIN * soft_step(around - BRIGHT_LIGHTNESS, BRIGHT_RANGE)
    if faces.max() > 0:
        fine = _line_response(seen, FACE_SIGMA * INK_SIGMA * unit, unit)
        response = response + faces * (fine - response)
    calm = np.minimum(1 - (1 - FACE_THRESHOLD) * faces, 1 - (1 - SKIN_THRESHOLD) * skin)
    threshold = INK_THRESHOLD * calm * (1 + CLUTTER_GAIN * clutter)
    ink = soft_step(response - threshold, INK_SOFTNESS * calm)
    for _ in range(2):
        density = blur(ink, 5 * unit)
        excess = (density - DENSITY_LIMIT).clip(0) * (1 - 0.7 * faces)
        threshold = threshold * (1 + DENSITY_GAIN * excess)
        ink = soft_step(response - threshold, INK_SOFTNESS * calm)
    faint = soft_step(response - FAINT_THRESHOLD * threshold, INK_SOFTNESS * calm)
    return np.maximum(ink, _keep_continued(faint, ink))


def _keep_continued(faint: Plane, clear: Plane) -> Plane:
    """Keep the faint lines of which enough is clear; both (H, W) float32 in [0, 1]."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        (faint > 0.25).astype(np.uint8), connectivity=8
    )
    clear_pixels = np.bincount(labels.ravel(), (clear > 0.5).ravel(), count)
    kept = clear_pixels >= np.maximum(CLEAR_SHARE * stats[:, cv2.CC_STAT_AREA], 1)
    kept[0] = False  # the background
    return faint * kept[labels]


def draw_borders(painted: Lab, labels: NDArray[np.int64], unit: float) -> Plane:
    """Draw lines between regions that differ strongly in color.

    The difference of Gaussians sees lightness alone; red on green of the same lightness needs this.

    Args:
        painted: (H, W, 3) float32, CIE Lab, the painted regions.
        labels: (H, W) int64.
        unit: Factor on every length.

    Returns:
        (H, W) float32 in [0, 1].
    """
    border = np.zeros(labels.shape, np.float32)
    for one, other in (
        ((slice(None), slice(1, None)), (slice(None), slice(-1))),
        ((slice(1, None),), (slice(-1),)),
    ):
        contrast = np.linalg.norm(painted[one] - painted[other], axis=-1)
        drawn = (labels[one] != labels[other]) & (contrast > BORDER_CONTRAST)
        border[one] = np.maximum(border[one], drawn)
    # A blur rounds the pixel steps of the border, and its gain sets the width of the line.
    return (blur(border, 0.75 * unit) * 2.6 * unit - 0.35).clip(0, 1)


def draw_features(lightness: Plane, skin: Plane, faces: Plane, unit: float) -> Plane:
    """Draw small dark shapes in the middle of skin: eyes, brows, nostrils, the line of a mouth.

    A closing fills what is darker than its surroundings and narrower than its kernel.

    Args:
        lightness: (H, W) float32, CIE lightness in [0, 100].
        skin: (H, W) float32 in [0, 1].
        faces: (H, W) float32 in [0, 1].
        unit: Factor on every length.

    Returns:
        (H, W) float32 in [0, 1].
    """
    side = 2 * round(FEATURE_RADIUS * unit) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    depth = blur(cv2.morphologyEx(lightness, cv2.MORPH_CLOSE, kernel) - lightness, 0.4 * unit)
    # A closing of the skin bridges the very features, where its color is missing.
    around = blur(cv2.morphologyEx(skin, cv2.MORPH_CLOSE, kernel), 3 * unit)
    inside = np.maximum(soft_step(around - 0.55, 0.25), soft_step(faces - 0.3, 0.4))
    # Texture of skin color, such as brick, has such shapes everywhere; a face has a few.
    shapes = soft_step(depth - FEATURE_CONTRAST, 5) * inside
    crowd = blur(shapes, 8 * unit)
    return shapes * (1 - soft_step(crowd - 0.16, 0.12) * (1 - faces))


def keep_long_strokes(ink: Plane, shortest: float, faces: Plane, shortest_in_face: float) -> Plane:
    """Drop strokes whose bounding box is shorter than a length, in pixels.

    Args:
        ink: (H, W) float32 in [0, 1].
        shortest: Smallest longer side of the bounding box.
        faces: (H, W) float32 in [0, 1], 1 in faces.
        shortest_in_face: The same for strokes that lie in a face.
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        (ink > 0.3).astype(np.uint8), connectivity=8
    )
    length = np.maximum(stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT])
    in_face = np.bincount(labels.ravel(), faces.ravel(), count) / stats[:, cv2.CC_STAT_AREA]
    kept = length >= np.where(in_face > 0.2, shortest_in_face, shortest)
    kept[0] = False  # the background
    around = cv2.dilate(kept[labels].astype(np.float32), np.ones((3, 3), np.uint8))
    return ink * around


def find_clutter(lightness: Plane, unit: float) -> Plane:
    """Where edges are dense and have no common direction: (H, W) float32 in [0, 1]."""
    xx, xy, yy = structure_tensor(lightness, CLUTTER_SIGMA * unit)
    coherence = np.hypot(xx - yy, 2 * xy) / (xx + yy + 0.1)
    slope = np.hypot(
        cv2.Scharr(lightness, cv2.CV_32F, 1, 0), cv2.Scharr(lightness, cv2.CV_32F, 0, 1)
    ) / 32 * unit  # fmt: skip
    density = blur((slope > CLUTTER_SLOPE).astype(np.float32), CLUTTER_SIGMA * unit)
    crossing = 1 - soft_step(coherence - 0.2, 0.4)
    return crossing * soft_step(density - 0.3, 0.35)


def _line_response(lightness: Plane, sigma: float, unit: float) -> Plane:
    """How dark a pixel is against both sides of its edge, averaged along the edge."""
    normal_x, normal_y = edge_normals(lightness, FLOW_SIGMA * unit)
    difference = difference_across(lightness, normal_x, normal_y, sigma)
    return -mean_along(difference, normal_x, normal_y, STROKE_SIGMA * unit)
