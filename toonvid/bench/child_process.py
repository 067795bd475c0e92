"""A conversion in a new process: start-up, compilation and memory as a user sees them.

In: a source, a target and options of the command line. Out: a `SubprocessRun`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from toonvid.errors import ToonvidError

_POLL_SECONDS = 0.02  # between two readings of the memory that a process uses


@dataclass(frozen=True)
class SubprocessRun:
    """Measurements of a process that converted one source."""

    frames: int
    seconds: float
    """Wall-clock time from the start of the process to its end, in seconds."""
    first_frame_seconds: float
    """Time from the start of the process to its first frame, in seconds.

    It includes the exit of the process, which takes some hundredths of a second.
    """
    frames_per_second: float | None
    """Frame rate after the first frame; None for an image."""
    peak_bytes: int | None
    """Largest memory of the process (resident set), in bytes; None where it is not known."""


def convert_in_subprocess(
    source: Path, target: Path, arguments: Iterable[str], cores: set[int] | None = None
) -> SubprocessRun:
    """Run `toonvid convert`.

    Args:
        source: Video or image.
        target: File to write; it is replaced if it exists.
        arguments: Further arguments of `toonvid convert`.
        cores: Numbers of the cores that the process may use. None: all.

    Raises:
        ToonvidError: The process failed. The message holds the last line of its output.
    """
    command = [sys.executable, "-m", "toonvid", "convert", str(source), "-o", str(target)]
    # A file, because nobody reads a pipe while the process runs. Errors go there too: the last line
    # is then the reason.
    with tempfile.TemporaryFile() as output:
        began = time.perf_counter()
        with _only_on(cores):
            process = subprocess.Popen(
                [*command, "--json", "-q", "-y", *arguments],
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        peak = _wait(process)
        seconds = time.perf_counter() - began
        output.seek(0)
        lines = output.read().decode(errors="replace").splitlines() or ["it printed nothing"]
    if process.returncode:
        raise ToonvidError(f"a conversion in its own process failed: {lines[-1]}")
    return _describe_run(json.loads(lines[-1]), seconds, peak)


def can_pin() -> bool:
    """Whether this system can restrict a process to some cores."""
    return hasattr(os, "sched_setaffinity")


@contextmanager
def _only_on(cores: set[int] | None) -> Iterator[None]:
    """Restrict this thread, and processes that it starts in the meantime, to some cores."""
    if cores is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _describe_run(result: dict[str, float], seconds: float, peak: int | None) -> SubprocessRun:
    frames, first = int(result["frames"]), result["first_frame_seconds"]
    after_first = result["seconds"] - first
    return SubprocessRun(
        frames=frames,
        seconds=seconds,
        first_frame_seconds=seconds - after_first,
        frames_per_second=(frames - 1) / after_first if frames > 1 else None,
        peak_bytes=peak,
    )


def _wait(process: subprocess.Popen[bytes]) -> int | None:
    """Wait for a process to end. Return the largest memory it used, in bytes."""
    # Not ru_maxrss of the finished process: a fork begins with the memory of this process.
    status, peak = Path(f"/proc/{process.pid}/status"), None
    try:
        while process.poll() is None:
            peak = _read_peak_bytes(status) or peak
            time.sleep(_POLL_SECONDS)
    except BaseException:
        process.kill()
        process.wait()
        raise
    return peak


def _read_peak_bytes(status: Path) -> int | None:
    try:
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass  # no such file on this system, or the process has just ended
    return None
