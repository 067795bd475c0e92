"""Which GPU, driver and libraries there are, and what bus, memory and CPU can do.

A page fault and the stage against flicker are measured before CUDA is loaded and without other
threads, to be compared with the pipelines of part 3.
"""

from __future__ import annotations

import mmap
import os
import platform
import sys
import time
from collections.abc import Callable
from importlib import metadata

import numpy as np

from gpu_check.report import Report, one_line
from gpu_check.rows import MACHINE
from gpu_check.steps import Settings
from gpu_check.usage import cpu_seconds, page_faults

_COPY_BYTES = 2**28
_FAULT_BYTES = 2**26
_STEADY_FRAMES, _STEADY_SHIFT = 24, 3  # frames, and pixels by which each moves
_PACKAGES = ("numpy", "torch", "onnx", "onnxruntime", "openvino", "opencv-python-headless")
_MORE_PACKAGES = ("tensorrt-rtx-cu13-libs", "tensorrt", "cuda-bindings", "nvidia-ml-py")


def run(settings: Settings, report: Report, variant: str) -> None:
    """Describe the machine; each row fails by itself."""
    for name, check in _CHECKS.items():
        try:
            report.add(name, check())
        except Exception as error:  # a library that is missing or broken is a result here
            report.add(name, f"failed: {type(error).__name__}: {one_line(error)}")


def _gpu() -> str:
    from toonvid.ffmpeg.nvidia import find_nvidia

    nvidia = find_nvidia()
    if not nvidia.gpus:
        return f"skipped: {nvidia.problem}"
    gpu = nvidia.gpus[0]
    return (
        f"{gpu.name}, {gpu.memory_bytes / 2**30:.1f} GiB, compute capability "
        f"{gpu.capability[0]}.{gpu.capability[1]}; driver {nvidia.driver} for CUDA {nvidia.cuda}"
    )


def _cpu() -> str:
    from toonvid.bench.work_time import core_count, cpu_name

    return f"{cpu_name()}, {core_count()} cores; {platform.platform()}"


def _packages() -> str:
    found = [f"Python {sys.version.split()[0]}"]
    for name in (*_PACKAGES, *_MORE_PACKAGES):
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            found.append(f"no {name}")
    return ", ".join(found)


def _ffmpeg() -> str:
    import av

    versions = av.library_versions
    return f"PyAV {av.__version__}, libavcodec {'.'.join(map(str, versions['libavcodec']))}"


def _tensorrt() -> str:
    from toonvid.backends.tensorrt.library import load_tensorrt
    from toonvid.errors import DeviceMissingError

    try:
        return load_tensorrt().name
    except DeviceMissingError as error:
        return f"skipped: {one_line(error)}"


def _onnxruntime() -> str:
    import onnxruntime

    return f"{onnxruntime.__version__}: {', '.join(onnxruntime.get_available_providers())}"


def _nvdec() -> str:
    from toonvid.ffmpeg.hardware import nvdec_problem
    from toonvid.ffmpeg.nvidia import find_nvidia

    problem = nvdec_problem() if find_nvidia().gpus else find_nvidia().problem
    return f"does not work: {problem}" if problem else "works"


def _nvenc() -> str:
    from toonvid.ffmpeg.hardware import NVENC, encoder_problem

    results = {name: encoder_problem(name) for name in NVENC}
    return "; ".join(f"{name}: {problem or 'works'}" for name, problem in results.items())


def _new_memory(size: int) -> mmap.mmap:
    """Memory that no page is behind yet, and that is this process's alone."""
    if sys.platform == "win32":
        return mmap.mmap(-1, size)
    return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


def _page_fault() -> str:
    """Time of the first write to a page, and what decides how often the allocator asks for one."""
    pages = _FAULT_BYTES // mmap.PAGESIZE
    times = []
    for _ in range(3):
        with _new_memory(_FAULT_BYTES) as memory:
            began = time.perf_counter()
            np.frombuffer(memory, np.uint8)[:: mmap.PAGESIZE] = 1
            times.append(time.perf_counter() - began)
    tuned = [name for name in os.environ if name.startswith(("MALLOC_", "GLIBC_TUNABLES"))]
    preloaded = os.environ.get("LD_PRELOAD")
    return (
        f"{min(times) / pages * 1e6:.2f} µs; {' '.join(platform.libc_ver()) or 'C library unknown'}"
        f", {', '.join(tuned) or 'default allocator settings'}"
        + (f", LD_PRELOAD={preloaded}" if preloaded else "")
    )


def _steady() -> str:
    """Cost of `--steady` for a frame of 1280 x 720 whose scene moves."""
    from gpu_check.frames import scene_frame
    from toonvid.stylizing.options import StylizeOptions
    from toonvid.stylizing.steady import SteadyStage

    [scene] = scene_frame(1280, 720)
    frames = [np.roll(scene, _STEADY_SHIFT * each, axis=1) for each in range(_STEADY_FRAMES)]
    stage = SteadyStage(StylizeOptions.steady)
    for frame in frames[:4]:  # the allocator learns sizes
        stage.apply(frame, frame)
    faults_before, cpu_before, began = page_faults(), cpu_seconds(), time.perf_counter()
    for frame in frames[4:]:
        stage.apply(frame, frame)
    count = _STEADY_FRAMES - 4
    milliseconds = 1000 * (time.perf_counter() - began) / count
    cpu, faults = 1000 * (cpu_seconds() - cpu_before) / count, page_faults()
    text = f"{milliseconds:.1f} ms a frame, {cpu:.1f} of CPU"
    if faults is None or faults_before is None:
        return text
    return f"{text}, {(faults - faults_before) / count:.0f} page faults"


def _copies() -> str:
    import torch

    if not torch.cuda.is_available():
        return "skipped: PyTorch finds no CUDA"
    host = torch.empty(_COPY_BYTES, dtype=torch.uint8, pin_memory=True)
    here, there = (torch.empty(_COPY_BYTES, dtype=torch.uint8, device="cuda") for _ in range(2))
    up = _COPY_BYTES / _seconds(lambda: here.copy_(host, non_blocking=True))
    down = _COPY_BYTES / _seconds(lambda: host.copy_(here, non_blocking=True))
    inside = 2 * _COPY_BYTES / _seconds(lambda: there.copy_(here))
    return f"{up / 1e9:.1f} GB/s up, {down / 1e9:.1f} down, {inside / 1e9:.0f} in GPU memory"


def _seconds(work: Callable[[], object]) -> float:
    """Return the shortest time of some work on the GPU, of five, after one not counted."""
    import torch

    times = []
    for _ in range(6):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        work()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end) / 1000)
    return min(times[1:])


_CHECKS: dict[str, Callable[[], str]] = dict(
    zip(
        MACHINE,
        (
            _gpu,
            _cpu,
            _packages,
            _ffmpeg,
            _tensorrt,
            _onnxruntime,
            _nvdec,
            _nvenc,
            _page_fault,
            _steady,
            _copies,
        ),
        strict=True,
    )
)
