"""A photo's flat colors and ink lines: what the `lite` initialization phase repeats.

The paper's initialization phase lets the generator repeat the photo. This drawing of the photo is a
departure from it: flat areas and outlines are there before any cartoon has been seen.

Sources: mean shift (Comaniciu and Meer, 2002), soft steps of lightness and the difference of
Gaussians as ink (Winnemoeller et al., "Real-Time Video Abstraction", 2006), lines that follow the
flow of the edges (Kang et al., "Coherent Line Drawing", 2007).

Leaves out any learning: the same photo always gives the same drawing.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from toonvid.video import Pixels
from trainer.data.edge_flow import difference_across, edge_normals, mean_along
from trainer.data.planes import Plane

FLAT_DRAWING_VERSION = 2
"""Raised whenever the same photo would be drawn otherwise: stored drawings are then made anew."""

REFERENCE_HEIGHT = 288
"""Frame height at which the lengths below, all in pixels, hold; they grow with its square root."""

FLAT_RADIUS = 7
"""Mean shift: how far a pixel looks for pixels of its color."""
FLAT_COLOR = 22
"""Mean shift: how far apart two levels (0..255) may be and still count as one color."""
REGION_EDGE = 1.5
"""Half the width of the median filter that rounds the ragged edges which mean shift leaves."""

LIGHTNESS_GAMMA = 0.88
LIGHTNESS_STEP = 15.0
"""Step of CIE lightness (0..100); half of each step is kept as shading."""
CHROMA_GAIN = 1.3

LINE_SIGMA = 1.6
FLOW_SIGMA = 2.2
LINE_LENGTH = 4.0
"""Sigma of the mean along a line: what breaks up noise and joins strokes."""
INK_THRESHOLD = 0.7
INK_SOFTNESS = 1.8
"""Ink sets in at the threshold and is full this much later; differences of CIE lightness."""
SPECKLE_AREA = 36
"""Ink in blots smaller than this (pixels) is left out."""
SPECKLE_LENGTH = 10
"""So is ink whose bounding box is shorter than this on both sides."""
INK_OPACITY = 0.88
INK_SHADE = 0.22
"""Share of the color below that shows in the ink."""
INK_TINT = (0.03, 0.02, 0.03)
"""RGB in 0..1: a warm black."""


def draw_flat(photo: Pixels, frame_height: int) -> Pixels:
    """Redraw a photo in flat colors with ink lines.

    Args:
        photo: (H, W, 3) uint8, RGB; a whole picture or a part of one.
        frame_height: Short side in pixels of the whole picture. Lines and areas grow with its
            square root: a bigger frame shows things bigger, and asks for bolder lines.

    Returns:
        (H, W, 3) uint8, RGB.
    """
    zoom = (frame_height / REFERENCE_HEIGHT) ** 0.5
    smooth = _smooth(photo, zoom)
    flat = _flatten(smooth, zoom)
    flat_lab = _to_lab(flat)
    # Lines of the flat picture are clean, lines of the smooth one complete.
    lightness = 0.5 * _to_lab(smooth)[..., 0] + 0.5 * flat_lab[..., 0]
    ink = INK_OPACITY * draw_lines(lightness, zoom)[..., None]
    colors = cv2.cvtColor(_shade(flat_lab), cv2.COLOR_Lab2RGB)
    inked = colors * INK_SHADE + np.array(INK_TINT, np.float32)
    drawing = colors * (1 - ink) + inked * ink
    return (np.clip(drawing, 0, 1) * 255 + 0.5).astype(np.uint8)


def draw_lines(lightness: Plane, zoom: float = 1.0) -> Plane:
    """Draw the dark side of each edge as an ink line along it.

    Args:
        lightness: (H, W) float32, CIE lightness in [0, 100].
        zoom: Factor on every length.

    Returns:
        (H, W) float32 in [0, 1]; 1 is full ink.
    """
    normal_x, normal_y = edge_normals(lightness, FLOW_SIGMA * zoom)
    difference = difference_across(lightness, normal_x, normal_y, LINE_SIGMA * zoom)
    difference = mean_along(difference, normal_x, normal_y, LINE_LENGTH * zoom)
    ink = np.clip((-difference - INK_THRESHOLD) / INK_SOFTNESS, 0, 1)
    return drop_speckle(ink * ink * (3 - 2 * ink), zoom)


def drop_speckle(ink: Plane, zoom: float = 1.0) -> Plane:
    """Leave out blots of ink too small to be a line: leaves, gravel and noise give hundreds.

    Args:
        ink: (H, W) float32 in [0, 1].
        zoom: Factor on every length.

    Returns:
        The same shape and range.
    """
    dark = (ink > 0.35).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(dark, connectivity=8)
    extent = np.maximum(stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT])
    kept = (stats[:, cv2.CC_STAT_AREA] >= SPECKLE_AREA * zoom**2) & (
        extent >= SPECKLE_LENGTH * zoom
    )
    kept[0] = False  # the paper, not a blot
    soft_edge = np.ones((3, 3), np.uint8)
    return ink * cv2.dilate(kept[labels].astype(np.float32), soft_edge)


def _smooth(photo: Pixels, zoom: float) -> Pixels:
    """The photo without grain and fine texture, edges kept; (H, W, 3) uint8, RGB."""
    for _ in range(2):
        photo = cv2.bilateralFilter(photo, d=0, sigmaColor=20, sigmaSpace=3 * zoom)
    return photo


def _flatten(smooth: Pixels, zoom: float) -> Pixels:
    """Areas of one color with smooth edges; (H, W, 3) uint8, RGB."""
    flat = cv2.pyrMeanShiftFiltering(smooth, FLAT_RADIUS * zoom, FLAT_COLOR, maxLevel=1)
    flat = cv2.medianBlur(flat, 2 * int(REGION_EDGE * zoom) + 1)
    return cv2.bilateralFilter(flat, d=0, sigmaColor=18, sigmaSpace=2.5)


def _to_lab(pixels: Pixels) -> NDArray[np.float32]:
    """CIE Lab, (H, W, 3) float32: L in [0, 100], a and b about -127 to 127."""
    return cv2.cvtColor(pixels.astype(np.float32) / 255, cv2.COLOR_RGB2Lab)


def _shade(lab: NDArray[np.float32]) -> NDArray[np.float32]:
    """Lab with lifted shadows, half-stepped lightness and raised chroma."""
    lightness = 100 * (np.maximum(lab[..., 0], 0) / 100) ** LIGHTNESS_GAMMA
    step = np.round(lightness / LIGHTNESS_STEP) * LIGHTNESS_STEP
    within = np.tanh((lightness - step) / LIGHTNESS_STEP * 4) / np.tanh(2)
    stepped = step + LIGHTNESS_STEP / 2 * within
    chroma = lab[..., 1:] * CHROMA_GAIN
    return np.dstack([(lightness + stepped) / 2, chroma]).astype(np.float32)
