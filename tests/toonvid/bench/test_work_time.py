"""Wall-clock and CPU time of some work."""

from __future__ import annotations

import time

from toonvid.bench.work_time import WorkTime, time_work


def test_work_time_gives_rates_and_shares() -> None:
    work = WorkTime(frames=10, seconds=2.0, cpu_seconds=3.0)
    assert (work.rate, work.cpu_seconds_per_frame) == (5.0, 0.3)
    assert work.cores_busy(2) == 0.75


def test_sleeping_takes_no_cpu_time() -> None:
    def rest() -> int:
        time.sleep(0.05)
        return 3

    work = time_work(rest)
    assert work.frames == 3
    assert work.cpu_seconds < work.seconds >= 0.05
