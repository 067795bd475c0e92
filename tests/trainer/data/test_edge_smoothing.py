"""Edge smoothing changes the surroundings of edges only."""

from __future__ import annotations

import cv2
import numpy as np
from support.drawn_images import draw_discs

from trainer.data.edge_smoothing import DILATION, SMOOTHING, smooth_edges


def test_edges_are_softened_and_areas_are_unchanged() -> None:
    cartoon = np.full((40, 60, 3), (200, 180, 90), np.uint8)
    cartoon[:, 30:] = (40, 60, 120)
    smoothed = smooth_edges(cartoon)
    steps = np.abs(np.diff(smoothed.astype(int), axis=1)).max(axis=(0, 2))
    assert steps.max() < 0.5 * 160
    reach = DILATION // 2 + 1
    changed = np.flatnonzero((smoothed != cartoon).any(axis=(0, 2)))
    assert 30 - reach <= changed.min() < 30 <= changed.max() <= 29 + reach


def test_an_image_without_edges_is_unchanged() -> None:
    ramp = np.tile(np.arange(0, 120, 2, dtype=np.uint8)[:, None, None], (1, 50, 3))
    np.testing.assert_array_equal(smooth_edges(ramp), ramp)


def test_edges_get_the_values_of_a_gaussian() -> None:
    cartoon = draw_discs(60, 60, 3, ink=True)
    smoothed = smooth_edges(cartoon)
    gaussian = cv2.GaussianBlur(cartoon, (SMOOTHING, SMOOTHING), 0)
    changed = (smoothed != cartoon).any(axis=2)
    assert 0.05 < changed.mean() < 0.95
    np.testing.assert_array_equal(smoothed[changed], gaussian[changed])
