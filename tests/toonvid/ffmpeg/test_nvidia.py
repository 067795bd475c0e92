"""NVIDIA GPUs as the driver describes them, and the messages when it fails."""

from __future__ import annotations

import ctypes
import re
from dataclasses import replace

import pynvml
import pytest

from toonvid.ffmpeg.nvidia import Gpu, NvidiaInfo, driver_version, find_nvidia


class FakeDriver:
    """A CUDA driver with some GPUs, or one that fails, as the real library would answer."""

    def __init__(self, count=1, init=0, version=0, name=b"NVIDIA GeForce RTX 4060") -> None:
        self.count, self.init, self.version, self.name = count, init, version, name

    def cuInit(self, flags):
        return self.init

    def cuDriverGetVersion(self, version):
        version._obj.value = 12040
        return self.version

    def cuDeviceGetCount(self, count):
        count._obj.value = self.count
        return 0

    def cuDeviceGetName(self, name, length, device):
        ctypes.memmove(name, self.name + b"\0", len(self.name) + 1)
        return 0

    def cuDeviceGetAttribute(self, value, attribute, device):
        value._obj.value = {75: 8, 76: 9}[attribute]
        return 0

    def cuDeviceTotalMem_v2(self, size, device):
        size._obj.value = 8 * 2**30  # more than 32 bits hold
        return 0


def test_gpus_are_described_as_the_driver_reports_them():
    found = find_nvidia(FakeDriver())
    assert replace(found, driver="") == NvidiaInfo(
        (Gpu(0, "NVIDIA GeForce RTX 4060", (8, 9), 8 * 2**30),), 12040
    )
    assert found.cuda == "12.4"
    assert found.gpus[0].device == "cuda:0"


def test_a_gpu_has_the_identifier_by_which_nvml_knows_it():
    class NewerDriver(FakeDriver):
        def cuDeviceGetUuid_v2(self, uuid, device):
            uuid[:] = range(16)
            return 0

    [gpu] = find_nvidia(NewerDriver()).gpus
    assert gpu.uuid == "GPU-00010203-0405-0607-0809-0a0b0c0d0e0f"


def test_several_gpus_are_numbered_in_cudas_order():
    found = find_nvidia(FakeDriver(count=3))
    assert [gpu.device for gpu in found.gpus] == ["cuda:0", "cuda:1", "cuda:2"]


@pytest.mark.parametrize(
    ("driver", "problem"),
    [
        (FakeDriver(init=100), "finds no GPU"),
        (FakeDriver(count=0), "finds no GPU"),
        (FakeDriver(init=999), r"cannot start \(CUDA error 999\)"),
        (FakeDriver(version=3), "does not answer"),
    ],
)
def test_a_failing_driver_is_reported_with_the_reason(driver, problem):
    found = find_nvidia(driver)
    assert found.gpus == ()
    assert re.search(problem, found.problem)


def test_the_drivers_version_comes_from_nvml(monkeypatch):
    closed = []
    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlSystemGetDriverVersion", lambda: "580.95.05")
    monkeypatch.setattr(pynvml, "nvmlShutdown", lambda: closed.append(True))
    assert find_nvidia(FakeDriver()).driver == "580.95.05"
    assert closed == [True]


@pytest.mark.parametrize(
    "error", [pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, pynvml.NVML_ERROR_DRIVER_NOT_LOADED]
)
def test_without_nvml_the_gpus_are_still_found(monkeypatch, error):
    def fail():
        raise pynvml.NVMLError(error)

    monkeypatch.setattr(pynvml, "nvmlInit", fail)
    assert driver_version() == ""
    found = find_nvidia(FakeDriver())
    assert (len(found.gpus), found.driver) == (1, "")
