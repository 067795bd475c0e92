"""Values that travel, and what they refuse."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from toonvid.video import Frame, seconds

F = Fraction
PIXELS = np.zeros((4, 6, 3), np.uint8)


def test_seconds_are_exact():
    assert seconds(1001, F(1, 24000)) == F(1001, 24000)
    assert Frame(PIXELS, 3, F(1, 7)).seconds == F(3, 7)


@pytest.mark.parametrize(
    "pixels", [PIXELS.astype(np.float32), PIXELS[:, :, 0], np.zeros((4, 6, 4), np.uint8)]
)
def test_pixels_of_another_kind_are_refused(pixels):
    with pytest.raises(ValueError, match=r"self\.pixels"):
        Frame(pixels, 0, F(1))


def test_opacity_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r"self\.alpha"):
        Frame(PIXELS, 0, F(1), alpha=np.zeros((6, 4), np.uint8))
