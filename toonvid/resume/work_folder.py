"""The work folder of an unfinished conversion: its segments and its journal.

The folder lies beside the target and is that of `toonvid.writing.part_folder`, whose lock must be
held. Finished segments go in; which of them are intact, and where to go on, comes out. Files in the
folder are deleted in three cases only: the target is in its place, no segment is finished, or the
user asks to begin anew (`--restart`).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from toonvid.engine import file_sha256
from toonvid.errors import JobMismatchError, TargetError
from toonvid.files import sync_folder
from toonvid.resume.fingerprint import Job
from toonvid.resume.journal import JOURNAL_NAME, Journal, read_journal
from toonvid.resume.journal_entries import (
    FinishedSegment,
    SourceEnd,
    finished_seconds,
    job_entry,
    read_job,
    read_job_hashes,
    read_segments,
    read_source_end,
    segment_entry,
    source_end_entry,
)
from toonvid.resume.segment_file import Segment
from toonvid.video import Frame
from toonvid.writing.part_folder import PartFolder, part_folder

_SUFFIX = ".segment"
_LEAST_FREE = 2**20  # bytes that a disk must have left before a segment is started
_MEGABYTE = 10**6


class WorkFolder:
    """The segments and the journal of one job.

    A context manager: on exit the folder's files are deleted if no segment is finished.
    """

    def __init__(self, target: Path, job: Job, restart: bool) -> None:
        """Reads what an earlier run has left. The lock of the target's folder must be held.

        Args:
            target: The file that the conversion writes.
            job: The conversion that is asked for now.
            restart: Whether to delete what an earlier run has finished.

        Raises:
            JobMismatchError: The folder belongs to another job. Nothing was deleted.
            TargetError: The disk is full or fails.
        """
        self.target = target
        self.folder = part_folder(target)
        with disk_errors(target):
            if restart:
                self.remove()
            self._job_hash = job.hash
            self._refuse_other_job(job)
            self._journal = Journal(self.folder / JOURNAL_NAME)
            if self._journal.has_lost_start:
                self._journal.restore_start(job_entry(job))
            if not self._journal.entries:
                self._journal.append(job_entry(job))
            self.finished = {
                number: finished
                for number, finished in read_segments(self._journal.entries).items()
                if self._is_intact(finished.segment)
            }
            """Finished segments by number. There are gaps where files are missing or damaged, and
            where several are made at the same time."""
            for number in sorted(self.finished):
                self._drop_if_misplaced(number)

    def __enter__(self) -> WorkFolder:
        return self

    def __exit__(self, *_: object) -> None:
        if not self.finished:
            with suppress(OSError):
                self.remove()

    @property
    def source_end(self) -> SourceEnd | None:
        """Facts noted at the source's end; None before it, or while a segment is missing."""
        end = read_source_end(self._journal.entries)
        return end if end is not None and len(self.finished) == end.segments else None

    @property
    def first_missing(self) -> int:
        """Number of the first segment that is not finished."""
        return next(n for n in range(len(self.finished) + 1) if n not in self.finished)

    @property
    def finished_bytes(self) -> int:
        """Size of all finished segments, in bytes."""
        return sum(finished.segment.size for finished in self.finished.values())

    @property
    def finished_frames(self) -> int:
        """Number of frames in all finished segments."""
        return sum(finished.segment.frames for finished in self.finished.values())

    @property
    def finished_seconds(self) -> float:
        """Length of all finished segments, in seconds of the video."""
        return finished_seconds(self.finished)

    @property
    def template_frame(self) -> Frame | None:
        """A frame of the kind that all segments are encoded for; None before the first segment."""
        return next((finished.template_frame for finished in self.finished.values()), None)

    def segment_path(self, number: int) -> Path:
        """Returns where the file of a segment is written."""
        return self.folder / f"{number:06}{_SUFFIX}"

    def record_segment(self, finished: FinishedSegment) -> None:
        """Writes a finished segment into the journal. Its file must be safe on disk already.

        It, or the one behind it, does not count as finished where the two do not belong together:
        a source that was sought may have been read on at another place than the segment's end.

        Raises:
            TargetError: The disk is full or fails.
        """
        with disk_errors(self.target):
            # After a power cut the journal must not name a file whose directory entry is lost.
            sync_folder(self.folder)
            self._journal.append(segment_entry(finished, self._job_hash))
        self.finished[finished.number] = finished
        self._drop_if_misplaced(finished.number)
        self._drop_if_misplaced(finished.number + 1)

    def record_source_end(self, notices: tuple[str, ...], damage: str | None) -> None:
        """Writes into the journal that the source was read to its end.

        Args:
            notices: What the source's decoder converted, mapped or left out, one line each. Those
                of the finished segments are added.
            damage: What could not be read; None when all was.

        Raises:
            TargetError: The disk is full or fails.
        """
        of_segments = (notice for each in self.finished.values() for notice in each.notices)
        end = SourceEnd(
            segments=len(self.finished),
            frames=self.finished_frames,
            end_seconds=max((each.end_seconds for each in self.finished.values()), default=0.0),
            notices=list(dict.fromkeys((*notices, *of_segments))),
            damage=damage,
        )
        with disk_errors(self.target):
            self._journal.append(source_end_entry(end))

    def remove(self) -> None:
        """Deletes the segments, then the journal, which describes them until they are gone."""
        _remove_files(self.folder)

    def missing_bytes(self, duration_seconds: float | None) -> int:
        """Returns how many bytes the disk lacks for the rest, estimated from the finished segments.

        Args:
            duration_seconds: Duration of the whole video; None when not known, which gives 0.
        """
        if not duration_seconds or not self.finished_seconds:
            return 0
        return max(0, self._needed_bytes(duration_seconds) - self._free_bytes())

    def check_space_for_video(self, duration_seconds: float | None, forecast_bytes: int) -> None:
        """Stops before any work is done, while somebody is there to make room.

        Args:
            duration_seconds: Duration of the whole video; None when not known.
            forecast_bytes: Least size of the target, used while no segment is finished.

        Raises:
            TargetError: The video does not fit, even if it needs half of what is expected.
        """
        needed = 2 * forecast_bytes  # the segments, and the target that they are joined to
        if duration_seconds and self.finished_seconds:
            needed = self._needed_bytes(duration_seconds) // 2
        free = self._free_bytes()
        if free < needed:
            raise TargetError(
                f"cannot write {self.target}: its disk has {free / _MEGABYTE:.0f} MB left, and the"
                f" video needs at least {needed / _MEGABYTE:.0f} MB more; make room first"
            )

    def check_space(self, needed_bytes: int = 0) -> None:
        """Stops before the disk is full, so that the finished segments and the journal stay good.

        Args:
            needed_bytes: Size of what is written next. The size of the largest segment so far is
                required at least.

        Raises:
            TargetError: There is less room.
        """
        sizes = [finished.segment.size for finished in self.finished.values()]
        needed = max([needed_bytes, _LEAST_FREE, *sizes])
        free = self._free_bytes()
        if free < needed:
            raise TargetError(
                f"cannot write {self.target}: its disk has {free / _MEGABYTE:.0f} MB left, and"
                f" {needed / _MEGABYTE:.0f} are needed to go on; make room first"
            )

    def _needed_bytes(self, duration_seconds: float) -> int:
        """Room for the missing segments, and for the target that all segments are joined to."""
        total = int(self.finished_bytes * max(1.0, duration_seconds / self.finished_seconds))
        return 2 * total - self.finished_bytes

    def _free_bytes(self) -> int:
        with disk_errors(self.target):
            return shutil.disk_usage(self.folder).free

    def _refuse_other_job(self, job: Job) -> None:
        entries = read_journal(self.folder / JOURNAL_NAME)
        if not any(self.folder.glob(f"*{_SUFFIX}")):
            self.remove()  # an earlier run has finished no segment: nothing is lost
        elif read_job_hashes(entries) == {job.hash} and read_job([job_entry(job), *entries]):
            pass  # all that is finished is of this job, whatever became of the first line
        elif (begun := read_job(entries)) is None:
            raise JobMismatchError(
                f"the journal in {self.folder} cannot be read; --restart begins anew"
            )
        elif difference := begun.difference(job):
            raise JobMismatchError(
                f"{self.target} was started with other settings: {difference}. Go on with those, or"
                " begin anew with --restart; nothing was deleted"
            )

    def _drop_if_misplaced(self, number: int) -> None:
        """Forget a segment that was not made behind the end of the one before it."""
        before, segment = self.finished.get(number - 1), self.finished.get(number)
        if before and segment and not segment.follows(before.last_source_frames):
            del self.finished[number]

    def _is_intact(self, segment: Segment) -> bool:
        path = self.folder / segment.name
        return path.is_file() and file_sha256(path) == segment.sha256


def remove_leftovers(target: Path) -> None:
    """Deletes what a run left that was killed between publishing its target and tidying up."""
    folder = part_folder(target)
    with suppress(TargetError, OSError), PartFolder(target, overwrite=True):
        _remove_files(folder)


@contextmanager
def disk_errors(target: Path, what: str = "write") -> Iterator[None]:
    """Turns an `OSError` into a `TargetError` of one line that names the target.

    Args:
        target: The target.
        what: What cannot be done with it.
    """
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise TargetError(f"cannot {what} {target}: {reason}") from error


def _remove_files(folder: Path) -> None:
    for path in [*sorted(folder.glob(f"*{_SUFFIX}")), folder / JOURNAL_NAME]:
        path.unlink(missing_ok=True)
