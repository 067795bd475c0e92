"""The meter's rates and delays are right, and its memory does not grow."""

from __future__ import annotations

import time

import pytest

from toonvid.live.meter import Meter


def test_delay_is_the_quantile_of_all_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    meter = Meter()
    for delay in (*[0.1] * 60, *[0.3] * 35, *[2.0] * 5):
        meter.count_frame(now - delay)
    assert meter.shown == 100
    assert [meter.delay_ms(share) for share in (0.5, 0.95, 1.0)] == [100, 300, 2000]


def test_rate_is_over_two_seconds_and_mean_rate_over_all(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    meter = Meter()
    assert (meter.rate, meter.mean_rate, meter.delay_ms(0.5)) == (0, 0, 0)
    for _ in range(10):
        meter.count_frame(now)
        now += 1.0
    for _ in range(31):
        meter.count_frame(now)
        now += 0.1
    assert meter.rate == pytest.approx(10)
    assert meter.mean_rate == pytest.approx(40 / 13)
    now += 10
    assert meter.rate == 0


def test_memory_does_not_grow_with_the_number_of_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    meter = Meter()
    for _ in range(5000):
        now += 0.04
        meter.count_frame(now - 0.05)
    assert len(meter._delays) <= 2
    assert len(meter._recent) <= 52
