"""What the driver says of its cards, and what it says when it fails."""

from __future__ import annotations

import ctypes
import re
from dataclasses import replace

import pytest

from toonvid.ffmpeg.nvidia import Gpu, NvidiaInfo, find_nvidia


class FakeDriver:
    """A driver with one card, or one that fails: what the real library would answer."""

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


def test_cards_are_described_as_the_driver_tells_them():
    found = find_nvidia(FakeDriver())
    assert replace(found, driver="") == NvidiaInfo(
        (Gpu(0, "NVIDIA GeForce RTX 4060", (8, 9), 8 * 2**30),), 12040
    )
    assert found.cuda == "12.4"
    assert found.gpus[0].device == "cuda:0"


@pytest.mark.parametrize(
    ("driver", "problem"),
    [
        (FakeDriver(init=100), "finds no card"),
        (FakeDriver(count=0), "finds no card"),
        (FakeDriver(init=999), r"cannot start \(CUDA error 999\)"),
        (FakeDriver(version=3), "does not answer"),
    ],
)
def test_a_driver_that_fails_says_how(driver, problem):
    found = find_nvidia(driver)
    assert found.gpus == ()
    assert re.search(problem, found.problem)
