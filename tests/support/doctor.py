"""Described machines and helpers for tests of the doctor."""

from __future__ import annotations

from toonvid.doctor.check_result import CheckResult
from toonvid.ffmpeg.nvidia import Gpu, NvidiaInfo

LAPTOP = NvidiaInfo(
    (Gpu(0, "NVIDIA GeForce RTX 3050 Laptop GPU", (8, 6), 4 * 2**30),), 13000, driver="580.95.05"
)
NO_DRIVER = NvidiaInfo(problem="there is no NVIDIA driver: install NVIDIA's driver")


def only(results: list[CheckResult]) -> CheckResult:
    """Return the single result of a check."""
    [result] = results
    return result
