"""The meter: counts the frames that were shown, their rate and their delay.

Also the statistics of a session, in which the meter's values are reported.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from dataclasses import dataclass

_RATE_WINDOW_SECONDS = 2.0  # length of the moving window of `Meter.rate`


@dataclass(frozen=True)
class LiveStatistics:
    """Rate, delay and losses of a live session. The JSON of `live --json` has these fields."""

    source: str
    """Name of the source, without passwords."""
    style: str
    """Name of the present style."""
    width: int
    """Side of the last cartoon in pixels; 0 before the first."""
    height: int
    """Side of the last cartoon in pixels; 0 before the first."""
    shown: int
    """Number of frames that were shown."""
    rate: float
    """Frames per second: over the last two seconds while the session runs, overall at its end."""
    delay_ms: int
    """Median delay from the arrival of a frame until the outputs have it, in milliseconds."""
    delay_95_ms: int
    """Delay that 95 % of the frames do not exceed, in milliseconds."""
    dropped: int
    """Number of the camera's frames that were not stylized."""
    reconnects: int
    """Number of times that the source came back."""
    recording: bool
    """Whether frames are recorded now."""


class Meter:
    """Counts frames and their delays, in memory that does not grow with their number."""

    def __init__(self) -> None:
        self.shown = 0
        """Number of frames so far."""
        # A histogram instead of a list: an hour at 30 frames per second is 108,000 delays.
        self._delays: Counter[int] = Counter()  # milliseconds -> number of frames
        self._recent: deque[float] = deque()  # times of the last two seconds
        self._first: float | None = None
        self._last = 0.0

    def count_frame(self, captured_at: float) -> None:
        """Count a frame that was just shown.

        Args:
            captured_at: `time.perf_counter()` when the frame arrived from the camera.
        """
        now = time.perf_counter()
        self._first = now if self._first is None else self._first
        self._last = now
        self.shown += 1
        self._delays[round((now - captured_at) * 1000)] += 1
        self._recent.append(now)
        while self._recent[0] < now - _RATE_WINDOW_SECONDS:
            self._recent.popleft()

    @property
    def rate(self) -> float:
        """Frames per second over the last two seconds; 0 for fewer than two frames."""
        window_start = time.perf_counter() - _RATE_WINDOW_SECONDS
        # A copy: the property is also read on the page's thread.
        recent = [moment for moment in list(self._recent) if moment >= window_start]
        if len(recent) < 2:
            return 0.0
        return (len(recent) - 1) / (recent[-1] - recent[0])

    @property
    def mean_rate(self) -> float:
        """Frames per second from the first frame to the last; 0 for fewer than two frames."""
        if self._first is None or self.shown < 2:
            return 0.0
        return (self.shown - 1) / (self._last - self._first)

    def delay_ms(self, share: float) -> int:
        """Return a quantile of the delays.

        Args:
            share: Share of the frames, 0..1; 0.5 gives the median.

        Returns:
            The delay in milliseconds that this share of the frames does not exceed; 0 for none.
        """
        remaining = share * self.shown
        for delay, count in sorted(self._delays.copy().items()):
            remaining -= count
            if remaining <= 0:
                return delay
        return 0
