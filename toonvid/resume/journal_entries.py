"""The kinds of lines in a conversion's journal, as values.

A journal has three kinds of lines, in this order:

- `{"job": ...}` once: which conversion it is (`toonvid.resume.fingerprint.Job`);
- `{"finished": ..., "job_hash": ...}` for each segment that is safe on disk (`FinishedSegment`);
- `{"whole": ...}` once, after the last frame of the source was read (`SourceEnd`).

Names in the file are those of toonvid 0.1 and must not change: a conversion that was started by an
older toonvid is at least recognized and named. The tables below map them to the fields.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path

import msgspec
import numpy as np

from toonvid.resume.fingerprint import Job
from toonvid.resume.journal import JournalEntry
from toonvid.resume.segment_file import Segment
from toonvid.video import Frame

_JOB, _FINISHED_SEGMENT, _SOURCE_END = "job", "finished", "whole"
_JOB_HASH = "job_hash"  # beside a finished segment
_MAX_SEGMENTS = 10**6  # four months of video
_MAX_SIDE = 2**16  # pixels of a frame
# Field -> name in the file, where the two differ.
_JOB_NAMES = {"duration_seconds": "seconds"}
_SEGMENT_NAMES = {
    "end_seconds": "film_seconds",
    "last_source_frames": "tail",
    "source_is_intact": "whole",
    "frame_kind": "like",
}
_SOURCE_END_NAMES = {"end_seconds": "film_seconds"}


@dataclass(frozen=True)
class FinishedSegment:
    """A segment that is safe on disk, and what must be known to go on after it."""

    number: int
    """Place among the segments of the video, counted from 0."""
    segment: Segment
    """The segment's file."""
    end_seconds: float
    """End of the segment's last frame, in seconds of the video."""
    last_source_frames: list[list[str]]
    """(time in seconds as a fraction, hash of the pixels) of the last source frames of the segment.
    A later run looks for them in the source to find where the next segment begins."""
    source_is_intact: bool
    """Whether the source was read without damage up to here."""
    frame_kind: list[str]
    """Width, height, time base and "True" for opacity below 1, of the video's first cartoon. All
    segments are encoded for this kind of frame."""
    frames_before: list[list[str]] | None = None
    """As `last_source_frames`, of the segment before, as they were decoded where this segment was
    made. None where it was made by reading on behind that segment."""
    notices: list[str] = field(default_factory=list)
    """What its encoder had to leave out, such as opacity, one line each."""

    def follows(self, last_source_frames: list[list[str]]) -> bool:
        """Whether it was made behind a segment that ends with these source frames."""
        return self.frames_before is None or self.frames_before == last_source_frames

    @property
    def template_frame(self) -> Frame:
        """A black frame of `frame_kind`, to open an encoder with."""
        return template_frame(self.frame_kind)


@dataclass(frozen=True)
class SourceEnd:
    """Facts that are known once the source was read to its end."""

    segments: int
    """Number of segments of the whole video."""
    frames: int
    """Number of frames of the whole video."""
    end_seconds: float
    """End of the last frame, in seconds."""
    notices: list[str]
    """Messages on streams that were converted, mapped or left out, one line each."""
    damage: str | None
    """Description of the parts that could not be read; None when all of them were."""


def finished_seconds(finished: Mapping[int, FinishedSegment]) -> float:
    """Returns how much of a video is finished, in seconds of the video.

    Segments that are made at the same time leave gaps for a while. The length of one behind a gap
    is not known exactly: it counts as long as the mean of all up to its end.
    """
    seconds = 0.0
    for number, each in finished.items():
        before = finished.get(number - 1)
        mean = each.end_seconds / (number + 1)
        seconds += mean if before is None else each.end_seconds - before.end_seconds
    return seconds


def frame_kind(frame: Frame) -> list[str]:
    """Returns the `FinishedSegment.frame_kind` of a frame."""
    height, width = frame.pixels.shape[:2]
    return [str(width), str(height), str(frame.time_base), str(frame.alpha is not None)]


def template_frame(kind: list[str]) -> Frame:
    """Returns a black frame of a `FinishedSegment.frame_kind`."""
    width, height = int(kind[0]), int(kind[1])
    alpha = np.zeros((height, width), np.uint8) if kind[3] == str(True) else None
    return Frame(np.zeros((height, width, 3), np.uint8), 0, Fraction(kind[2]), alpha=alpha)


