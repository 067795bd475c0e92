"""Wall-clock and CPU time of some work, and the machine's CPU and load.

In: a function that processes frames. Out: a `WorkTime`.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class WorkTime:
    """Time that some frames took."""

    frames: int
    """Number of frames."""
    seconds: float
    """Wall-clock time in seconds."""
    cpu_seconds: float
    """CPU time of this process in seconds, over all cores and threads."""

    @property
    def rate(self) -> float:
        """Frames per second of wall-clock time."""
        return self.frames / self.seconds

    @property
    def cpu_seconds_per_frame(self) -> float:
        """CPU time per frame, in seconds."""
        return self.cpu_seconds / self.frames

    def cores_busy(self, cores: int) -> float:
        """Return the share of a number of cores that the work used, 0..1."""
        return self.cpu_seconds / (cores * self.seconds)


def time_work(work: Callable[[], int]) -> WorkTime:
    """Run a function and measure its time.

    Args:
        work: Function that returns the number of frames it has processed.
    """
    # process_time counts this process alone, so other programs change it little.
    began, cpu_began = time.perf_counter(), time.process_time()
    frames = work()
    return WorkTime(frames, time.perf_counter() - began, time.process_time() - cpu_began)


def core_count() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # in a container fewer than os.cpu_count()
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_name() -> str:
    """Return the manufacturer's name of the CPU; its architecture where that is not known."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def system_load() -> float | None:
    """Return the load average of the last minute; None where the system has none.

    Call it before measuring, when all of the load is due to other programs.
    """
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None
