"""Moved frames: their pixels are those of the last frame, or lie between them."""

from __future__ import annotations

import numpy as np
import pytest

from toonvid.stylizing.moving import FRACTION, Mover, repeat_bytes
from toonvid.video import Pixels

CELL = 8
SIZE = (45, 61)  # odd on purpose


def pixels(height: int = SIZE[0], width: int = SIZE[1], channels: int = 3) -> Pixels:
    return np.random.default_rng(3).integers(0, 256, (height, width, channels), np.uint8)


def slope(height: int, width: int) -> Pixels:
    """A frame that is brighter to the right by 3 levels a pixel, and below by 2."""
    rows, columns = np.indices((height, width))
    return np.repeat((2 * rows + 3 * columns)[..., None], 3, axis=2).astype(np.uint8)


def vectors(right: int, down: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """A grid of cells that all have one vector, given in 1 / FRACTION pixels."""
    field = np.empty((max(size[0] // CELL, 1), max(size[1] // CELL, 1), 2), np.int32)
    field[...] = right, down
    return field


def move(frame: Pixels, field: np.ndarray, is_bilinear: bool = True, cell: int = CELL) -> Pixels:
    height, width, channels = frame.shape
    mover = Mover(height, width, channels, cell, is_bilinear)
    kept = mover.empty()
    kept.pixels[...] = frame
    moved = np.empty_like(kept.rows)
    for row, whole_cells in enumerate(mover.rows(kept, mover.fit(field))):
        rows = moved[row::cell]
        rows[...] = whole_cells[: len(rows), : rows.shape[1]]
    return moved.reshape(frame.shape)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1), (3, 5), (8, 8), (45, 61), (48, 64)])
@pytest.mark.parametrize("is_bilinear", [True, False])
@pytest.mark.parametrize("channels", [3, 4])
def test_every_size_is_moved(size, is_bilinear, channels):
    frame = pixels(*size, channels)
    assert move(frame, vectors(0, 0, size), is_bilinear).tobytes() == frame.tobytes()
    # From a frame of one color, nothing but that color can be fetched.
    frame[...] = 77
    for right, down in ((7, 4), (-40, 3), (400, -400)):
        assert (move(frame, vectors(right, down, size), is_bilinear) == 77).all()


@pytest.mark.parametrize("is_bilinear", [True, False])
def test_whole_pixels_are_fetched_unchanged(is_bilinear):
    frame = pixels()
    moved = move(frame, vectors(3 * FRACTION, -2 * FRACTION), is_bilinear)
    # Cells at the edges are fetched from inside.
    assert (moved[8:40, 8:48] == frame[6:38, 11:51]).all()


def test_pixels_between_pixels_are_interpolated():
    frame = pixels()
    moved = move(frame, vectors(3, 6))
    columns = 0.8 * frame[:, :-1] + 0.2 * frame[:, 1:]
    expected = 0.6 * columns[:-1] + 0.4 * columns[1:]
    inner = np.s_[8:32, 8:48]
    assert np.abs(moved[inner] - expected[inner]).max() <= 1  # rounded twice


def test_two_of_four_pixels_are_a_fifth_of_a_pixel_off_at_most():
    frame = slope(24, 32)
    for right in range(FRACTION):
        for down in range(FRACTION):
            moved = move(frame, vectors(right, down, (24, 32)), is_bilinear=False)
            expected = frame + 3 * right / FRACTION + 2 * down / FRACTION
            # A fifth of a pixel in any direction, and half a level of rounding.
            limit = 0.2 * 13**0.5 + 0.5
            assert np.abs(moved[8:16, 8:16] - expected[8:16, 8:16]).max() <= limit


@pytest.mark.parametrize(("right", "down"), [(5, 0), (0, 9), (4, 4), (10, 5)])
def test_places_on_a_line_between_two_pixels_are_exact(right, down):
    frame = slope(24, 32)
    moved = move(frame, vectors(right, down, (24, 32)), is_bilinear=False)
    expected = frame + 3 * right / FRACTION + 2 * down / FRACTION
    assert np.abs(moved[8:16, 8:16] - expected[8:16, 8:16]).max() <= 0.51


def test_a_vector_that_leads_outside_is_shortened():
    frame = pixels(48, 64)
    moved = move(frame, vectors(500 * FRACTION, -500 * FRACTION, (48, 64)))
    assert (moved[:8, :8] == frame[:8, 56:]).all()
    assert (moved[40:, 56:] == frame[:8, 56:]).all()


def test_the_cells_that_motion_left_out_move_like_those_beside_them():
    mover = Mover(21, 18, 3, CELL, is_bilinear=True)
    fitted = mover.fit(np.full((2, 2, 2), 30, np.int32))
    assert fitted[0, 0].tolist() == [30, 30]
    # The third row of cells ends at the frame's last row, and so does the third column.
    assert fitted[2, 2].tolist() == [0, 0]
    assert fitted[2, 0].tolist() == [30, 0]


@pytest.mark.parametrize("count", [1, 3, 6, 12, 24])
def test_bytes_are_repeated(count):
    values = np.random.default_rng(5).integers(0, 256, (4, 9), np.uint8)
    assert (repeat_bytes(values, count) == values.repeat(count, axis=1)).all()
