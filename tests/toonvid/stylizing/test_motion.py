"""Motion between two frames: vectors point to where a cell was, to fractions of a pixel."""

from __future__ import annotations

import numpy as np
import pytest

from toonvid.stylizing.cell_sums import CELL, Luma
from toonvid.stylizing.motion import find_motion

STEPS = 16  # of a pixel


def scene(right: float = 0, down: float = 0, height: int = 96, width: int = 128) -> Luma:
    """Waves of several lengths and directions, seen from so many pixels further right and down."""
    rows, columns = np.indices((height, width)) + np.array([down, right])[:, None, None]
    waves = [
        np.sin(columns / 3.1) * np.cos(rows / 4.3),
        np.sin((columns + rows) / 7.7),
        np.sin((columns - 2 * rows) / 17.0),
        np.cos(columns / 29.0 + rows / 23.0),
    ]
    return np.round(127 + 30 * sum(waves)).astype(np.float32)


@pytest.mark.parametrize(("right", "down"), [(0.5, 0), (0, -0.25), (3, 2), (-1.75, 4.5), (9, -6)])
def test_vectors_point_to_where_the_cells_were(right, down):
    vectors = find_motion(scene(), scene(right, down), STEPS) / STEPS
    inner = vectors[4:-4, 4:-4]
    assert np.abs(np.median(inner, axis=(0, 1)) - [right, down]).max() <= 0.125
    assert (np.abs(inner - [right, down]).max(axis=2) <= 0.5).mean() > 0.9


def test_two_parts_have_vectors_of_their_own():
    after = scene()
    after[:, 64:] = scene(4, 0)[:, 64:]
    vectors = find_motion(scene(), after, STEPS) / STEPS
    assert np.abs(vectors[3:-3, 2:12]).max() <= 0.25
    assert np.abs(vectors[3:-3, 21:-4] - [4, 0]).max() <= 0.5


def test_a_moving_object_does_not_drag_a_faint_background_along():
    rows = np.indices((128, 160))[0]
    background = 200 + 2 * (rows % 32 > 15)  # faint steps, which every vector nearly fits

    def object_at(left: int) -> Luma:
        frame = background.astype(np.float32)
        frame[40:90, left : left + 40] = scene()[:50, :40]
        return frame

    vectors = find_motion(object_at(60), object_at(65), STEPS) / STEPS
    assert np.abs(np.median(vectors[13:20, 20:24], axis=(0, 1)) - [-5, 0]).max() <= 0.25
    assert np.abs(vectors[:, 32:]).max() <= 0.5


def test_equal_frames_do_not_move():
    assert not find_motion(scene(), scene(), STEPS).any()


def test_noise_alone_does_not_move_much():
    noise = np.random.default_rng(1).integers(-3, 4, (2, 96, 128))
    vectors = find_motion(scene() + noise[0].astype(np.float32), scene() + noise[1], STEPS)
    assert np.abs(vectors).max() <= STEPS // 4


def test_noise_hardly_bends_vectors():
    """0.136 without the rough step before the last one; 0.147, and 0.073 between neighbors, without
    the mean over neighbors."""
    noise = np.random.default_rng(3).integers(-6, 7, (2, 96, 128)).astype(np.float32)
    vectors = find_motion(scene() + noise[0], scene(-1.75, 4.5) + noise[1], 64) / 64
    inner = vectors[4:-4, 4:-4]
    assert np.abs(inner - [-1.75, 4.5]).max(axis=2).mean() < 0.127
    assert np.abs(np.diff(inner, axis=1)).mean() < 0.05


@pytest.mark.parametrize("shape", [(1, 1), (3, 40), (4, 4), (5, 9), (23, 24), (31, 50)])
def test_every_size_has_vectors(shape):
    height, width = shape
    before, after = (scene(right, 0, height, width) for right in (0, 1))
    vectors = find_motion(before, after, STEPS)
    assert vectors.shape == (max(height // CELL, 1), max(width // CELL, 1), 2)
