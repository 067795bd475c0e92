"""What this process has taken so far of the CPU: time and page faults, on every system."""

from __future__ import annotations

import sys
import time


def cpu_seconds() -> float:
    """CPU time of all threads, the kernel's share included."""
    return time.process_time()


def page_faults() -> int | None:
    """Number of pages that the kernel had to provide; None on Windows, where nothing counts them
    without a further package."""
    if sys.platform == "win32":
        return None
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
