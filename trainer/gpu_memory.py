"""GPU memory of this process, as the driver counts it: CUDA's context and libraries included.

In: nothing. Out: bytes in use on CUDA's first GPU, by all and by each process, from outside CUDA,
whose own functions would take memory to answer. PyTorch's allocator counts itself and is left out.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

import pynvml

from toonvid.ffmpeg.nvidia import find_nvidia


@dataclass(frozen=True)
class GpuUse:
    """Memory in use on CUDA's first GPU at one moment."""

    by_all: int
    """In bytes."""
    by_process: dict[int, int | None] = field(default_factory=dict)
    """Process id -> bytes, None where the driver does not say. A container may show no process at
    all, or ids that are not those inside of it."""


@dataclass(frozen=True)
class OwnMemory:
    """GPU memory of this process."""

    size: int
    """In bytes."""
    is_counted_by_process: bool
    """Whether the driver counted it for this process; otherwise it is what was added to the memory
    that all processes use."""
    others_changed: bool = False
    """Whether other processes took or freed memory meanwhile, as far as the driver shows them. Then
    what was added is not this process's alone."""


def read_gpu_use() -> GpuUse | None:
    """Ask the driver, through NVML; None where NVML is missing or does not answer."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    try:
        handle = _find_first_gpu()
        by_all = int(pynvml.nvmlDeviceGetMemoryInfo(handle).used)
        return GpuUse(by_all, _list_processes(handle))
    except pynvml.NVMLError:
        return None
    finally:
        pynvml.nvmlShutdown()


def find_own_memory(before: GpuUse | None, now: GpuUse | None) -> OwnMemory | None:
    """Find the memory of this process.

    Args:
        before: The GPU's use before this process used it; None: unknown.
        now: Its use now; None: unknown.

    Returns:
        None where neither the process's own memory nor what was added is known.
    """
    if now is None:
        return None
    if (own := now.by_process.get(os.getpid())) is not None:
        return OwnMemory(own, is_counted_by_process=True)
    if before is None:
        return None
    begun = now.by_process.keys() - before.by_process.keys()
    others_changed = len(begun) > 1 or any(  # one of them may be this process
        now.by_process.get(other, 0) != size for other, size in before.by_process.items()
    )
    return OwnMemory(now.by_all - before.by_all, False, others_changed)


def _find_first_gpu() -> object:
    """Return NVML's handle of the GPU that CUDA counts as the first.

    NVML's own first GPU may be another one: it counts by place on the bus.

    Raises:
        pynvml.NVMLError: NVML does not know it.
    """
    gpus = find_nvidia().gpus
    if not gpus or not gpus[0].uuid:
        return pynvml.nvmlDeviceGetHandleByIndex(0)
    try:
        return pynvml.nvmlDeviceGetHandleByUUID(gpus[0].uuid)
    except (pynvml.NVMLError_NotFound, pynvml.NVMLError_InvalidArgument):
        # With MIG, a part of a GPU, which NVML names by another prefix.
        return pynvml.nvmlDeviceGetHandleByUUID(gpus[0].uuid.replace("GPU-", "MIG-", 1))


def _list_processes(handle: object) -> dict[int, int | None]:
    try:
        processes = pynvml.nvmlDeviceGetComputeRunningProcesses(handle)
    except pynvml.NVMLError:
        return {}
    return {process.pid: process.usedGpuMemory for process in processes}
