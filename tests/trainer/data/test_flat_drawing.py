"""A flat drawing is flat color and ink, the same each time."""

from __future__ import annotations

import numpy as np
import pytest

from toonvid.video import Pixels
from trainer.data.flat_drawing import draw_flat, draw_lines, drop_speckle


def edge(low: int, high: int, size: int = 96) -> Pixels:
    """Left half dark, right half light."""
    picture = np.full((size, size, 3), low, np.uint8)
    picture[:, size // 2 :] = high
    return picture


def noisy(level: int, sigma: float, size: int = 96) -> Pixels:
    noise = np.random.default_rng(0).normal(level, sigma, (size, size, 3))
    return np.clip(noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("shape", [(96, 96), (37, 53), (8, 120)])
def test_the_same_photo_gives_the_same_drawing(shape: tuple[int, int]) -> None:
    photo = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    first, second = draw_flat(photo, 288), draw_flat(photo.copy(), 288)
    assert first.dtype == np.uint8
    assert first.shape == photo.shape
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("level", [0, 60, 128, 255])
def test_gray_stays_gray_and_gets_no_ink(level: int) -> None:
    drawing = draw_flat(np.full((64, 64, 3), level, np.uint8), 288).astype(int)
    assert np.ptp(drawing) <= 1
    assert abs(drawing.mean() - level) < 16


def test_colors_grow_stronger() -> None:
    photo = np.full((64, 64, 3), (150, 110, 100), np.uint8)
    drawing = draw_flat(photo, 288).astype(int)[32, 32]
    assert np.ptp(drawing) > np.ptp(photo[32, 32].astype(int))


def test_noise_becomes_flat() -> None:
    photo = noisy(128, sigma=6)
    assert draw_flat(photo, 288).std() < 0.4 * photo.std()


def test_an_edge_gets_a_dark_line_on_its_dark_side() -> None:
    row = draw_flat(edge(110, 170), 288)[48, :, 1].astype(int)
    assert row[40:48].min() < row[10] - 50
    assert row[48 + 4 :].min() > row[10]


def test_a_bigger_frame_gets_a_wider_line() -> None:
    widths = []
    for frame_height in (288, 1080):
        row = draw_flat(edge(110, 170), frame_height)[48, :, 1].astype(int)
        widths.append(int((row < row[10] - 25).sum()))
    assert widths[0] >= 1
    assert widths[1] > widths[0]


def test_small_blots_are_no_lines_and_long_strokes_are() -> None:
    ink = np.zeros((64, 64), np.float32)
    ink[5:8, 5:8] = 1
    ink[30:32, 4:60] = 1
    left = drop_speckle(ink)
    assert not left[:20].any()
    np.testing.assert_array_equal(left[25:], ink[25:])


def test_scattered_dots_get_no_ink() -> None:
    lightness = np.full((96, 96), 60, np.float32)
    for offset in range(3):
        lightness[6 + offset :: 16, 6::16] = 20
        lightness[6 + offset :: 16, 7::16] = 20
    assert draw_lines(lightness).max() == 0
    lightness[:, :40] = 20
    assert draw_lines(lightness).max() == 1