def job_entry(job: Job) -> JournalEntry:
    """Returns the first line of a journal."""
    return {_JOB: _to_stored(asdict(job), _JOB_NAMES)}


def segment_entry(finished: FinishedSegment, job_hash: str | None = None) -> JournalEntry:
    """Returns the line of one finished segment.

    Args:
        finished: The segment.
        job_hash: `Job.hash` of the job that it belongs to, which proves that it does even where the
            journal's first line is damaged. None leaves it out, as toonvid 0.1 did.
    """
    values = asdict(finished)
    # Without them, as toonvid 0.1 wrote it. An empty list of frames is not None: it says that no
    # frame was decoded before the segment.
    if finished.frames_before is None:
        del values["frames_before"]
    if not finished.notices:
        del values["notices"]
    entry: JournalEntry = {_FINISHED_SEGMENT: _to_stored(values, _SEGMENT_NAMES)}
    return entry if job_hash is None else entry | {_JOB_HASH: job_hash}


def source_end_entry(end: SourceEnd) -> JournalEntry:
    """Returns the last line of a journal."""
    return {_SOURCE_END: _to_stored(asdict(end), _SOURCE_END_NAMES)}


def read_job(entries: list[JournalEntry]) -> Job | None:
    """Returns the job of a journal; None where it is damaged or another version's."""
    try:
        job = msgspec.convert(_from_stored(entries[0][_JOB], _JOB_NAMES), Job)
        read_segments(entries)
        read_source_end(entries)
    except (IndexError, KeyError, ValueError):
        return None
    return job


def read_segments(entries: list[JournalEntry]) -> dict[int, FinishedSegment]:
    """Returns the finished segments of a journal by number; the last line of a number counts.

    Raises:
        ValueError: A line is not one of this version.
    """
    finished = {}
    for entry in entries:
        if _FINISHED_SEGMENT in entry:
            values = _from_stored(entry[_FINISHED_SEGMENT], _SEGMENT_NAMES)
            read = msgspec.convert(values, FinishedSegment)
            _check_segment(read)
            finished[read.number] = read
    return finished


def read_job_hashes(entries: list[JournalEntry]) -> set[object]:
    """Returns the hashes of the jobs of all finished segments; None is of one without a hash."""
    return {entry.get(_JOB_HASH) for entry in entries if _FINISHED_SEGMENT in entry}


def read_source_end(entries: list[JournalEntry]) -> SourceEnd | None:
    """Returns what is known of the source's end; None where it was not reached."""
    for entry in entries:
        if _SOURCE_END in entry:
            return msgspec.convert(_from_stored(entry[_SOURCE_END], _SOURCE_END_NAMES), SourceEnd)
    return None


def _check_segment(finished: FinishedSegment) -> None:
    """Check the values of a line that has the right checksum: somebody may have written it."""
    segment = finished.segment
    if not 0 <= finished.number < _MAX_SEGMENTS or Path(segment.name).name != segment.name:
        raise ValueError("not a segment of this folder")
    if min(segment.size, segment.frames, segment.depth) < 0:
        raise ValueError("a count below 0")
    if not math.isfinite(finished.end_seconds):
        raise ValueError("no time")
    width, height, time_base, _ = finished.frame_kind
    if not (0 < int(width) <= _MAX_SIDE and 0 < int(height) <= _MAX_SIDE):
        raise ValueError("no size of frames")
    try:
        identified = [*finished.last_source_frames, *(finished.frames_before or ())]
        for time in (time_base, *(time for time, _ in identified)):
            Fraction(time)
    except ZeroDivisionError as error:
        raise ValueError("no time") from error


def _to_stored(values: dict[str, object], names: Mapping[str, str]) -> dict[str, object]:
    return {names.get(field, field): value for field, value in values.items()}


def _from_stored(stored: object, names: Mapping[str, str]) -> dict[str, object]:
    if not isinstance(stored, dict):
        raise ValueError("a journal's entry is a JSON object")
    fields = {name: field for field, name in names.items()}
    return {fields.get(str(name), str(name)): value for name, value in stored.items()}
