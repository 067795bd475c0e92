"""Ratios and bottlenecks, from given times."""

from __future__ import annotations

from dataclasses import replace

import pytest

from toonvid.bench.results import SizeResults
from toonvid.bench.work_time import WorkTime


def make_results(**changes: object) -> SizeResults:
    """Make results of 10 frames on 2 cores: 1, 2 and 1 s of CPU time alone, 2 s together."""
    work = WorkTime(10, 1.0, 1.0)
    found = SizeResults(
        width=64,
        height=48,
        cores=2,
        rounds=1,
        decode=work,
        stylize=replace(work, seconds=1.5, cpu_seconds=2.0),
        encode=work,
        pipeline=replace(work, seconds=2.0, cpu_seconds=4.0),
        null=work,
        real_time=None,
        late_frames=None,
        warm_first_frame_seconds=0.1,
        cold_first_frame_seconds=None,
        kept_first_frame_seconds=None,
        peak_bytes=None,
        multiply_adds_per_pixel=1000,
        peak_multiply_adds=None,
    )
    return replace(found, **changes)  # type: ignore[arg-type]


def test_ratios_follow_from_the_measurements() -> None:
    found = make_results()
    assert found.ratio == 0.5
    assert found.efficiency == 1.0
    assert found.multiply_adds == 1000 * 64 * 48 * 10 / 1.5
    assert found.stage_shares == {"decode": 0.25, "stylize": 0.5, "encode": 0.25}
    assert "the cores are busy; stylize takes 50% of the work" in found.bottleneck


def test_stages_may_take_more_work_together_than_alone() -> None:
    found = make_results(pipeline=WorkTime(10, 2.5, 4.8))
    assert (found.efficiency, found.extra_work) == (0.8, pytest.approx(0.2))
    assert "the cores are busy; stylize" in found.bottleneck
    assert "20% more work together than alone" in found.bottleneck


@pytest.mark.parametrize("slowest", ["decode", "stylize", "encode"])
def test_idle_cores_are_explained_by_the_slowest_stage(slowest: str) -> None:
    found = make_results(pipeline=WorkTime(10, 8.0, 4.0), **{slowest: WorkTime(10, 4.0, 1.0)})
    assert found.slowest_stage == slowest
    assert f"wait for each other; {slowest} is the slowest, 2.5 frames" in found.bottleneck
