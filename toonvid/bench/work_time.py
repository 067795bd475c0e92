"""WorkTime: what some frames took, on the clock and of the processor."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class WorkTime:
    """What was done, and what it took."""

    frames: int
    seconds: float
    """On the clock."""
    cpu_seconds: float
    """Of all cores together, the libraries' own threads included."""

    @property
    def rate(self) -> float:
        """Frames a second."""
        return self.frames / self.seconds

    @property
    def cpu_seconds_per_frame(self) -> float:
        return self.cpu_seconds / self.frames

    def cores_busy(self, cores: int) -> float:
        """Share of the processor that this took, 0..1."""
        return self.cpu_seconds / (cores * self.seconds)


def time_work(job: Callable[[], int]) -> WorkTime:
    """Do a job, which tells how many frames it went through."""
    began, cpu_began = time.perf_counter(), time.process_time()
    frames = job()
    return WorkTime(frames, time.perf_counter() - began, time.process_time() - cpu_began)


def core_count() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_name() -> str:
    """As the maker calls it; where that is not known, its architecture."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def system_load() -> float | None:
    """Processes that want a core, over the last minute; None where the system does not count them.

    To be asked before anything is measured: then they are all somebody else's.
    """
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None
