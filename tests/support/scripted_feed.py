"""A camera's feed whose frames a test puts in one by one, and waiting with a time limit."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction

import numpy as np

from toonvid.live.feed import Feed
from toonvid.video import Frame

LIMIT_SECONDS = 120.0
"""How long tests wait for something that must happen; far more than it takes on a busy machine."""


class ScriptedFeed:
    """Delivers frames and raises errors in the order in which they were put in.

    While there is nothing to deliver it blocks, as a camera does.
    """

    def __init__(
        self, needs_pacing: bool = False, has_clock: bool = False, frame_rate: int | None = None
    ) -> None:
        self.items: queue.Queue[Frame | Exception | None] = queue.Queue()
        """Frames, errors, and None for the end of the feed, as far as they were not delivered."""
        self.opened = 0
        """How many times the feed was opened."""
        self._needs_pacing, self._has_clock = needs_pacing, has_clock
        self._rate = None if frame_rate is None else Fraction(frame_rate)

    def put(self, level: int, pts: int = 0, size: tuple[int, int] = (8, 6)) -> None:
        """Add a gray frame.

        Args:
            level: Value of all its pixels, 0..255.
            pts: In milliseconds.
            size: Width and height in pixels.
        """
        pixels = np.full((size[1], size[0], 3), level, np.uint8)
        self.items.put(Frame(pixels, pts, Fraction(1, 1000)))

    def fail(self, error: Exception) -> None:
        """Add an error, which ends the feed."""
        self.items.put(error)

    def end(self) -> None:
        """Add the end of the feed."""
        self.items.put(None)

    @contextmanager
    def open(self) -> Iterator[Feed]:
        self.opened += 1
        yield Feed(self._frames(), self._rate, self._needs_pacing, self._has_clock)

    def _frames(self) -> Iterator[Frame]:
        while (item := self.items.get()) is not None:
            if isinstance(item, Exception):
                raise item
            yield item


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait until a condition is true; fails after `LIMIT_SECONDS`."""
    for _ in repeat("it never became true"):
        if condition():
            return
        time.sleep(0.005)


def repeat(failure: str, seconds: float = LIMIT_SECONDS) -> Iterator[None]:
    """Bound a loop that its body breaks: fails with this message when the time is up."""
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        yield
    raise AssertionError(f"{failure} within {seconds:g} s")
