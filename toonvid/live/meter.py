"""A meter of what a live picture is worth: its rate, its delay, and what was dropped."""

from __future__ import annotations

import time
from collections import Counter, deque

_RATE_SECONDS = 2.0  # over which the present rate is taken


class Meter:
    """Counts pictures and their delays, in memory that does not grow."""

    def __init__(self) -> None:
        self.shown = 0
        self._delays: Counter[int] = Counter()  # milliseconds -> pictures
        self._recent: deque[float] = deque()
        self._began: float | None = None
        self._last = 0.0

    def note(self, captured: float) -> None:
        """Count a picture that is on the screen now.

        Args:
            captured: `time.perf_counter()` when it came from the camera.
        """
        now = time.perf_counter()
        self._began = now if self._began is None else self._began
        self._last = now
        self.shown += 1
        self._delays[round((now - captured) * 1000)] += 1
        self._recent.append(now)
        while self._recent[0] < now - _RATE_SECONDS:
            self._recent.popleft()

    @property
    def rate(self) -> float:
        """Pictures a second, lately."""
        recent = list(self._recent)
        since = time.perf_counter() - _RATE_SECONDS
        recent = [moment for moment in recent if moment >= since]
        if len(recent) < 2:
            return 0.0
        return (len(recent) - 1) / (recent[-1] - recent[0])

    @property
    def mean_rate(self) -> float:
        """Pictures a second, from the first to the last."""
        if self._began is None or self.shown < 2:
            return 0.0
        return (self.shown - 1) / (self._last - self._began)

    def delay_ms(self, share: float) -> int:
        """The delay in milliseconds that this share of the pictures, 0..1, does not exceed."""
        left = share * self.shown
        for delay, count in sorted(self._delays.copy().items()):
            left -= count
            if left <= 0:
                return delay
        return 0
