"""A camera's source that a test feeds by hand."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction

import numpy as np

from toonvid.live.feed import Feed
from toonvid.video import Frame


class ScriptedFeed:
    """Gives the frames that were put on it, and raises the errors; waits when there are none."""

    def __init__(
        self, needs_pacing: bool = False, has_clock: bool = False, frame_rate: int | None = None
    ) -> None:
        self.items: queue.Queue[Frame | Exception | None] = queue.Queue()
        self.opened = 0
        self._needs_pacing, self._has_clock = needs_pacing, has_clock
        self._rate = None if frame_rate is None else Fraction(frame_rate)

    def put(self, level: int, pts: int = 0, size: tuple[int, int] = (8, 6)) -> None:
        """A grey picture of (width, height) at a time in milliseconds."""
        pixels = np.full((size[1], size[0], 3), level, np.uint8)
        self.items.put(Frame(pixels, pts, Fraction(1, 1000)))

    def fail(self, error: Exception) -> None:
        self.items.put(error)

    def end(self) -> None:
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
    """Wait until something is so; it has to be before long."""
    limit = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.005)
