"""The TensorRT backend on a simulated card: the order of copies and work, memory, and complaints.

Nothing here says that anything runs on a real card: that is for `test_on_a_card.py`.
"""

from __future__ import annotations

import importlib.util
import inspect
from dataclasses import replace

import numpy as np
import pytest
from support.clips import moving_frames
from support.simulated_gpu import (
    SCRATCH_BYTES_PER_PIXEL,
    SimulatedContext,
    SimulatedCuda,
    SimulatedKernels,
    simulated_runtime,
)
from support.tiny_engines import negative_engine

from toonvid.backends import open_backend
from toonvid.backends.tensorrt import backend as tensorrt
from toonvid.backends.tensorrt import cuda
from toonvid.backends.tensorrt.inference import IN_FLIGHT
from toonvid.backends.tensorrt.library import load_tensorrt
from toonvid.backends.tensorrt.plan_cache import user_cache
from toonvid.choices import RequestedPrecision
from toonvid.engine import find_engine, shipped_engines
from toonvid.errors import BackendError, DeviceMissingError, EngineError
from toonvid.ffmpeg.nvidia import Gpu, NvidiaInfo, find_nvidia
from toonvid.stylizing.stylizer import Stylizer
from toonvid.video import Pixels

GPU = Gpu(0, "NVIDIA GeForce RTX 3050 Laptop GPU", (8, 6), 4 * 2**30)

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None
    or importlib.util.find_spec("tensorrt") is not None,
    reason="needs TensorRT-RTX, and no other TensorRT",
)


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def simulate(monkeypatch):
    """Puts a simulated card into this machine."""

    def start(
        gpu: Gpu = GPU,
        loads=lambda plan: True,
        names: tuple[str, str] = ("frame", "cartoon"),
        **of_cuda: int,
    ) -> SimulatedCuda:
        simulated = SimulatedCuda(**of_cuda)
        library = load_tensorrt()
        trt = simulated_runtime(library.trt, simulated, loads, names)
        monkeypatch.setattr(cuda, "import_module", lambda name: simulated)
        monkeypatch.setattr(tensorrt, "load_tensorrt", lambda: replace(library, trt=trt))
        monkeypatch.setattr(tensorrt, "find_nvidia", lambda: NvidiaInfo((gpu,), 13000))
        return simulated

    return start


def open_negative(folder, multiple_of: int = 1, precision: RequestedPrecision = "f32"):
    return open_backend(negative_engine(folder, multiple_of), "tensorrt", precision=precision)


def pictures(count: int, width: int, height: int, seed: int = 0) -> Pixels:
    return np.stack(moving_frames(seed + count, (width, height))[seed:])


def test_the_simulated_card_has_the_calls_of_the_real_libraries():
    from cuda.bindings import runtime

    calls = [name for name in vars(SimulatedCuda) if name.startswith("cuda")]
    for name in calls:
        assert hasattr(runtime, name)
        if inspect.isfunction(ours := getattr(SimulatedCuda, name)):
            theirs = inspect.signature(getattr(runtime, name)).parameters
            assert len(inspect.signature(ours).parameters) - 1 == len(theirs), name
    trt = load_tensorrt().trt
    for ours, real in (
        (SimulatedContext, trt.IExecutionContext),
        (SimulatedKernels, trt.IRuntimeCache),
    ):
        assert {name for name in vars(ours) if name[0] != "_"} <= set(dir(real))
    assert hasattr(trt.Runtime, "deserialize_cuda_engine")
    of_a_plan = {"create_execution_context", "create_runtime_config", "num_io_tensors"}
    assert of_a_plan | {"get_tensor_name", "get_tensor_dtype"} <= set(dir(trt.ICudaEngine))
    of_a_config = {"cuda_graph_strategy", "create_runtime_cache", "set_runtime_cache"}
    of_a_config |= {"dynamic_shapes_kernel_specialization_strategy"}
    allocation = "set_execution_context_allocation_strategy"
    assert of_a_config | {allocation} <= set(dir(trt.IRuntimeConfig))


