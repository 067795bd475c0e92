"""Real-time load: CPU time of a conversion that is slowed down to the video's own frame rate.

In: a video and an open backend. Out: a `RealTimeRun`. A machine that is fast enough idles between
frames, and may lower its clock frequency then; so the load is not just the ratio of two rates.
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
    """Measurements of a conversion at the video's own frame rate."""

    work: WorkTime
    late_frames: int
    """Number of frames that were finished more than a frame's duration after they were due."""


def run_in_real_time(video: Path, target: Path, backend: Backend) -> RealTimeRun:
    """Convert a video no faster than it plays.

    Args:
        video: A video with a constant frame rate.
        target: File to write; it is replaced if it exists.
        backend: Open backend, which has already run frames of this size.
    """
    clock = _PlaybackClock()

    def run() -> int:
        options = ConvertOptions(encoding=EncodeOptions(overwrite=True))
        return convert(video, target, backend, options, on_progress=clock.take_frame).frames

    return RealTimeRun(time_work(run), clock.late_frames)


class _PlaybackClock:
    """Takes each frame when it is due, as a video player would; does not wait for late frames."""

    def __init__(self) -> None:
        self.late_frames = 0
        self._start: float | None = None  # perf_counter() at pts 0; known from the first frame on

    def take_frame(self, progress: Progress) -> None:
        """Progress callback: sleep until the frame is due, or count it as late."""
        now = time.perf_counter()
        if self._start is None:
            self._start = now - progress.video_seconds
        ahead = self._start + progress.video_seconds - now
        frame_seconds = float(1 / progress.info.frame_rate) if progress.info.frame_rate else 0.0
        if ahead < -frame_seconds:
            self.late_frames += 1
        elif ahead > 0:
            time.sleep(ahead)
