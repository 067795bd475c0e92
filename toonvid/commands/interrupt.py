"""What SIGINT, SIGTERM and SIGHUP do while a command runs: work in hand is finished first.

Without these two context managers, `toonvid.cli` ends the process at the first signal.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from toonvid.pipeline import Progress

_Handler: TypeAlias = Callable[[int, FrameType | None], object] | int | None

_PATIENCE_SECONDS = 3.0  # how long a signal waits for the segment; all ends within five seconds


class Ended(BaseException):  # not an Exception, so that no `except Exception` on the way stops it
    """A signal asked the process to end. `toonvid.cli` raises it."""

    def __init__(self, number: int) -> None:
        """Keep the number of the signal."""
        super().__init__(number)
        self.number = number


@contextmanager
def finish_segment_first(say: Callable[[str], None]) -> Iterator[Callable[[Progress], None]]:
    """Delay a first signal until the current segment is finished, for at most three seconds.

    A second signal, or the end of this time, does what the signal did before. Windows has no
    interval timer, so there the first signal acts at once.

    Args:
        say: Prints a line for the user.

    Yields:
        A callback for the conversion's progress.
    """
    if sys.platform == "win32":
        yield lambda _: None
        return
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    handlers_before = {number: signal.getsignal(number) for number in numbers}
    received: list[int] = []
    finished_seconds = 0.0

    def end(frame: FrameType | None = None) -> None:
        handler = handlers_before[signal.Signals(received[0])]
        assert callable(handler)
        handler(received[0], frame)

    def receive(number: int, frame: FrameType | None) -> None:
        received.append(number)
        if len(received) > 1:
            end(frame)
        # A timer, because the main thread may be blocked in a read that no progress interrupts.
        signal.setitimer(signal.ITIMER_REAL, _PATIENCE_SECONDS)
        with suppress(RuntimeError):  # the signal came in the middle of a print
            say(
                f"Finishing the current segment, for at most {_PATIENCE_SECONDS:.0f} s;"
                " a second signal stops at once"
            )

    def watch(progress: Progress) -> None:
        nonlocal finished_seconds
        if received and progress.kept_seconds > finished_seconds:
            end()
        finished_seconds = progress.kept_seconds

    alarm_before = signal.signal(signal.SIGALRM, lambda _, frame: end(frame))
    for number in (n for n in numbers if callable(handlers_before[n])):
        signal.signal(number, receive)
    try:
        yield watch
        if received:  # it came after the last segment: what would come next is not begun
            end()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in handlers_before.items():
            signal.signal(number, handler)
        signal.signal(signal.SIGALRM, alarm_before)


@contextmanager
def record_signals(say: Callable[[str], None]) -> Iterator[list[int]]:
    """Record SIGINT and SIGTERM; the training loop decides when to stop.

    A second signal of the same number does what it did before.

    Args:
        say: Prints a line for the user.

    Yields:
        The numbers of the signals received so far; empty at first.
    """
    received: list[int] = []

    def receive(number: int, frame: FrameType | None) -> None:
        received.append(number)
        signal.signal(number, handlers_before[number])
        with suppress(RuntimeError):  # the signal came in the middle of a print
            say(
                "Finishing the current step and saving the training state; a second signal stops at"
                " once, and loses the steps since the last state"
            )

    handlers_before: dict[int, _Handler] = {
        number: signal.signal(number, receive) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield received
    finally:
        for number, handler in handlers_before.items():
            signal.signal(number, handler)
