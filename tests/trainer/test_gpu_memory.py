"""The memory of a process is its own where the driver names it, else what was added."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pynvml
import pytest

from toonvid.ffmpeg.nvidia import Gpu, NvidiaInfo
from trainer.gpu_memory import GpuUse, OwnMemory, find_own_memory, read_gpu_use

PID = os.getpid()
OTHER, ANOTHER = PID + 1, PID + 2


def test_what_the_driver_counts_for_the_process_is_its_memory() -> None:
    """Another process takes 5,000 meanwhile."""
    before = GpuUse(1000, {OTHER: 900})
    now = GpuUse(9000, {OTHER: 5900, PID: 3000})
    assert find_own_memory(before, now) == OwnMemory(3000, is_counted_by_process=True)
    assert find_own_memory(None, now) == OwnMemory(3000, is_counted_by_process=True)


@pytest.mark.parametrize(
    "listed",
    [
        {OTHER: 900},  # this process is not shown
        {OTHER: 900, ANOTHER: 3000},  # or by its number outside of the container
        {OTHER: 900, PID: None},  # or without its memory
    ],
)
def test_otherwise_it_is_what_was_added(listed: dict[int, int | None]) -> None:
    own = find_own_memory(GpuUse(1000, {OTHER: 900}), GpuUse(4000, listed))
    assert own == OwnMemory(3000, is_counted_by_process=False)
    assert find_own_memory(None, GpuUse(4000, listed)) is None
    assert find_own_memory(GpuUse(1000), None) is None


@pytest.mark.parametrize(
    "listed",
    [
        {OTHER: 1800},  # takes more
        {},  # has ended
        {OTHER: 900, ANOTHER: 10, ANOTHER + 1: 10},  # at most one of two new ones is this process
    ],
)
def test_other_processes_that_change_are_seen(listed: dict[int, int | None]) -> None:
    own = find_own_memory(GpuUse(1000, {OTHER: 900}), GpuUse(4000, listed))
    assert own is not None and own.others_changed


def test_the_driver_is_asked_through_nvml(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[bool] = []
    process = SimpleNamespace(pid=PID, usedGpuMemory=3000)
    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlShutdown", lambda: closed.append(True))
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByIndex", lambda index: "handle")
    monkeypatch.setattr(
        pynvml, "nvmlDeviceGetMemoryInfo", lambda handle: SimpleNamespace(used=4000)
    )
    monkeypatch.setattr(pynvml, "nvmlDeviceGetComputeRunningProcesses", lambda handle: [process])
    assert read_gpu_use() == GpuUse(4000, {PID: 3000})

    def fail(handle: str) -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)

    monkeypatch.setattr(pynvml, "nvmlDeviceGetComputeRunningProcesses", fail)
    assert read_gpu_use() == GpuUse(4000, {})
    monkeypatch.setattr(pynvml, "nvmlDeviceGetMemoryInfo", fail)
    assert read_gpu_use() is None
    assert len(closed) == 3


def test_without_nvml_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", fail)
    assert read_gpu_use() is None


def test_cudas_first_gpu_is_asked_for_and_not_nvmls(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = Gpu(0, "NVIDIA GeForce RTX 4060", (8, 9), 8 * 2**30, "GPU-1234")
    monkeypatch.setattr("trainer.gpu_memory.find_nvidia", lambda: NvidiaInfo((gpu,), 12040))
    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlShutdown", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByUUID", lambda uuid: uuid)
    used = {"GPU-1234": 4000}
    monkeypatch.setattr(
        pynvml, "nvmlDeviceGetMemoryInfo", lambda handle: SimpleNamespace(used=used[handle])
    )
    monkeypatch.setattr(pynvml, "nvmlDeviceGetComputeRunningProcesses", lambda handle: [])
    assert read_gpu_use() == GpuUse(4000, {})


@pytest.mark.parametrize(("known", "is_found"), [("MIG-1234", True), ("GPU-5678", False)])
def test_a_gpu_that_nvml_does_not_know_is_not_taken_for_its_first(
    known: str, is_found: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find(uuid: str) -> str:
        if uuid != known:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return uuid

    gpu = Gpu(0, "NVIDIA H200", (9, 0), 139 * 2**30, "GPU-1234")
    monkeypatch.setattr("trainer.gpu_memory.find_nvidia", lambda: NvidiaInfo((gpu,), 12040))
    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlShutdown", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByUUID", find)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByIndex", lambda index: "GPU-5678")
    memory = SimpleNamespace(used=4000)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetMemoryInfo", lambda handle: memory)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetComputeRunningProcesses", lambda handle: [])
    assert read_gpu_use() == (GpuUse(4000, {}) if is_found else None)
