"""A guard against slow conversions. It compares ratios within one run, not times or rates."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.slow_backend import SlowBackend

from toonvid.backends import Backend, ControlValues, open_backend
from toonvid.bench.measure import run_pipeline
from toonvid.bench.null_pipeline import run_null_pipeline
from toonvid.bench.test_video import write_test_video
from toonvid.bench.work_time import time_work
from toonvid.engine import DEFAULT_STYLE, find_engine, shipped_engines
from toonvid.video import Pixels

SIZE = (320, 180)
# Rate of the pipeline over rate of the null pipeline, and CPU time of the null pipeline over CPU
# time of the pipeline. A third or less of what two busy cores showed (0.72 to 0.79, 0.50 to 0.57),
# so that CPUs without int8 instructions pass too.
LOWEST_RATE_RATIO, LOWEST_CPU_RATIO = 0.15, 0.15
DELAY_FACTOR, REPEATS = 40, 20  # far enough from the bounds for any machine


class RepeatingBackend(SlowBackend):
    """Runs each frame several times."""

    def run(self, frames: Pixels, controls: ControlValues | None = None) -> Pixels:
        for _ in range(REPEATS):
            cartoons = super().run(frames, controls)
        return cartoons


@pytest.fixture
def backend() -> Iterator[Backend]:
    with open_backend(find_engine(str(shipped_engines() / f"{DEFAULT_STYLE}.json"))) as opened:
        yield opened


def best_ratios(folder: Path, backend: Backend, turns: int) -> tuple[float, float]:
    """Return the best ratios of rate and CPU time in several turns.

    The best, so that a short load by other programs does not matter.
    """
    video, target = folder / "video.mp4", folder / "target.mp4"
    run_pipeline(video, target, backend)  # compiles the engine
    rate_ratios, cpu_ratios = [], []
    for _ in range(turns):  # by turns: a machine that slows down slows both
        null = run_null_pipeline(video, folder / "null.mp4")
        whole = time_work(lambda: run_pipeline(video, target, backend).frames)
        rate_ratios.append(whole.rate / null.rate)
        cpu_ratios.append(null.cpu_seconds_per_frame / whole.cpu_seconds_per_frame)
    return max(rate_ratios), max(cpu_ratios)


def test_a_shipped_style_is_not_much_slower_than_the_null_pipeline(
    backend: Backend, tmp_path: Path
) -> None:
    write_test_video(tmp_path / "video.mp4", None, SIZE, 2.0)
    rate_ratio, cpu_ratio = best_ratios(tmp_path, backend, turns=3)
    assert rate_ratio > LOWEST_RATE_RATIO
    assert cpu_ratio > LOWEST_CPU_RATIO


def test_the_guard_notices_a_pipeline_that_waits(backend: Backend, tmp_path: Path) -> None:
    write_test_video(tmp_path / "video.mp4", None, SIZE, 0.5)
    null = run_null_pipeline(tmp_path / "video.mp4", tmp_path / "null.mp4")
    slow = SlowBackend(backend, DELAY_FACTOR * null.seconds / null.frames)
    assert best_ratios(tmp_path, slow, turns=1)[0] < LOWEST_RATE_RATIO


def test_the_guard_notices_a_pipeline_that_wastes_cpu_time(
    backend: Backend, tmp_path: Path
) -> None:
    write_test_video(tmp_path / "video.mp4", None, SIZE, 0.5)
    assert best_ratios(tmp_path, RepeatingBackend(backend), turns=1)[1] < LOWEST_CPU_RATIO
