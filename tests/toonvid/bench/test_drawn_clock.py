"""The clock that is drawn into frames is read back."""

from __future__ import annotations

import numpy as np
import pytest

from toonvid.bench.demo_scene import draw_scene
from toonvid.bench.drawn_clock import draw_clock, elapsed_ms, read_clock


@pytest.mark.parametrize("size", [(640, 360), (96, 64), (64, 96)])
@pytest.mark.parametrize("milliseconds", [0, 1, 12_345_678, 2**24 - 1, 2**24 + 5])
def test_clock_is_read_back_from_noisy_frames(size: tuple[int, int], milliseconds: int) -> None:
    pixels = draw_scene(*size, 0)
    draw_clock(pixels, milliseconds)
    noise = np.random.default_rng(0).integers(-60, 60, pixels.shape)
    pixels = np.clip(pixels + noise, 0, 255).astype(np.uint8)
    assert read_clock(pixels) == milliseconds % 2**24


def test_elapsed_time_is_right_when_the_clock_starts_again() -> None:
    assert elapsed_ms(2**24 - 3, 4) == 7
