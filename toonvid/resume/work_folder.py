"""What is finished of a conversion: its segments and its journal, in the folder beside the target.

Nothing in it is ever deleted but when the target is in its place, when nothing is finished, or when
the user asks to begin anew.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from toonvid.engine import file_sha256
from toonvid.errors import TargetError, UnlikeJobError
from toonvid.resume.fingerprint import Job
from toonvid.resume.journal import Journal, JournalEntry, read_journal
from toonvid.resume.journal_entries import FinishedSegment, SourceEnd
from toonvid.resume.segment_file import Segment
from toonvid.video import Frame
from toonvid.writing.part_folder import PartFolder, part_folder, running_process, sync_folder

_JOURNAL = "journal"
_SUFFIX = ".segment"
_LEAST_FREE = 2**20  # bytes that a disk must have left before anything is begun on it
_MEGABYTE = 10**6


@dataclass(frozen=True)
class JobState:
    """How far a conversion that is not finished has come."""

    job: Job
    segments: int
    frames: int
    finished_seconds: float
    """How much of the film is finished."""
    awaits_join: bool
    """Whether all segments are there, and only the join is missing."""
    process_id: int | None
    """Who is at work on it now; None when nobody is."""


class WorkFolder:
    """Keeps what is finished of one job. A context manager: nothing finished, nothing kept."""

    def __init__(self, target: Path, job: Job, restart: bool) -> None:
        """Read what an earlier run has left. The target's folder must be held.

        Raises:
            UnlikeJobError: It is of another job.
            TargetError: The disk refuses it.
        """
        self.target = target
        self.folder = part_folder(target)
        with disk_errors(target):
            if restart:
                self.remove()
            self._refuse_unlike(job)
            self._journal = Journal(self.folder / _JOURNAL)
            if not self._journal.entries:
                self._journal.add({"job": asdict(job)})
            self.done = self._checked()
            """Number -> segment; there may be gaps where files went missing."""

    def __enter__(self) -> WorkFolder:
        return self

    def __exit__(self, *_: object) -> None:
        if not self.done:
            with suppress(OSError):
                self.remove()

    @property
    def whole(self) -> SourceEnd | None:
        """What the source's end has told; None when it was not reached, or segments are missing."""
        for entry in self._journal.entries:
            if "whole" in entry:
                whole = SourceEnd(**entry["whole"])  # type: ignore[arg-type]
                return whole if len(self.done) == whole.segments else None
        return None

    @property
    def first_missing(self) -> int:
        return next(n for n in range(len(self.done) + 1) if n not in self.done)

    @property
    def size(self) -> int:
        """Of all segments, in bytes."""
        return sum(finished.segment.size for finished in self.done.values())

    @property
    def frames(self) -> int:
        return sum(finished.segment.frames for finished in self.done.values())

    @property
    def film_seconds(self) -> float:
        """How much of the film is finished."""
        return max((finished.film_seconds for finished in self.done.values()), default=0.0)

    @property
    def like(self) -> Frame | None:
        """A frame of the kind that all segments are encoded for; None before the first."""
        return next((finished.first for finished in self.done.values()), None)

    def path(self, number: int) -> Path:
        """Where a segment lies."""
        return self.folder / f"{number:06}{_SUFFIX}"

    def add(self, finished: FinishedSegment) -> None:
        """Keep one more segment; its file is safe on disk already."""
        with disk_errors(self.target):
            sync_folder(self.folder)  # its name must be as safe as what the journal says of it
            self._journal.add({"finished": asdict(finished)})
        self.done[finished.number] = finished

    def end(self, notices: tuple[str, ...], damage: str | None) -> None:
        """Note that the source was read to its end."""
        whole = SourceEnd(len(self.done), self.frames, self.film_seconds, list(notices), damage)
        with disk_errors(self.target):
            self._journal.add({"whole": asdict(whole)})

    def remove(self) -> None:
        """Delete segments and journal, the journal last."""
        _remove(self.folder)

    def missing_bytes(self, film_seconds: float | None) -> int:
        """How much room the disk lacks for the rest, judged by what is finished.

        Args:
            film_seconds: Of the whole film; None when not known, and then nothing is missing.
        """
        if not film_seconds or not self.film_seconds:
            return 0
        return max(0, self._needed_bytes(film_seconds) - self._free_bytes())

    def refuse_small_disk(self, film_seconds: float | None, least_bytes: int) -> None:
        """Stop before anything is done, while somebody is there to make room.

        Args:
            film_seconds: Of the whole film; None when not known.
            least_bytes: That the target takes: the forecast while nothing is finished.

        Raises:
            TargetError: The film does not fit, even if it turns out half as large as expected.
        """
        needed = 2 * least_bytes  # its segments, and the target that they are joined to
        if film_seconds and self.film_seconds:
            needed = self._needed_bytes(film_seconds) // 2
        free = self._free_bytes()
        if free < needed:
            raise TargetError(
                f"cannot write {self.target}: its disk has {free / _MEGABYTE:.0f} MB left, and the"
                f" film needs at least {needed / _MEGABYTE:.0f} MB more; make room first"
            )

    def refuse_full_disk(self, needed: int = 0) -> None:
        """Stop while there is still room to stop in.

        Args:
            needed: For what comes next, in bytes; at least as much as the largest segment so far.

        Raises:
            TargetError: There is less room.
        """
        sizes = [finished.segment.size for finished in self.done.values()]
        needed = max([needed, _LEAST_FREE, *sizes])
        free = self._free_bytes()
        if free < needed:
            raise TargetError(
                f"cannot write {self.target}: its disk has {free / _MEGABYTE:.0f} MB left, and"
                f" {needed / _MEGABYTE:.0f} are needed to go on; make room first"
            )

    def _needed_bytes(self, film_seconds: float) -> int:
        """Room for the segments that are missing, and for the film that all are joined to."""
        whole = int(self.size * max(1.0, film_seconds / self.film_seconds))
        return 2 * whole - self.size

    def _free_bytes(self) -> int:
        with disk_errors(self.target):
            return shutil.disk_usage(self.folder).free

    def _refuse_unlike(self, job: Job) -> None:
        entries = read_journal(self.folder / _JOURNAL)
        if not any(self.folder.glob(f"*{_SUFFIX}")):
            self.remove()  # begun, and nothing finished
        elif (begun := _job(entries)) is None:
            raise UnlikeJobError(
                f"the journal in {self.folder} cannot be read; --restart begins anew"
            )
        elif difference := begun.difference(job):
            raise UnlikeJobError(
                f"{self.target} was begun otherwise: {difference}. Go on as it was begun, or begin"
                " anew with --restart; nothing was deleted"
            )

    def _checked(self) -> dict[int, FinishedSegment]:
        """The segments whose files are as they were written."""
        done = {finished.number: finished for finished in _finished(self._journal.entries)}
        return {n: finished for n, finished in done.items() if self._is_good(finished.segment)}

    def _is_good(self, segment: Segment) -> bool:
        path = self.folder / segment.name
        return path.is_file() and file_sha256(path) == segment.sha256


