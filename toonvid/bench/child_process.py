"""A conversion in a new process: start-up, compilation and memory as a user sees them.

In: a source, a target and options of the command line. Out: a `SubprocessRun`.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from toonvid.backends.openvino_cache import MODELS_VARIABLE
from toonvid.child_python import child_python
from toonvid.errors import ToonvidError

_POLL_SECONDS = 0.02  # between two readings of the memory that a process uses


@dataclass(frozen=True)
class SubprocessRun:
    """Measurements of a process that converted one source."""

    frames: int
    seconds: float
    """Wall-clock time from the start of the process to its end, in seconds."""
    first_frame_seconds: float
    """Time from the start of the process to its first frame, in seconds."""
    frames_per_second: float | None
    """Frame rate after the first frame; None for an image."""
    peak_bytes: int | None
    """Largest memory of the process (resident set), in bytes; None where it is not known."""


def convert_in_subprocess(
    source: Path,
    target: Path,
    arguments: Iterable[str],
    cores: set[int] | None = None,
    models: Path | None = None,
) -> SubprocessRun:
    """Run `toonvid convert`.

    Args:
        source: Video or image.
        target: File to write; it is replaced if it exists.
        arguments: Further arguments of `toonvid convert`.
        cores: Numbers of the cores that the process may use. None: all.
        models: Folder in which OpenVINO's compiled models are kept. None: that of this process.

    Raises:
        ToonvidError: The process failed. The message holds the last line of its output.
    """
    command = [*child_python(), "-m", "toonvid", "convert", str(source), "-o", str(target)]
    environment = dict(os.environ)
    if models is not None:
        environment[MODELS_VARIABLE] = str(models)
    began = time.perf_counter()
    with _only_on(cores):
        process = subprocess.Popen(
            [*command, "--json", "-q", "-y", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,  # the last line is then the reason of a failure
            env=environment,
        )
    # The line with the result comes when the conversion ends, before the process does.
    lines: list[tuple[float, str]] = []
    reader = threading.Thread(target=_read_lines, args=(process, lines))
    reader.start()
    peak = _wait(process)
    seconds = time.perf_counter() - began
    reader.join()
    printed_at, last = lines[-1] if lines else (began, "it printed nothing")
    if process.returncode:
        raise ToonvidError(f"a conversion in its own process failed: {last}")
    return _describe_run(json.loads(last), seconds, printed_at - began, peak)


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


def _read_lines(process: subprocess.Popen[bytes], lines: list[tuple[float, str]]) -> None:
    """Read what a process prints, with the time of each line on the clock of `perf_counter`."""
    assert process.stdout is not None
    with process.stdout as stream:
        for line in stream:
            lines.append((time.perf_counter(), line.decode(errors="replace").rstrip()))


def _describe_run(
    result: dict[str, float], seconds: float, printed_seconds: float, peak: int | None
) -> SubprocessRun:
    frames, first = int(result["frames"]), result["first_frame_seconds"]
    after_first = result["seconds"] - first
    return SubprocessRun(
        frames=frames,
        seconds=seconds,
        first_frame_seconds=printed_seconds - after_first,
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