@pytest.mark.parametrize("seed", range(8))
def test_whatever_the_order_of_work_every_frame_meets_its_cartoon(seed, simulate, tmp_path):
    simulated = simulate(seed=seed)
    sizes = ((1, 8, 6), (1, 8, 6), (5, 8, 6), (1, 33, 17), (1, 33, 17), (2, 8, 6), (1, 8, 6))
    batches = [pictures(*size, seed=at) for at, size in enumerate(sizes)]
    with open_negative(tmp_path) as backend:
        for frames, cartoons in zip(batches, backend.stream(iter(batches)), strict=True):
            assert np.array_equal(cartoons, 255 - frames)
            cartoons[:] = 0  # the caller's own
        assert np.array_equal(backend.run(batches[2]), 255 - batches[2])
    assert not simulated.blocks
    assert not simulated.pinned
    assert not simulated.events
    assert not simulated.streams


def test_copies_and_work_are_under_way_at_once(simulate, tmp_path):
    simulated = simulate()
    with open_negative(tmp_path) as backend:
        list(backend.stream([pictures(1, 8, 6)] * 6))
    assert simulated.most_at_once == 3


def test_several_frames_are_in_flight_before_the_first_is_given_back(simulate, tmp_path):
    simulate()
    taken = []

    def source():
        for at in range(IN_FLIGHT + 3):
            taken.append(at)
            yield pictures(1, 8, 6)

    with open_negative(tmp_path) as backend:
        next(iter(backend.stream(source())))
    assert taken == [*range(IN_FLIGHT + 1)]


def test_memory_is_for_the_size_in_use_and_does_not_grow(simulate, tmp_path):
    simulated = simulate()
    pixels = 64 * 48
    with open_negative(tmp_path) as backend:
        backend.run(pictures(1, 640, 480))
        for _ in range(50):
            backend.run(pictures(1, 64, 48))
        pictures_bytes = IN_FLIGHT * 2 * pixels * 3
        assert simulated.used_bytes == pixels * SCRATCH_BYTES_PER_PIXEL + pictures_bytes
        assert len(simulated.pinned) == IN_FLIGHT * 2


def test_too_little_memory_is_told_with_the_size_that_fits(simulate, tmp_path):
    one_pixel = SCRATCH_BYTES_PER_PIXEL + IN_FLIGHT * 2 * 3
    simulated = simulate(memory_bytes=1280 * 720 * one_pixel + 1000)
    with open_negative(tmp_path) as backend:
        with pytest.raises(BackendError, match=r"1920x1080: --size 720p fits") as failed:
            backend.run(pictures(1, 1920, 1080))
        assert GPU.name in str(failed.value)
        assert not simulated.blocks  # nothing of it is kept
        frames = pictures(1, 1280, 720)
        assert np.array_equal(backend.run(frames), 255 - frames)


def test_when_nothing_fits_another_backend_is_named(simulate, tmp_path):
    simulate(memory_bytes=1000)
    with (
        open_negative(tmp_path) as backend,
        pytest.raises(BackendError, match="64x48: close what else uses the card"),
    ):
        backend.run(pictures(1, 64, 48))


@pytest.mark.parametrize("size", [(10, 8), (4100, 8)])
def test_frames_that_the_plan_does_not_take_are_told(size, simulate, tmp_path):
    simulate()
    with (
        open_negative(tmp_path, multiple_of=4) as backend,
        pytest.raises(BackendError, match="multiples of 4 up to 4096"),
    ):
        backend.run(np.zeros((1, size[1], size[0], 3), np.uint8))


def test_memory_that_tensorrt_does_not_take_is_told_and_given_back(simulate, tmp_path, monkeypatch):
    def refuse(self, memory, size):
        load_tensorrt().complaints.append("[runtime] too small")

    simulated = simulate()
    monkeypatch.setattr(SimulatedContext, "set_device_memory", refuse)
    with open_negative(tmp_path) as backend:
        with pytest.raises(BackendError, match=r"TensorRT cannot take its memory: .* too small"):
            backend.run(pictures(1, 8, 6))
        assert not simulated.blocks


def test_a_kept_plan_that_does_not_load_is_built_again_once(simulate, tmp_path):
    seen: list[bytes] = []

    def loads(plan: bytes) -> bool:
        seen.append(plan)
        return len(seen) != 2

    simulate(loads=loads)
    with open_negative(tmp_path):
        pass
    with open_negative(tmp_path) as backend:
        assert np.array_equal(backend.run(pictures(1, 8, 6)), 255 - pictures(1, 8, 6))
    assert len(seen) == 3


