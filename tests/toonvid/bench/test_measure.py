"""Measuring one frame size. No test depends on how fast it was."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.bench import QUICK

from toonvid.backends import Backend
from toonvid.bench.measure import measure_size
from toonvid.bench.work_time import core_count


def test_a_size_is_measured_completely(identity: Backend) -> None:
    found = measure_size(identity, (64, 48), QUICK, peak_multiply_adds=1e9)
    assert (found.width, found.height, found.cores) == (64, 48, core_count())
    for stage in (found.decode, found.stylize, found.encode, found.pipeline, found.null):
        assert stage.frames == 12
        assert stage.seconds > 0
    assert found.efficiency > 0
    assert (found.real_time, found.cold_first_frame_seconds, found.peak_bytes) == (None, None, None)
    assert found.kept_first_frame_seconds is None
    assert set(found.to_json()) >= {"ratio", "efficiency", "peak_multiply_adds", "bottleneck"}


@pytest.mark.parametrize(("limit", "count"), [(0.0, 1), (3600.0, 2)])
def test_rounds_that_take_too_long_are_fewer(identity: Backend, limit: float, count: int) -> None:
    steps: list[str] = []
    options = replace(QUICK, seconds=0.1, rounds=2, rounds_seconds=limit)
    found = measure_size(identity, (32, 32), options, on_step=steps.append)
    assert found.rounds == count
    assert steps[:2] == ["test video", "a round that is not counted"]
    assert [step.partition(",")[0] for step in steps[2:]] == [
        f"round {number} of {count}" for number in range(1, count + 1)
    ]
