"""The clock of a camera: source pts of any origin become pts that count from the camera's opening.

A network camera counts from an arbitrary origin and may reset its clock; a webcam has none; a file
counts from about zero. Audio packets are moved by the same offset as the frames.
"""

from __future__ import annotations

import time
from fractions import Fraction

from toonvid.live.feed import LIVE_TIME_BASE, Feed
from toonvid.video import Frame

# A source whose pts is further off than this from the time of arrival has reset its clock.
_CLOCK_SLIP_SECONDS = 2.0


class CameraClock:
    """Counts from its creation, in units of `LIVE_TIME_BASE`."""

    def __init__(self) -> None:
        self.last_pts = -1
        """Pts of the last frame; set by the camera. No later frame gets it again."""
        self.offset: Fraction | None = None
        """From the source's clock to this one, in seconds; None before the source's first frame."""
        self._began = time.perf_counter()

    def now(self) -> int:
        """Return the present time as a pts."""
        return round((time.perf_counter() - self._began) / LIVE_TIME_BASE)

    def forget_source(self) -> None:
        """Begin with another source, or with the same one after it was lost."""
        self.offset = None

    def start_source_at_last_pts(self, first: Frame) -> None:
        """Let the source's time continue from `last_pts`, which is when `first` is shown."""
        self.offset = self.last_pts * LIVE_TIME_BASE - first.seconds

    def pts(self, frame: Frame, feed: Feed) -> int:
        """Return the pts of a frame of a feed on this clock, in units of `LIVE_TIME_BASE`."""
        now = self.now() * LIVE_TIME_BASE
        next_free = max(now, (self.last_pts + 1) * LIVE_TIME_BASE)
        if self.offset is None:
            self.offset = next_free - frame.seconds
        shown = frame.seconds + self.offset
        if feed.needs_pacing:  # the camera waits for this time, however far away it is
            return round(shown / LIVE_TIME_BASE)
        if not feed.has_clock:
            shown = now
        elif abs(shown - now) > _CLOCK_SLIP_SECONDS:
            self.offset, shown = next_free - frame.seconds, next_free
        return round(shown / LIVE_TIME_BASE)
