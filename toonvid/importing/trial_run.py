"""Reads a stranger's file in a process of its own, with limits on memory and time, before this one.

In: a path. Out: nothing, or an error that says why the file is refused. A few bytes can ask for any
amount of memory or time (a shape that is computed, a graph that doubles), and a library may crash
on a damaged file; it is then the other process that ends. The limit on memory needs Linux.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from toonvid.backends.cartoon_check import SAMPLE_SIDE, sample_frame
from toonvid.child_python import child_python
from toonvid.errors import EngineError
from toonvid.importing.network import Reading
from toonvid.importing.read_candidate import read_candidate

TIMEOUT_SECONDS = 120.0
"""Time after which the process is killed."""
MEMORY_SHARE = 0.75
"""Share of this machine's memory that the process may use."""

_REFUSED = 3  # exit code; the reason is on standard output
_SIGNALS = {number.value: number.name for number in signal.Signals}


def try_in_subprocess(path: Path, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
    """Read a file and run its network on one frame, in another process.

    Args:
        path: The file.
        timeout_seconds: Time after which the process is killed.

    Raises:
        EngineError: The file is refused, or reading it takes too much memory or time, or crashes.
    """
    try:
        done = subprocess.run(
            [*child_python(), "-m", __name__, str(path)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise EngineError(
            f"{path} is refused: one frame takes more than {timeout_seconds:g} seconds"
        ) from error
    if done.returncode == 0:
        return
    if done.returncode == _REFUSED:
        raise EngineError(done.stdout.decode(errors="replace").strip())
    if done.returncode == -signal.SIGINT:
        raise KeyboardInterrupt
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    reason = _SIGNALS.get(-done.returncode) or (lines[-1] if lines else f"{done.returncode}")
    raise EngineError(f"{path} is refused: reading it ends the process ({reason})")


def main(path: Path) -> None:
    """Read a file and run its network on one frame, in this process."""
    output = os.dup(1)
    os.dup2(2, 1)  # what libraries print goes elsewhere
    _limit_memory()
    code, line = 0, ""
    try:
        candidate = read_candidate(path)
        size = candidate.sizes.fixed or (SAMPLE_SIDE, SAMPLE_SIDE)
        reading = Reading("rgb", "-1..1", "-1..1")
        candidate.network.cartoons(sample_frame(*size)[None], candidate.layout, reading)
    except EngineError as error:
        code, line = _REFUSED, str(error)
        if str(path) not in line:
            line = f"{path}: {line}"
    except MemoryError:
        code, line = _REFUSED, f"{path} is refused: it needs more memory than this machine has"
    os.write(output, line.encode(errors="replace"))
    # Without the libraries' cleanup at exit, which crashes in some of them.
    os._exit(code)


def _limit_memory() -> None:
    if sys.platform == "linux":
        import resource

        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        limit = int(size * MEMORY_SHARE)
        # Not RLIMIT_AS: many threads reserve far more addresses than they use.
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
