"""Filters along and across the edges of a plane, for the lines of both kinds of drawings.

In: planes (H, W) float32. Out: planes of the same shape. The method is that of Kang et al.,
"Coherent Line Drawing", 2007: a difference of Gaussians across each edge, averaged along its flow.
"""

from __future__ import annotations

import cv2
import numpy as np

from trainer.data.planes import Plane, blur

GAUSSIAN_RATIO = 1.6
"""Ratio of the wide Gaussian to the narrow one that is nearest to a Laplacian."""


def edge_normals(lightness: Plane, sigma: float) -> tuple[Plane, Plane]:
    """x and y of the unit vector across the edge, from the smoothed structure tensor."""
    xx, xy, yy = structure_tensor(lightness, sigma)
    angle = 0.5 * np.arctan2(2 * xy, xx - yy)
    return np.cos(angle), np.sin(angle)


def structure_tensor(lightness: Plane, sigma: float) -> tuple[Plane, Plane, Plane]:
    """xx, xy and yy of the smoothed outer product of the gradient."""
    across = cv2.Scharr(lightness, cv2.CV_32F, 1, 0) / 32
    down = cv2.Scharr(lightness, cv2.CV_32F, 0, 1) / 32
    xx, xy, yy = (blur(product, sigma) for product in (across**2, across * down, down**2))
    return xx, xy, yy


def difference_across(plane: Plane, normal_x: Plane, normal_y: Plane, sigma: float) -> Plane:
    """Narrow minus wide Gaussian mean across the edge; negative on its dark side."""
    x, y = _positions(plane)
    reach = int(np.ceil(2 * sigma * GAUSSIAN_RATIO))
    offsets = np.arange(-reach, reach + 1, dtype=np.float32)
    narrow = np.exp(-(offsets**2) / (2 * sigma**2))
    wide = np.exp(-(offsets**2) / (2 * (sigma * GAUSSIAN_RATIO) ** 2))
    difference = np.zeros_like(plane)
    for offset, weight in zip(offsets, narrow / narrow.sum() - wide / wide.sum(), strict=True):
        difference += weight * _sample(plane, x + offset * normal_x, y + offset * normal_y)
    return difference


def mean_along(plane: Plane, normal_x: Plane, normal_y: Plane, sigma: float) -> Plane:
    """Gaussian mean along the flow of the edges, followed step by step in both directions."""
    steps = np.arange(1, int(np.ceil(2 * sigma)) + 1)
    weights = np.exp(-(steps**2) / (2 * sigma**2)).astype(np.float32)
    total = plane.copy()
    for direction in (1, -1):
        x, y = _positions(plane)
        step_x, step_y = -normal_y * direction, normal_x * direction
        for weight in weights:
            x, y = x + step_x, y + step_y
            total += weight * _sample(plane, x, y)
            next_x, next_y = -_sample(normal_y, x, y), _sample(normal_x, x, y)
            # A normal has no sign: go on in the direction of the step before.
            ahead = np.where(next_x * step_x + next_y * step_y < 0, -1, 1)
            scale = (ahead / (np.hypot(next_x, next_y) + 1e-6)).astype(np.float32)
            step_x, step_y = next_x * scale, next_y * scale
    return total / (1 + 2 * weights.sum())


def _positions(plane: Plane) -> tuple[Plane, Plane]:
    """x and y of each pixel, both of the shape of `plane`."""
    y, x = np.indices(plane.shape, dtype=np.float32)
    return x, y


def _sample(plane: Plane, x: Plane, y: Plane) -> Plane:
    """Read `plane` between pixels; mirrored at its border."""
    return cv2.remap(plane, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
