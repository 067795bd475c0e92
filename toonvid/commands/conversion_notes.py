"""Notes and forecasts of `toonvid convert` while a conversion runs: progress in, lines out.

Each note is a callback that gets the progress and prints its line once. What is printed before and
after a conversion is in `toonvid.commands.conversion_report`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

from toonvid.commands.arguments import format_size
from toonvid.commands.messages import count, format_duration

if TYPE_CHECKING:
    from toonvid.bench.forecast import Forecast
    from toonvid.pipeline import Progress
    from toonvid.writing.output_paths import PlannedConversion

Say: TypeAlias = Callable[[str, str], None]
"""Prints a line in a style of rich."""

_MEGABYTE = 10**6
_FORECAST_AFTER_SECONDS = 2.0
_LONG_SECONDS = 30.0  # a conversion that takes less is over before its forecast is read
# Modules whose work is long and silent, and is announced in their logs.
_ANNOUNCING = ("toonvid.ffmpeg.tone_table",)


@contextmanager
def library_lines(say: Say) -> Iterator[None]:
    """Print what the package announces before it does something that takes seconds."""
    handler = _SayHandler(say)
    loggers = [logging.getLogger(name) for name in _ANNOUNCING]
    levels = [each.level for each in loggers]
    for each in loggers:
        each.addHandler(handler)
        each.setLevel(logging.INFO)
    try:
        yield
    finally:
        for each, level in zip(loggers, levels, strict=True):
            each.removeHandler(handler)
            each.setLevel(level)


class _SayHandler(logging.Handler):
    """Prints the messages of a log as lines."""

    def __init__(self, say: Say) -> None:
        super().__init__(logging.INFO)
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        self._say(record.getMessage(), "dim")


def small_source_note(say: Say, size: tuple[int, int] | int) -> Callable[[Progress], None]:
    """Make a callback that notes once that a source is smaller than the size asked for."""
    is_known = False

    def watch(progress: Progress) -> None:
        nonlocal is_known
        if is_known:
            return
        is_known = True
        width, height = progress.info.width, progress.info.height
        missing = (
            min(size[0] - width, size[1] - height)
            if isinstance(size, tuple)
            else size - min(width, height)
        )
        if missing > 1:  # frames that were fitted may lack a pixel, because sides are even
            say(
                f"note: {width}x{height} is smaller than --size {format_size(size)}, and stays"
                " so; --upscale enlarges it",
                "yellow",
            )

    return watch


def video_note(say: Say, line: str) -> Callable[[Progress], None]:
    """Make a callback that prints a note once, when the first frame of a video is finished.

    Not earlier: whether the source is a video or an image is only known then.
    """
    is_said = False

    def watch(progress: Progress) -> None:
        nonlocal is_said
        if not is_said and not progress.info.is_image:
            is_said = True
            say(f"note: {line}", "yellow")

    return watch


def full_disk_warning(say: Say) -> Callable[[Progress], None]:
    """Make a callback that warns once of a disk that is too small for the target."""
    is_said = False

    def watch(progress: Progress) -> None:
        nonlocal is_said
        if progress.missing_bytes and not is_said:
            is_said = True
            missing = progress.missing_bytes / _MEGABYTE
            say(f"note: the disk lacks about {missing:.0f} MB for the whole video", "yellow")

    return watch


def forecast_note(say: Say, job: PlannedConversion, with_audio: bool) -> Callable[[Progress], None]:
    """Make a callback that says once how long a long conversion will take."""
    from toonvid.bench.forecast import forecast_progress

    began: float | None = None
    first_frame = 0
    is_said = False

    def watch(progress: Progress) -> None:
        nonlocal began, first_frame, is_said
        now = time.perf_counter()
        if began is None:
            began, first_frame = now, progress.frames
        if is_said or progress.info.is_image or now - began < _FORECAST_AFTER_SECONDS:
            return
        frames = progress.frames - first_frame
        expected = forecast_progress(progress, frames, now - began, with_audio)
        if expected is None:
            return
        is_said = True
        remaining = (expected.frames - progress.frames) / expected.rate
        if remaining >= _LONG_SECONDS:
            say(f"{job.source}: {describe_forecast(expected, remaining)}", "dim")

    return watch


def describe_forecast(expected: Forecast, seconds: float) -> str:
    """Say in one line how long a conversion takes and how large its target gets.

    Args:
        expected: The forecast.
        seconds: How long it takes from now on.
    """
    megabytes = max(1, round(expected.target_bytes / _MEGABYTE))
    return (
        f"{count(expected.frames, 'frame')} of {expected.info.width}x{expected.info.height} at"
        f" about {expected.rate:.3g} per second take about {format_duration(seconds)} and"
        f" {megabytes} MB"
    )