def job_state(target: Path) -> JobState | None:
    """How far the conversion to a target has come; None when nothing of it is kept."""
    entries = read_journal(part_folder(target) / _JOURNAL)
    job = _job(entries)
    if job is None:
        return None
    done = {finished.number: finished for finished in _finished(entries)}
    return JobState(
        job=job,
        segments=len(done),
        frames=sum(finished.segment.frames for finished in done.values()),
        finished_seconds=max((finished.film_seconds for finished in done.values()), default=0.0),
        awaits_join="whole" in entries[-1],
        process_id=running_process(target),
    )


def remove_leftovers(target: Path) -> None:
    """Delete what is left of a conversion whose target is in its place: a run that ended between
    the two.
    """
    folder = part_folder(target)
    with suppress(TargetError, OSError), PartFolder(target, overwrite=True):
        _remove(folder)


@contextmanager
def disk_errors(target: Path) -> Iterator[None]:
    """Turn what the disk says into one line."""
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise TargetError(f"cannot write {target}: {reason}") from error


def _remove(folder: Path) -> None:
    for path in [*sorted(folder.glob(f"*{_SUFFIX}")), folder / _JOURNAL]:
        path.unlink(missing_ok=True)


def _job(entries: list[JournalEntry]) -> Job | None:
    """The job that a journal begins with; None where it is damaged, or another version's."""
    try:
        job = Job(**entries[0]["job"])  # type: ignore[arg-type]
        list(_finished(entries))
    except (IndexError, KeyError, TypeError, ValueError):
        return None
    return job


def _finished(entries: list[JournalEntry]) -> Iterator[FinishedSegment]:
    for entry in entries:
        if "finished" in entry:
            yield FinishedSegment.from_entry(entry["finished"])  # type: ignore[arg-type]
