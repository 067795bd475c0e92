"""What a first signal says and does while a command runs."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from toonvid.commands.interrupt import finish_segment_first, record_signals


def test_a_signal_in_training_is_answered_at_once_and_recorded() -> None:
    """The training loop ends its step, which may take a while.

    The handler is called without a signal: under faulthandler, whose stack for signals is small, a
    signal can end a process whose main thread has used the CPU's matrix tiles (AMX).
    """
    lines: list[str] = []
    before = signal.getsignal(signal.SIGTERM)
    with record_signals(lines.append) as received:
        handler = signal.getsignal(signal.SIGTERM)
        assert callable(handler)
        handler(signal.SIGTERM, None)
        assert received == [signal.SIGTERM]
        (line,) = lines
        assert line.startswith("Finishing the current step and saving the training state")
        assert signal.getsignal(signal.SIGTERM) == before  # a second one ends at once
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.skipif(sys.platform == "win32", reason="about POSIX signals")
def test_a_signal_after_the_last_segment_is_not_lost() -> None:
    """Segments are joined then, and no progress follows; a batch would go on."""

    class Stopped(Exception):
        pass

    def stop(number: int, frame: object) -> None:
        raise Stopped(number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        with pytest.raises(Stopped), finish_segment_first(lambda line: None):
            handler = signal.getsignal(signal.SIGTERM)
            assert callable(handler)
            handler(signal.SIGTERM, None)
        assert signal.getsignal(signal.SIGTERM) is stop
        assert signal.getitimer(signal.ITIMER_REAL)[0] == 0
    finally:
        signal.signal(signal.SIGTERM, before)


PROGRAM = """
import atexit, os, signal, sys, threading, time
from toonvid import cli
atexit.register(print, "the interpreter was taken down")
def app():
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start() if {threads} else None
    os.kill(os.getpid(), signal.{name})
    time.sleep(60)
cli.app = app
cli.main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="about POSIX signals")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
@pytest.mark.parametrize("threads", [True, False])
def test_a_signal_ends_the_process_without_taking_threads_down(name: str, threads: bool) -> None:
    """A thread inside a C++ library would abort the process when the interpreter is taken down."""
    program = PROGRAM.format(name=name, threads=threads)
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=False
    )
    assert ended.returncode == 128 + getattr(signal, name)
    assert "stopped; nothing was left half-written" in ended.stderr
    assert ("taken down" in ended.stdout) == (not threads)
