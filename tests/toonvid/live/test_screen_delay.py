"""The delay that `toonvid live` reports is the one that its window has on the screen."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.screen_delay import measure_screen_delay

_RATE = 5.0  # frames per second, so few that no frame is mistaken for the one before it
_ATTEMPTS = 5  # on a busy machine OpenCV's window sometimes stays empty


def test_reported_delay_is_the_one_on_the_screen(engines_folder: Path) -> None:
    env = {"TOONVID_ENGINES": str(engines_folder)}
    for _ in range(_ATTEMPTS):
        measured = measure_screen_delay(320, 180, _RATE, 6.0, "identity", env)
        if measured.frames:
            break
    assert measured.frames > 10, "the window stayed empty"
    expected = measured.reported[0] + measured.transport[0]
    half_a_frame_ms = 500 / _RATE
    assert measured.seen[0] == pytest.approx(expected, abs=half_a_frame_ms)
