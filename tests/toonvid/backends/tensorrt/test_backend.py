"""The TensorRT backend on a simulated GPU: order of copies and computation, memory, error messages.

Nothing here shows that anything runs on a real GPU; `tests/toonvid/backends/test_gpu.py` does.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from support.clips import moving_frames
from support.simulated_gpu import (
    INVALID,
    SCRATCH_BYTES_PER_PIXEL,
    SimulatedContext,
    SimulatedCuda,
    SimulatedKernels,
    simulated_runtime,
)
from support.tiny_engines import (
    controlled_cartoon,
    controlled_engine,
    identity_engine,
    negative_engine,
)

from toonvid.backends import open_backend
from toonvid.backends.tensorrt import backend as backend_module
from toonvid.backends.tensorrt import cuda
from toonvid.backends.tensorrt import library as library_module
from toonvid.backends.tensorrt.inference import IN_FLIGHT
from toonvid.backends.tensorrt.library import load_tensorrt
from toonvid.backends.tensorrt.plan_cache import plan_folder
from toonvid.choices import RequestedPrecision
from toonvid.engine import find_engine, shipped_engines
from toonvid.errors import BackendError, DeviceMissingError, EngineError
from toonvid.ffmpeg.nvidia import Gpu, NvidiaInfo, find_nvidia
from toonvid.stylizing.options import StylizeOptions
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
    """Returns a function that puts a simulated GPU into this machine."""

    def start(
        gpu: Gpu = GPU,
        loads=lambda plan: True,
        names: tuple[str, ...] = ("frame", "cartoon"),
        **cuda_options: int,
    ) -> SimulatedCuda:
        simulated = SimulatedCuda(**cuda_options)
        library = load_tensorrt()
        trt = simulated_runtime(library.trt, simulated, loads, names)
        monkeypatch.setattr(cuda, "import_module", lambda name: simulated)
        monkeypatch.setattr(backend_module, "load_tensorrt", lambda: replace(library, trt=trt))
        monkeypatch.setattr(backend_module, "find_nvidia", lambda: NvidiaInfo((gpu,), 13000))
        return simulated

    return start


def open_negative(folder, multiple_of: int = 1, precision: RequestedPrecision = "f32"):
    return open_backend(negative_engine(folder, multiple_of), "tensorrt", precision=precision)


def make_frames(count: int, width: int, height: int, seed: int = 0) -> Pixels:
    return np.stack(moving_frames(seed + count, (width, height))[seed:])


def test_the_simulated_gpu_has_the_calls_of_the_real_libraries():
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
    plan_names = {"create_execution_context", "create_runtime_config", "num_io_tensors"}
    assert plan_names | {"get_tensor_name", "get_tensor_dtype"} <= set(dir(trt.ICudaEngine))
    config_names = {"cuda_graph_strategy", "create_runtime_cache", "set_runtime_cache"}
    config_names |= {"dynamic_shapes_kernel_specialization_strategy"}
    allocation = "set_execution_context_allocation_strategy"
    assert config_names | {allocation} <= set(dir(trt.IRuntimeConfig))


@pytest.mark.parametrize("seed", range(8))
def test_every_frame_gets_its_cartoon_whatever_the_order_of_execution(seed, simulate, tmp_path):
    simulated = simulate(seed=seed)
    sizes = ((1, 8, 6), (1, 8, 6), (5, 8, 6), (1, 33, 17), (1, 33, 17), (2, 8, 6), (1, 8, 6))
    batches = [make_frames(*size, seed=at) for at, size in enumerate(sizes)]
    with open_negative(tmp_path) as backend:
        for frames, cartoons in zip(batches, backend.stream(iter(batches)), strict=True):
            assert np.array_equal(cartoons, 255 - frames)
            cartoons[:] = 0  # the caller's own
        assert np.array_equal(backend.run(batches[2]), 255 - batches[2])
    assert not simulated.blocks
    assert not simulated.pinned
    assert not simulated.events
    assert not simulated.streams


def test_a_second_stream_is_refused_until_the_first_has_ended(simulate, tmp_path):
    simulate()
    batches = [make_frames(1, 8, 6, seed=at) for at in range(6)]
    with open_negative(tmp_path) as backend:
        first = backend.stream(batches)
        next(first)
        with pytest.raises(BackendError, match="another stream of style negative"):
            backend.run(batches[0])
        assert np.array_equal(list(first)[-1], 255 - batches[-1])
        assert np.array_equal(backend.run(batches[0]), 255 - batches[0])


def test_upload_computation_and_download_overlap(simulate, tmp_path):
    simulated = simulate()
    with open_negative(tmp_path) as backend:
        list(backend.stream([make_frames(1, 8, 6)] * 6))
    assert simulated.max_streams_at_once == 3


def test_several_frames_are_in_flight_before_the_first_is_returned(simulate, tmp_path):
    simulate()
    taken = []

    def source():
        for at in range(IN_FLIGHT + 3):
            taken.append(at)
            yield make_frames(1, 8, 6)

    with open_negative(tmp_path) as backend:
        next(iter(backend.stream(source())))
    assert taken == [*range(IN_FLIGHT + 1)]


def test_memory_is_allocated_for_the_size_in_use_and_does_not_grow(simulate, tmp_path):
    simulated = simulate()
    pixels = 64 * 48
    with open_negative(tmp_path) as backend:
        backend.run(make_frames(1, 640, 480))
        for _ in range(50):
            backend.run(make_frames(1, 64, 48))
        frames_bytes = IN_FLIGHT * 2 * pixels * 3
        assert simulated.used_bytes == pixels * SCRATCH_BYTES_PER_PIXEL + frames_bytes
        assert len(simulated.pinned) == IN_FLIGHT * 2


def test_on_too_little_memory_the_size_that_fits_is_recommended(simulate, tmp_path):
    one_pixel = SCRATCH_BYTES_PER_PIXEL + IN_FLIGHT * 2 * 3
    simulated = simulate(memory_bytes=1280 * 720 * one_pixel + 1000)
    with open_negative(tmp_path) as backend:
        with pytest.raises(BackendError, match=r"1920x1080: --size 720p fits") as failed:
            backend.run(make_frames(1, 1920, 1080))
        assert GPU.name in str(failed.value)
        assert not simulated.blocks  # everything has been freed
        frames = make_frames(1, 1280, 720)
        assert np.array_equal(backend.run(frames), 255 - frames)


def test_when_no_size_fits_another_backend_is_recommended(simulate, tmp_path):
    simulate(memory_bytes=1000)
    with (
        open_negative(tmp_path) as backend,
        pytest.raises(BackendError, match="64x48: close what else uses the GPU"),
    ):
        backend.run(make_frames(1, 64, 48))


@pytest.mark.parametrize("size", [(10, 8), (4100, 8)])
def test_frames_of_a_size_outside_the_plan_are_refused(size, simulate, tmp_path):
    simulate()
    with (
        open_negative(tmp_path, multiple_of=4) as backend,
        pytest.raises(BackendError, match="multiples of 4 up to 4096"),
    ):
        backend.run(np.zeros((1, size[1], size[0], 3), np.uint8))


def test_memory_that_tensorrt_refuses_is_freed(simulate, tmp_path, monkeypatch):
    def refuse(self, memory, size):
        load_tensorrt().errors.append("[runtime] too small")

    simulated = simulate()
    monkeypatch.setattr(SimulatedContext, "set_device_memory", refuse)
    with open_negative(tmp_path) as backend:
        with pytest.raises(BackendError, match=r"TensorRT cannot use its memory: .* too small"):
            backend.run(make_frames(1, 8, 6))
        assert not simulated.blocks


def test_a_cached_plan_that_does_not_load_is_built_again_once(simulate, tmp_path):
    seen: list[bytes] = []

    def loads(plan: bytes) -> bool:
        seen.append(plan)
        return len(seen) != 2

    simulate(loads=loads)
    with open_negative(tmp_path):
        pass
    with open_negative(tmp_path) as backend:
        assert np.array_equal(backend.run(make_frames(1, 8, 6)), 255 - make_frames(1, 8, 6))
    assert len(seen) == 3


def test_a_plan_that_never_loads_is_an_error_of_one_line(simulate, tmp_path):
    simulated = simulate(loads=lambda plan: False)
    with pytest.raises(BackendError, match="TensorRT cannot load its plan") as failed:
        open_negative(tmp_path)
    assert "\n" not in str(failed.value)
    assert not simulated.streams


def test_kernels_are_cached_per_gpu_and_used_again(simulate, tmp_path):
    simulate()
    with open_negative(tmp_path):
        pass
    [cached] = plan_folder().glob("*.kernels")
    assert cached.read_bytes().endswith(b"compiled")
    written = cached.stat().st_mtime_ns
    with open_negative(tmp_path):
        pass
    assert cached.stat().st_mtime_ns == written  # nothing new was compiled
    simulate(gpu=replace(GPU, name="NVIDIA GeForce RTX 4090", capability=(8, 9)))
    with open_negative(tmp_path):
        pass
    assert len(list(plan_folder().glob("*.kernels"))) == 2
    assert len(list(plan_folder().glob("*.plan"))) == 1  # it runs on both GPUs


def test_the_stylizer_keeps_frames_in_order(simulate, tmp_path, scene_video):
    from toonvid.reading.decoder import VideoDecoder

    simulate()
    with open_negative(tmp_path, multiple_of=16) as backend, VideoDecoder(scene_video) as decoder:
        frames = list(decoder.frames())
        stylizer = Stylizer(backend, StylizeOptions(steady=0))
        for frame, cartoon in zip(frames, stylizer.stylize(frames), strict=True):
            assert cartoon.pts == frame.pts
            assert np.array_equal(cartoon.pixels, 255 - frame.pixels)


def test_a_plan_of_another_engine_is_refused(simulate, tmp_path):
    simulated = simulate(names=("photo", "cartoon"))
    with pytest.raises(BackendError, match="the plan holds photo, cartoon, not frame, cartoon"):
        open_negative(tmp_path)
    assert not simulated.blocks


def test_too_little_memory_for_the_plan_does_not_build_it_again(simulate, tmp_path):
    errors: list[str] = []

    def loads(plan: bytes) -> bool:
        errors.append("CUDA error: out of memory")
        load_tensorrt().errors.append(errors[-1])
        return False

    simulate(loads=loads)
    with pytest.raises(BackendError, match="too little: close what else uses the GPU"):
        open_negative(tmp_path)
    assert len(errors) == 1


@pytest.mark.parametrize("seed", range(4))
def test_controls_are_uploaded_before_the_frames_that_they_are_for(seed, simulate, tmp_path):
    simulated = simulate(names=("frame", "ink", "tones", "cartoon"), seed=seed)
    batches = [make_frames(1, 8, 6, seed=at) for at in range(6)]
    with open_backend(controlled_engine(tmp_path), "tensorrt", precision="f32") as backend:
        for values in ({}, {"ink": 0.5}, {"ink": 0.5, "tones": 9.0}, {}):
            found = list(backend.stream(iter(batches), values))
            for frames, cartoons in zip(batches, found, strict=True):
                assert np.array_equal(cartoons, controlled_cartoon(frames, **values))
        larger = make_frames(1, 64, 48)  # whose memory is allocated anew
        found = backend.run(larger, {"ink": 2.0})
        assert np.array_equal(found, controlled_cartoon(larger, ink=2))
    assert not simulated.blocks
    assert not simulated.pinned


def test_a_plan_without_the_controls_of_the_card_is_refused(simulate, tmp_path):
    simulate(names=("frame", "cartoon"))
    with pytest.raises(
        BackendError, match="the plan holds frame, cartoon, not frame, cartoon, ink, tones"
    ):
        open_backend(controlled_engine(tmp_path), "tensorrt", precision="f32")


@pytest.mark.parametrize("device", ["cuda:1", "TPU9", "cuda:x"])
def test_an_unknown_gpu_is_refused_and_the_known_ones_are_named(device, simulate, tmp_path):
    simulate()
    with pytest.raises(DeviceMissingError, match=f"no device '{device}'; it finds cuda:0"):
        open_backend(negative_engine(tmp_path), "tensorrt", device)


def test_unsupported_precisions_are_refused(simulate, tmp_path):
    simulate()
    with pytest.raises(BackendError, match="does not run bf16 engines; ask for f16"):
        open_negative(tmp_path, precision="bf16")
    with pytest.raises(EngineError, match="has no int8 engine"):
        open_negative(tmp_path, precision="int8")
    ink = find_engine(str(shipped_engines() / "ink.json"))
    with pytest.raises(BackendError, match="does not run int8 engines; ask for f16"):
        open_backend(ink, "tensorrt", precision="int8")


def test_the_real_cuda_without_a_driver_is_an_error(tmp_path):
    if find_nvidia().cuda_version:
        pytest.skip("there is a driver")
    with pytest.raises(DeviceMissingError, match=r"the NVIDIA driver is too old: .* is needed"):
        cuda.Cuda(0, NvidiaInfo((GPU,), 12040))


def test_missing_cuda_bindings_are_an_error_that_names_the_command(monkeypatch):
    def missing(name: str):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(cuda, "import_module", missing)
    with pytest.raises(DeviceMissingError, match=r"cuda-bindings is missing: pip install"):
        cuda.Cuda(0, NvidiaInfo((GPU,), 13000))


def test_a_plan_that_draws_black_frames_is_refused_at_its_first_use(
    simulate, tmp_path, monkeypatch
):
    simulated = simulate()

    def draw_black(self, number):
        [stream] = [stream for stream in simulated.streams if int(stream) == number]
        target = simulated.view(self.addresses["cartoon"], self.shape)
        simulated.enqueue(stream, lambda: target.fill(0))
        return True

    monkeypatch.setattr(SimulatedContext, "execute_async_v3", draw_black)
    for _ in range(2):  # not only the first time
        with pytest.raises(BackendError, match=r"wrongly in f32 on .*: its cartoon is black"):
            open_negative(tmp_path)
    assert not simulated.blocks
    assert not simulated.streams


def test_a_plan_far_from_float32_on_the_cpu_is_refused(simulate, tmp_path):
    simulate()
    engine = identity_engine(tmp_path)  # of which the simulated plan draws the negative
    with pytest.raises(BackendError, match=r"far from f32 \(by .* levels on average\)"):
        open_backend(engine, "tensorrt", precision="f32")


def test_a_plan_is_checked_once_on_a_gpu(simulate, tmp_path, monkeypatch):
    simulate()
    with open_negative(tmp_path):
        pass
    assert [path.suffix for path in plan_folder().glob("*.checked")] == [".checked"]
    monkeypatch.setattr(backend_module, "OpenVINOBackend", None)  # which would be called
    with open_negative(tmp_path) as backend:
        frames = make_frames(1, 8, 6)
        assert np.array_equal(backend.run(frames), 255 - frames)


def test_the_first_error_of_cuda_is_told_and_not_one_of_those_that_follow(
    simulate, tmp_path, monkeypatch
):
    """A context that is lost answers every later call with the same error."""
    simulated = simulate()

    def lose(event):
        calls = ("SetDevice", "StreamSynchronize", "Free", "FreeHost", "EventDestroy")
        for name in calls:
            monkeypatch.setattr(simulated, f"cuda{name}", lambda *_: (INVALID,))
        return (INVALID,)

    with (
        pytest.raises(BackendError, match="CUDA failed in cudaEventSynchronize"),
        open_negative(tmp_path) as backend,
    ):
        monkeypatch.setattr(simulated, "cudaEventSynchronize", lose)
        backend.run(make_frames(1, 8, 6))


def test_a_tensorrt_that_does_not_start_is_an_error_of_one_line(simulate, tmp_path, monkeypatch):
    simulate()
    library = backend_module.load_tensorrt()

    def start(logger) -> None:
        library.errors.append("CUDA initialization failure with error: 35")
        raise TypeError("pybind11::init(): factory function returned nullptr")

    monkeypatch.setattr(library.trt, "Runtime", start)
    monkeypatch.setattr(backend_module, "load_tensorrt", lambda: library)
    with pytest.raises(BackendError, match="TensorRT does not start: CUDA initialization failure"):
        open_negative(tmp_path)


def test_a_tensorrt_that_is_too_old_is_passed_over(monkeypatch):
    old = SimpleNamespace(__version__="10.3.0", ICudaEngine=object)
    real = importlib.import_module("tensorrt_rtx")
    found = {"tensorrt": old, "tensorrt_rtx": real}
    monkeypatch.setattr(library_module, "find_spec", lambda name: name in found or None)
    monkeypatch.setattr(library_module, "import_module", found.__getitem__)
    assert load_tensorrt.__wrapped__().package == "tensorrt_rtx"
    del found["tensorrt_rtx"]
    with pytest.raises(DeviceMissingError, match=r"tensorrt 10\.3\.0 is too old: 10\.11 or newer"):
        load_tensorrt.__wrapped__()
