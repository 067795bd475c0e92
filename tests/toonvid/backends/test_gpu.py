"""The TensorRT backend on a real NVIDIA GPU.

Skipped on machines without one; with TOONVID_REQUIRE_GPU=1 a missing GPU is a failure.
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
MOST_LEVELS, MEAN_LEVELS = 6, 0.5
"""Largest difference of a level in f16; 5 was measured with other libraries on an H200
(docs/research/gpu.md)."""
LEAST_EFFICIENCY = 0.6  # of the slowest stage's rate; generous, because the stages share cores
SLOWEST_STREAM = 1.1  # of the time that one frame after the other takes


@pytest.fixture(autouse=True)
def gpu() -> None:
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


def make_frames(count: int, width: int, height: int) -> Pixels:
    return np.stack(moving_frames(count, (width, height)))


def assert_alike(cartoons: Pixels, expected: Pixels) -> None:
    difference = np.abs(cartoons.astype(int) - expected)
    assert difference.max() <= MOST_LEVELS
    assert difference.mean() <= MEAN_LEVELS


@pytest.mark.parametrize("precision", ["f16", "f32"])
def test_engines_agree_with_openvino(precision, engine):
    frames = make_frames(3, 320, 180)
    with open_backend(engine, "openvino", precision="f32") as backend:
        expected = backend.run(frames)
    assert np.ptp(expected) > 10  # the cartoon is not one color
    with open_backend(engine, "tensorrt", precision=precision) as backend:
        assert_alike(backend.run(frames), expected)


def test_memory_does_not_grow_over_a_thousand_frames(ink):
    frames = make_frames(1, 640, 360)
    with open_backend(ink, "tensorrt") as backend:
        assert isinstance(backend, TensorRTBackend)
        for _ in backend.stream([frames] * 50):
            pass
        before = backend._cuda.free_bytes()
        for _ in backend.stream([frames] * 1000):
            pass
        assert before - backend._cuda.free_bytes() <= 2**20


def test_two_backends_in_one_process_take_changing_sizes(ink):
    with (
        open_backend(ink, "tensorrt") as first,
        open_backend(ink, "tensorrt", precision="f32") as second,
        open_backend(ink, "openvino", precision="f32") as reference,
    ):
        for width, height in ((64, 48), (1280, 720), (720, 1280), (64, 48)):
            frames = make_frames(1, width, height)
            expected = reference.run(frames)
            for backend in (first, second):
                assert_alike(backend.run(frames), expected)


def test_plan_and_kernels_are_cached(ink):
    frames = make_frames(1, 64, 48)
    with ExitStack() as stack:
        first = stack.enter_context(open_backend(ink, "tensorrt"))
        expected = first.run(frames)
    with open_backend(ink, "tensorrt") as second:
        assert isinstance(second, TensorRTBackend)
        assert second._cached_kernels
        assert np.array_equal(second.run(frames), expected)


def test_a_stream_is_no_slower_than_one_frame_at_a_time(ink):
    frames = [make_frames(1, 1280, 720)] * 100

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


def test_the_pipeline_is_nearly_as_fast_as_its_slowest_stage(ink):
    with open_backend(ink, "tensorrt") as backend:
        results = measure_size(backend, (1280, 720), BenchOptions(real_time=False))
    slowest = min(stage.rate for stage in (results.decode, results.stylize, results.encode))
    assert results.pipeline.rate >= LEAST_EFFICIENCY * slowest
