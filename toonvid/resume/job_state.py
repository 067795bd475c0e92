"""The state of an unfinished conversion, for `toonvid convert --status`.

Reads the journal beside a target. Nothing is changed or locked, so that it may be called while
another process converts.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from toonvid.resume.fingerprint import Job
from toonvid.resume.journal import JOURNAL_NAME, read_journal
from toonvid.resume.journal_entries import (
    finished_seconds,
    read_job,
    read_segments,
    read_source_end,
)
from toonvid.resume.work_folder import disk_errors
from toonvid.writing.part_folder import part_folder, running_process


@dataclass(frozen=True)
class JobState:
    """The state of an unfinished conversion."""

    job: Job
    segments: int
    """Number of finished segments."""
    frames: int
    """Number of frames in the finished segments."""
    finished_seconds: float
    """Length of the finished segments, in seconds of the video."""
    awaits_join: bool
    """Whether all segments are finished, so that only joining them is left."""
    process_id: int | None
    """The process that works on the conversion now; None when none does."""


def read_job_state(target: Path) -> JobState | None:
    """Returns how far the conversion to a target has come; None when nothing of it is kept.

    Raises:
        TargetError: The folder beside the target, or the journal in it, cannot be read.
    """
    folder = part_folder(target)
    if not folder.is_dir():  # a file in its place is reported by the run that it is in the way of
        return None
    with disk_errors(target, "read the journal of"):
        entries = read_journal(folder / JOURNAL_NAME)
    job = read_job(entries)
    if job is None:
        return None
    segments = read_segments(entries)
    finished = segments.values()
    return JobState(
        job=job,
        segments=len(finished),
        frames=sum(each.segment.frames for each in finished),
        finished_seconds=finished_seconds(segments),
        awaits_join=read_source_end(entries[-1:]) is not None,
        process_id=running_process(target),
    )
