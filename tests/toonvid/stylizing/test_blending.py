"""Blended cartoons: weights count for their squares, and no line stays where none is near."""

from __future__ import annotations

import numpy as np
import pytest

from toonvid.stylizing.blending import CartoonBlender
from toonvid.stylizing.moving import FRACTION
from toonvid.video import Pixels

CELL, SIDE = 8, 4


def pixels(height: int, width: int, seed: int) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def vectors(right: float, height: int, width: int) -> np.ndarray:
    field = np.zeros((height // CELL, width // CELL, 2), np.int32)
    field[..., 0] = right * FRACTION
    return field


def blend(cartoon: Pixels, last: Pixels, field: np.ndarray, weights: np.ndarray) -> Pixels:
    blender = CartoonBlender(*cartoon.shape[:2], CELL, SIDE, is_bilinear=True)
    return blender.blend(cartoon, blender.keep(last), field, weights.astype(np.uint8)).pixels


@pytest.mark.parametrize("size", [(45, 61), (48, 64), (47, 64), (9, 9)])
def test_a_blend_is_rounded_and_weighted_by_squares(size):
    height, width = size
    cartoon, last = pixels(*size, seed=1), pixels(*size, seed=2)
    weights = np.random.default_rng(3).integers(0, 256, (-(-height // SIDE), -(-width // SIDE)))
    blended = blend(cartoon, last, vectors(0, *size), weights)
    share = weights.repeat(SIDE, axis=0).repeat(SIDE, axis=1)[:height, :width, None] / 255
    exact = cartoon + share * (last.astype(float) - cartoon)
    assert np.abs(blended - exact).max() <= 0.5


def test_a_moved_line_is_not_seen_where_no_line_is_near():
    cartoon, last = (np.full((48, 64, 3), 200, np.uint8) for _ in range(2))
    last[20:23] = 0
    cartoon[20:23, :24] = 0
    held = np.full((12, 16), 255)
    blended = blend(cartoon, last, vectors(1, 48, 64), held)
    assert (blended[20:23, 8:22] == 0).all()
    moving = vectors(1, 48, 64)
    moving[:, 4:] = 0
    blended_right = blend(cartoon, last, moving, held)
    assert (blended_right[20:23, 40:] == 0).all()  # other cells keep what they showed
    assert (blended[20:23, 28:56] == 200 - 8).all()


@pytest.mark.parametrize("size", [(45, 61), (50, 70)])
def test_clipping_keeps_within_the_colors_nearby(size):
    """Also at the edges, where cells reach beyond the frame."""
    cartoon, last = pixels(*size, seed=1) // 8 + 100, pixels(*size, seed=2)
    blended = blend(cartoon, last, vectors(0.5, *size), np.full((13, 18), 255))
    beyond = 8 + (int(cartoon.max()) - int(cartoon.min())) // 2
    assert blended.min() >= cartoon.min() - beyond
    assert blended.max() <= cartoon.max() + beyond


def test_more_is_kept_among_lines_than_in_flat_color():
    cartoon, last = (np.full((48, 64, 3), 160, np.uint8) for _ in range(2))
    cartoon[:, ::4] = cartoon[:, 1::4] = 100  # so that 100 - 8 - 30 to 160 + 8 + 30 are allowed
    last[...] = 20
    held = np.full((12, 16), 255)
    assert (blend(cartoon, last, vectors(1, 48, 64), held) == 62).all()
    last[...] = 240
    assert (blend(cartoon, last, vectors(1, 48, 64), held) == 198).all()
