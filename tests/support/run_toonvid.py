"""Runs the command line, inside the test's process or in a subprocess."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import AnyStr

import pytest

from toonvid import cli

START_SECONDS = 300.0
"""How long a process may take until it has begun its work, or to end, on a very busy machine."""


@dataclass(frozen=True)
class Ended:
    """Exit code and output of a finished run."""

    code: int
    out: str
    err: str


def run_here(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> Ended:
    """Run in this process: fast, but it shares the test's streams and signals."""
    kept_argv = sys.argv
    kept_handlers = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    sys.argv = ["toonvid", *map(str, arguments)]
    capsys.readouterr()
    try:
        with pytest.raises(SystemExit) as ended:
            cli.main()
    finally:
        sys.argv = kept_argv
        for number, handler in kept_handlers.items():
            signal.signal(number, handler)
    out, err = capsys.readouterr()
    code = ended.value.code
    return Ended(code if isinstance(code, int) else int(code is not None), out, err)


def start_subprocess(
    *arguments: str | Path, env: dict[str, str] | None = None, **streams: int | None
) -> subprocess.Popen[bytes]:
    """Start a subprocess, with streams as `subprocess.Popen` takes them."""
    return subprocess.Popen(
        [sys.executable, "-m", "toonvid", *map(str, arguments)],
        env={**os.environ, **(env or {})},
        **streams,  # type: ignore[call-overload]
    )


@contextmanager
def killed_at_end(process: subprocess.Popen[AnyStr]) -> Iterator[subprocess.Popen[AnyStr]]:
    """Kill a process that still runs when the block ends, as it does when a test fails."""
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                with suppress(OSError):
                    stream.close()


def page_address(running: subprocess.Popen[bytes]) -> str:
    """Read the address that `live --serve` prints on standard error, which must be a pipe."""
    assert running.stderr is not None
    for line in running.stderr:
        if line.startswith(b"open "):
            return line.decode().split()[1]
    raise AssertionError("the process ended without printing an address")
