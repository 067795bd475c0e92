"""A source frame and its cartoon are shown in one frame."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from support.clips import flat_frame

from toonvid.choices import COMPARISONS
from toonvid.stylizing.compare import compose_comparison
from toonvid.video import Frame

F = Fraction
ALPHA = np.arange(48 * 64, dtype=np.uint32).reshape(48, 64).astype(np.uint8)
SOURCE = Frame(flat_frame((10, 20, 30)), 0, F(1, 25), 1, ALPHA)
CARTOON = Frame(flat_frame((200, 210, 220)), 0, F(1, 25), 1, ALPHA)


def test_no_comparison_is_the_cartoon_itself():
    assert compose_comparison(SOURCE, CARTOON, "none") is CARTOON


@pytest.mark.parametrize(("comparison", "axis"), [("horizontal", 1), ("vertical", 0)])
def test_both_are_shown_side_by_side_with_their_opacity(comparison, axis):
    both = compose_comparison(SOURCE, CARTOON, comparison)
    assert np.array_equal(both.pixels, np.concatenate([SOURCE.pixels, CARTOON.pixels], axis))
    assert both.alpha is not None
    assert np.array_equal(both.alpha, np.concatenate([ALPHA, ALPHA], axis))
    assert (both.pts, both.time_base, both.duration) == (0, F(1, 25), 1)


@pytest.mark.parametrize(("time", "column"), [(0, 32), (F(3, 2), 64), (F(9, 2), 0), (6, 32)])
def test_wipe_moves_the_line_from_left_to_right_and_back(time, column):
    at = {"pts": int(time * 2), "time_base": F(1, 2)}
    wiped = compose_comparison(
        Frame(SOURCE.pixels, **at), Frame(CARTOON.pixels, **at), "wipe"
    ).pixels
    assert wiped.shape == CARTOON.pixels.shape
    assert (wiped[:, : max(0, column - 1)] == SOURCE.pixels[0, 0]).all()
    assert (wiped[:, column + 1 :] == CARTOON.pixels[0, 0]).all()
    assert (wiped == 255).any()
    assert (CARTOON.pixels == flat_frame((200, 210, 220))).all()  # not changed


@pytest.mark.parametrize("comparison", COMPARISONS)
def test_a_frame_of_one_pixel_can_be_compared(comparison):
    one = Frame(flat_frame((1, 2, 3), (1, 1)), 0, F(1))
    assert compose_comparison(one, one, comparison).pixels.size >= 3
