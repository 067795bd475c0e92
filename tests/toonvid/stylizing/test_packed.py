"""Packed frames: nothing is lost, moved pixels are those of the last frame, blends are rounded."""

from __future__ import annotations

import numpy as np
import pytest

from toonvid.stylizing.motion import FRACTION
from toonvid.stylizing.packed import PackedFrame, blend, blend_moved, move
from toonvid.video import Pixels

CELL = 8


def pixels(height: int = 45, width: int = 61, seed: int = 3) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def vectors(right: float, down: float, height: int = 45, width: int = 61) -> np.ndarray:
    field = np.empty((height // CELL, width // CELL, 2), np.int32)
    field[...] = np.array([right, down]) * FRACTION
    return field


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1), (2, 2), (45, 61), (48, 64)])
@pytest.mark.parametrize("step", [1, 2])
def test_packing_keeps_every_pixel(size, step):
    frame = pixels(*size)
    assert PackedFrame.pack(frame, step).unpack().tobytes() == frame[::step, ::step].tobytes()


def test_frames_that_are_not_contiguous_are_packed_as_well():
    frame = pixels()[:, ::-1]
    assert PackedFrame.pack(frame).unpack().tobytes() == frame.tobytes()


def test_a_frame_that_does_not_move_stays_as_it_is():
    frame = pixels()
    assert move(PackedFrame.pack(frame), vectors(0, 0), CELL).unpack().tobytes() == frame.tobytes()


def test_whole_pixels_are_fetched_unchanged():
    frame = pixels()
    moved = move(PackedFrame.pack(frame), vectors(3, -2), CELL).unpack()
    # Cells at the edges are fetched from inside.
    assert (moved[8:40, 8:48] == frame[6:38, 11:51]).all()


def test_pixels_between_pixels_are_interpolated():
    frame = pixels()
    moved = move(PackedFrame.pack(frame), vectors(0.25, 0.5), CELL).unpack()
    columns = 0.75 * frame[:, :-1] + 0.25 * frame[:, 1:]
    expected = (columns[:-1] + columns[1:]) / 2
    inner = np.s_[8:32, 8:48]
    assert np.abs(moved[inner] - expected[inner]).max() <= 0.5


def test_a_vector_that_leads_outside_is_shortened():
    frame = pixels(48, 64)
    moved = move(PackedFrame.pack(frame), vectors(500, -500, 48, 64), CELL).unpack()
    assert (moved[:8, :8] == frame[:8, 56:]).all()
    assert (moved[40:, 56:] == frame[:8, 56:]).all()


def test_a_blend_is_rounded():
    frame, last = pixels(seed=1), pixels(seed=2)
    weights = np.random.default_rng(3).integers(0, 257, frame.shape[:2]).astype(np.uint16)
    blended = blend(PackedFrame.pack(frame), PackedFrame.pack(last), weights).unpack()
    exact = frame + weights[..., None] / 256 * (last.astype(float) - frame)
    assert np.abs(blended - exact).max() <= 0.5


@pytest.mark.parametrize("size", [(45, 61), (48, 64), (47, 64)])
def test_a_moved_frame_is_blended_by_squares(size):
    height, width = size
    frame, last = pixels(*size, seed=1), pixels(*size, seed=2)
    weights = np.zeros((-(-height // 2), -(-width // 2)), np.uint16)
    weights[5, 6] = 256
    blended = blend_moved(
        frame=PackedFrame.pack(frame),
        last=PackedFrame.pack(last),
        vectors=vectors(0, 0, height, width),
        cell=CELL,
        weights=weights,
    ).unpack()
    expected = frame.copy()
    expected[10:12, 12:14] = last[10:12, 12:14]
    assert blended.tobytes() == expected.tobytes()


def test_a_moved_line_is_not_seen_where_no_line_is_near():
    frame, last = (np.full((48, 64, 3), 200, np.uint8) for _ in range(2))
    last[20:23] = 0
    frame[20:23, :24] = 0
    held = np.full((24, 32), 256, np.uint16)
    blended = blend_moved(
        frame=PackedFrame.pack(frame),
        last=PackedFrame.pack(last),
        vectors=vectors(1, 0, 48, 64),
        cell=CELL,
        weights=held,
    ).unpack()
    assert (blended[20:23, 8:22] == 0).all()
    moving = vectors(1, 0, 48, 64)
    moving[:, 4:] = 0
    blended_right = blend_moved(
        frame=PackedFrame.pack(frame),
        last=PackedFrame.pack(last),
        vectors=moving,
        cell=CELL,
        weights=held,
    ).unpack()
    assert (blended_right[20:23, 40:] == 0).all()  # other cells keep what they showed
    assert (blended[20:23, 28:56] == 200 - 8).all()
