"""A conversion in a process of its own: start-up, compilation and memory as a user meets them."""

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

_LOOK_SECONDS = 0.02  # between two looks at the memory that a process has held


@dataclass(frozen=True)
class SubprocessRun:
    """How a process went that converted one source."""

    frames: int
    seconds: float
    """From the start of the process to its end."""
    first_frame_seconds: float
    """From the start of the process to the first frame; its end is counted in, some hundredths."""
    frames_per_second: float | None
    """After the first frame; None for a picture."""
    peak_bytes: int | None
    """The most memory it held; None where the system does not say."""


def convert_in_subprocess(
    source: Path, target: Path, options: Iterable[str], cores: set[int] | None = None
) -> SubprocessRun:
    """Run `toonvid convert`.

    Args:
        source: A film or picture.
        target: Replaced if it is there.
        options: More words for the command line.
        cores: Those that it may use, by number; None for all.

    Raises:
        ToonvidError: It failed; its own last line is told.
    """
    command = [sys.executable, "-m", "toonvid", "convert", str(source), "-o", str(target)]
    with tempfile.TemporaryFile() as said:
        began = time.perf_counter()
        with _only_on(cores):
            process = subprocess.Popen(
                [*command, "--json", "-q", "-y", *options], stdout=said, stderr=subprocess.STDOUT
            )
        peak = _wait(process)
        seconds = time.perf_counter() - began
        said.seek(0)
        lines = said.read().decode(errors="replace").splitlines() or ["it said nothing"]
    if process.returncode:
        raise ToonvidError(f"a conversion in its own process failed: {lines[-1]}")
    return _read(json.loads(lines[-1]), seconds, peak)


def can_pin() -> bool:
    """Whether this system lets a process choose its cores."""
    return hasattr(os, "sched_setaffinity")


@contextmanager
def _only_on(cores: set[int] | None) -> Iterator[None]:
    """Keep this thread, and the processes that it starts meanwhile, on some cores."""
    if cores is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _read(done: dict[str, float], seconds: float, peak: int | None) -> SubprocessRun:
    frames, first = int(done["frames"]), done["first_frame_seconds"]
    after_first = done["seconds"] - first
    return SubprocessRun(
        frames=frames,
        seconds=seconds,
        first_frame_seconds=seconds - after_first,
        frames_per_second=(frames - 1) / after_first if frames > 1 else None,
        peak_bytes=peak,
    )


def _wait(process: subprocess.Popen[bytes]) -> int | None:
    """Wait for the end, and tell the most memory that was held."""
    # Not the system's own maximum at the end: that begins with what this process holds.
    status, peak = Path(f"/proc/{process.pid}/status"), None
    try:
        while process.poll() is None:
            peak = _high_water(status) or peak
            time.sleep(_LOOK_SECONDS)
    except BaseException:
        process.kill()
        process.wait()
        raise
    return peak


def _high_water(status: Path) -> int | None:
    try:
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass  # no such file on this system, or the process has just ended
    return None
