"""RealTimeRun: how much of the processor is taken when frames are wanted at the film's own rate.

A machine that is fast enough idles in between, and may slow its clocks down; a player takes each
frame at its time and does not wait for those that come late.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from toonvid.backends import Backend
from toonvid.bench.work_time import WorkTime, time_work
from toonvid.pipeline import ConvertOptions, Progress, convert
from toonvid.writing.options import EncodeOptions


@dataclass(frozen=True)
class RealTimeRun:
    """How a film went that was converted while it played."""

    work: WorkTime
    late_frames: int
    """Finished more than a frame's time after they were due."""


def run_in_real_time(film: Path, target: Path, backend: Backend) -> RealTimeRun:
    """Convert a film no faster than it plays.

    Args:
        film: At a constant rate.
        target: Replaced if it is there.
        backend: Open, and already used at this size.
    """
    player = _Player()

    def run() -> int:
        options = ConvertOptions(encoding=EncodeOptions(overwrite=True))
        return convert(film, target, backend, options, on_progress=player.take).frames

    return RealTimeRun(time_work(run), player.late_frames)


class _Player:
    """Takes each frame at its time."""

    def __init__(self) -> None:
        self.late_frames = 0
        self._zero: float | None = None  # on the clock, when the film's time was 0

    def take(self, progress: Progress) -> None:
        now = time.perf_counter()
        if self._zero is None:
            self._zero = now - progress.video_seconds
        ahead = self._zero + progress.video_seconds - now
        frame_seconds = float(1 / progress.info.frame_rate) if progress.info.frame_rate else 0.0
        if ahead < -frame_seconds:
            self.late_frames += 1
        elif ahead > 0:
            time.sleep(ahead)
