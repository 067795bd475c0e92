"""A guard against slowness, as ratios within one run: never a time, never a rate."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.slow_backend import SlowBackend

from toonvid.backends import Backend, open_backend
from toonvid.bench.measure import run_pipeline
from toonvid.bench.null_pipeline import run_null_pipeline
from toonvid.bench.test_video import write_test_video
from toonvid.bench.work_time import time_work
from toonvid.engine import DEFAULT_STYLE, find_engine, shipped_engines
from toonvid.video import Pixels

SIZE = (320, 180)
# Of the null pipeline's rate, and its processor time over the pipeline's. A third and less of what
# two busy cores showed (0.72 to 0.79, 0.50 to 0.57): processors without int8 arithmetic pass too.
LOWEST_RATE, LOWEST_THRIFT = 0.15, 0.15
SLOWER, MORE_WORK = 40, 20  # times: far enough from the bounds for any machine


class Wasteful(SlowBackend):
    """Runs each frame over and over."""

    def run(self, frames: Pixels) -> Pixels:
        for _ in range(MORE_WORK):
            cartoons = super().run(frames)
        return cartoons


@pytest.fixture
def backend() -> Iterator[Backend]:
    with open_backend(find_engine(str(shipped_engines() / f"{DEFAULT_STYLE}.json"))) as opened:
        yield opened


def best_ratios(folder: Path, backend: Backend, turns: int) -> tuple[float, float]:
    """Rate and thrift of the best of some turns, so that a moment's load is no matter."""
    film, target = folder / "film.mp4", folder / "target.mp4"
    run_pipeline(film, target, backend)  # compiles
    rates, thrifts = [], []
    for _ in range(turns):  # a machine that slows down slows both
        null = run_null_pipeline(film, folder / "null.mp4")
        whole = time_work(lambda: run_pipeline(film, target, backend).frames)
        rates.append(whole.rate / null.rate)
        thrifts.append(null.cpu_seconds_per_frame / whole.cpu_seconds_per_frame)
    return max(rates), max(thrifts)


def test_a_shipped_style_keeps_up_with_the_null_pipeline(backend: Backend, tmp_path: Path) -> None:
    write_test_video(tmp_path / "film.mp4", None, SIZE, 2.0)
    rate, thrift = best_ratios(tmp_path, backend, turns=3)
    assert rate > LOWEST_RATE
    assert thrift > LOWEST_THRIFT


def test_the_guard_sees_a_pipeline_that_waits(backend: Backend, tmp_path: Path) -> None:
    write_test_video(tmp_path / "film.mp4", None, SIZE, 0.5)
    null = run_null_pipeline(tmp_path / "film.mp4", tmp_path / "null.mp4")
    slow = SlowBackend(backend, SLOWER * null.seconds / null.frames)
    assert best_ratios(tmp_path, slow, turns=1)[0] < LOWEST_RATE


def test_the_guard_sees_a_pipeline_that_wastes(backend: Backend, tmp_path: Path) -> None:
    write_test_video(tmp_path / "film.mp4", None, SIZE, 0.5)
    assert best_ratios(tmp_path, Wasteful(backend), turns=1)[1] < LOWEST_THRIFT
