"""The TensorRT backend on a real NVIDIA card.

Skipped without one; failed without one where TOONVID_REQUIRE_GPU=1 says that there has to be one.
"""

from __future__ import annotations

from contextlib import ExitStack
from statistics import median

import numpy as np
import pytest
from support.clips import moving_frames
from support.gpu import require_tensorrt_gpu

from toonvid.backends import Backend, open_backend
from toonvid.backends.tensorrt.backend import TensorRTBackend
from toonvid.bench.measure import BenchOptions, measure_size
from toonvid.bench.work_time import time_work
from toonvid.engine import Engine, read_engine, shipped_engines
from toonvid.video import Pixels

pytestmark = pytest.mark.gpu

SHIPPED = sorted(card.stem for card in shipped_engines().glob("*.json"))
MOST_LEVELS, MEAN_LEVELS = 3, 0.5
LEAST_EFFICIENCY = 0.6  # of the slowest stage's own rate; generous, as cores are shared
SLOWEST_STREAM = 1.1  # times what one frame after the other takes: overlap must not cost anything


@pytest.fixture(autouse=True)
def card() -> None:
    require_tensorrt_gpu()


@pytest.fixture
def ink() -> Engine:
    return read_engine(shipped_engines() / "ink.json")


@pytest.fixture(params=[*SHIPPED, "paper"])
def engine(request, tmp_path) -> Engine:
    if request.param == "paper":
        from support.paper_engine import paper_engine

        return paper_engine(tmp_path)
    return read_engine(shipped_engines() / f"{request.param}.json")


def pictures(count: int, width: int, height: int) -> Pixels:
    return np.stack(moving_frames(count, (width, height)))


def assert_alike(cartoons: Pixels, expected: Pixels) -> None:
    apart = np.abs(cartoons.astype(int) - expected)
    assert apart.max() <= MOST_LEVELS
    assert apart.mean() <= MEAN_LEVELS


@pytest.mark.parametrize("precision", ["f16", "f32"])
def test_engines_agree_with_openvino(precision, engine):
    frames = pictures(3, 320, 180)
    with open_backend(engine, "openvino", precision="f32") as backend:
        expected = backend.run(frames)
    assert np.ptp(expected) > 10  # it does draw something
    with open_backend(engine, "tensorrt", precision=precision) as backend:
        assert_alike(backend.run(frames), expected)


def test_a_thousand_frames_take_no_more_memory(ink):
    frames = pictures(1, 640, 360)
    with open_backend(ink, "tensorrt") as backend:
        assert isinstance(backend, TensorRTBackend)
        for _ in backend.stream([frames] * 50):
            pass
        before = backend._cuda.free_bytes()
        for _ in backend.stream([frames] * 1000):
            pass
        assert before - backend._cuda.free_bytes() <= 2**20


def test_sizes_change_and_two_backends_live_in_one_process(ink):
    with (
        open_backend(ink, "tensorrt") as first,
        open_backend(ink, "tensorrt", precision="f32") as second,
        open_backend(ink, "openvino", precision="f32") as reference,
    ):
        for width, height in ((64, 48), (1280, 720), (720, 1280), (64, 48)):
            frames = pictures(1, width, height)
            expected = reference.run(frames)
            for backend in (first, second):
                assert_alike(backend.run(frames), expected)


def test_a_plan_is_there_the_second_time_and_so_is_what_was_compiled_for_the_card(ink):
    frames = pictures(1, 64, 48)
    with ExitStack() as stack:
        first = stack.enter_context(open_backend(ink, "tensorrt"))
        expected = first.run(frames)
    with open_backend(ink, "tensorrt") as second:
        assert isinstance(second, TensorRTBackend)
        assert second._compiled
        assert np.array_equal(second.run(frames), expected)


def test_frames_in_flight_are_no_slower_than_one_after_the_other(ink):
    frames = [pictures(1, 1280, 720)] * 100

    def one_by_one(backend: Backend) -> int:
        return len([backend.run(frame) for frame in frames])

    def in_flight(backend: Backend) -> int:
        return sum(1 for _ in backend.stream(frames))

    with open_backend(ink, "tensorrt") as backend:
        in_flight(backend)
        ratios = [
            time_work(lambda: in_flight(backend)).seconds
            / time_work(lambda: one_by_one(backend)).seconds
            for _ in range(5)
        ]
    assert median(ratios) <= SLOWEST_STREAM, ratios


def test_the_pipeline_comes_near_its_slowest_stage(ink):
    with open_backend(ink, "tensorrt") as backend:
        figures = measure_size(backend, (1280, 720), BenchOptions(paced=False))
    slowest = min(stage.rate for stage in (figures.decode, figures.stylize, figures.encode))
    assert figures.pipeline.rate >= LEAST_EFFICIENCY * slowest