def test_a_plan_that_never_loads_is_one_line(simulate, tmp_path):
    simulated = simulate(loads=lambda plan: False)
    with pytest.raises(BackendError, match="TensorRT cannot load its plan") as failed:
        open_negative(tmp_path)
    assert "\n" not in str(failed.value)
    assert not simulated.streams


def test_kernels_are_kept_for_this_card_and_taken_up_again(simulate, tmp_path):
    simulate()
    with open_negative(tmp_path):
        pass
    [kept] = (user_cache() / "plans").glob("*.kernels")
    assert kept.read_bytes().endswith(b"compiled")
    written = kept.stat().st_mtime_ns
    with open_negative(tmp_path):
        pass
    assert kept.stat().st_mtime_ns == written  # nothing new was compiled
    simulate(gpu=replace(GPU, name="NVIDIA GeForce RTX 4090", capability=(8, 9)))
    with open_negative(tmp_path):
        pass
    assert len(list((user_cache() / "plans").glob("*.kernels"))) == 2
    assert len(list((user_cache() / "plans").glob("*.plan"))) == 1  # it runs on both


def test_stylizing_goes_through_the_stream_in_order(simulate, tmp_path, scene_film):
    from toonvid.reading.decoder import VideoDecoder

    simulate()
    with open_negative(tmp_path, multiple_of=16) as backend, VideoDecoder(scene_film) as decoder:
        frames = list(decoder.frames())
        for frame, cartoon in zip(frames, Stylizer(backend).stylize(frames), strict=True):
            assert cartoon.pts == frame.pts
            assert np.array_equal(cartoon.pixels, 255 - frame.pixels)


def test_a_plan_of_another_engine_is_not_run(simulate, tmp_path):
    simulated = simulate(names=("photo", "cartoon"))
    with pytest.raises(BackendError, match="the plan holds photo, cartoon, not frame, cartoon"):
        open_negative(tmp_path)
    assert not simulated.blocks


def test_too_little_memory_for_the_plan_itself_is_told_and_builds_nothing_again(simulate, tmp_path):
    complaints: list[str] = []

    def loads(plan: bytes) -> bool:
        complaints.append("CUDA error: out of memory")
        load_tensorrt().complaints.append(complaints[-1])
        return False

    simulate(loads=loads)
    with pytest.raises(BackendError, match="too little: close what else uses the card"):
        open_negative(tmp_path)
    assert len(complaints) == 1


@pytest.mark.parametrize("device", ["cuda:1", "TPU9", "cuda:x"])
def test_a_card_that_is_not_there_is_told_with_those_that_are(device, simulate, tmp_path):
    simulate()
    with pytest.raises(DeviceMissingError, match=f"no device '{device}'; it finds cuda:0"):
        open_backend(negative_engine(tmp_path), "tensorrt", device)


def test_precisions_that_it_does_not_run_are_told(simulate, tmp_path):
    simulate()
    with pytest.raises(BackendError, match="does not run bf16 engines; ask for f16"):
        open_negative(tmp_path, precision="bf16")
    with pytest.raises(EngineError, match="has no int8 engine"):
        open_negative(tmp_path, precision="int8")
    ink = find_engine(str(shipped_engines() / "ink.json"))
    with pytest.raises(BackendError, match="does not run int8 engines; ask for f16"):
        open_backend(ink, "tensorrt", precision="int8")


def test_the_real_library_without_a_driver_is_told(tmp_path):
    if find_nvidia().cuda_version:
        pytest.skip("there is a driver")
    with pytest.raises(DeviceMissingError, match=r"the NVIDIA driver is too old: .* is needed"):
        cuda.Cuda(0, NvidiaInfo((GPU,), 12040))


def test_missing_cuda_bindings_are_told_with_the_remedy(monkeypatch):
    def missing(name: str):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(cuda, "import_module", missing)
    with pytest.raises(DeviceMissingError, match=r"cuda-bindings is missing: pip install"):
        cuda.Cuda(0, NvidiaInfo((GPU,), 13000))
