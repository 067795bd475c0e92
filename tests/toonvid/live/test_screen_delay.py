"""The delay that `toonvid live` tells is the one that a viewer of its window has."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.screen_delay import measure_screen_delay

_RATE = 5.0  # pictures a second: one that is shown in the place of another is far off


def test_told_delay_is_seen_on_the_screen(engines_folder: Path) -> None:
    env = {"TOONVID_ENGINES": str(engines_folder)}
    for _ in range(5):  # on a busy machine a window of OpenCV's sometimes stays empty
        found = measure_screen_delay(320, 180, _RATE, 6.0, "identity", env)
        if found.pictures:
            break
    assert found.pictures > 10
    half_a_picture = 500 / _RATE
    assert found.seen[0] == pytest.approx(found.told[0] + found.way[0], abs=half_a_picture)
