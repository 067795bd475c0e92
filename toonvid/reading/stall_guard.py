"""Patient file: a source that may fall silent, read so that nobody waits for it for ever.

Pipes, and files on network mounts. FFmpeg's own reading of them cannot be given up, so a thread
does it that can be left behind. Addresses are not read here: FFmpeg gives those up by itself.
"""

from __future__ import annotations

import io
import queue
import stat
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from toonvid.video import PIPE

BUFFER_BYTES = 65536
"""How much to ask for at once: what a pipe holds on Linux."""

T = TypeVar("T")

_STANDARD_INPUT = 0
_MOUNTS = Path("/proc/self/mountinfo")
# File systems that wait for a machine or a program that may be gone; `fuse` stands for many.
_DISTANT = ("nfs", "cifs", "smb", "9p", "afs", "ceph", "fuse", "glusterfs", "lustre", "davfs")
_AT_HAND = {"fuseblk"}
_TICK_SECONDS = 0.2  # Windows hands a Ctrl-C on between two waits, not inside of one


class StallGuardedFile:
    """What PyAV takes for a file: `read`, `seek`, `tell`, `close`. It raises nothing once it is
    open, for PyAV would lose that in places: a file given up has come to its end.

    One reader at a time; `interrupt` may be called on any thread.
    """

    def __init__(self, source: str, seconds: float) -> None:
        """Open a source; `trouble` tells when it does not answer.

        Args:
            source: A path, or `-` for standard input.
            seconds: How long it may stay silent; 0: as long as it likes.

        Raises:
            OSError: It cannot be opened.
        """
        self.name = "pipe:0" if source == PIPE else f"file:{source}"
        self.trouble: str | None = None
        """Why there is no more of it than was read; None while all is well."""
        self._ended: BaseException | None = None
        self._seconds = seconds
        self._is_given_up = False
        self._file: io.FileIO | None = None
        self._asked: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[object] = queue.SimpleQueue()
        threading.Thread(target=self._run, name="source", daemon=True).start()
        opened = self._ask(lambda: self._open(source))
        if isinstance(opened, OSError):
            self.close()
            raise opened
        self._can_seek = opened is True

    def read(self, size: int) -> bytes:
        """At least one byte and no more than `size`; none at the end."""
        assert self._file is not None or self._is_given_up
        found = self._ask(lambda: self._file and self._file.read(size))
        if isinstance(found, OSError):
            self.trouble = (found.strerror or str(found)).lower()
            self._is_given_up = True
        return found if isinstance(found, bytes) else b""

    def seekable(self) -> bool:
        """Whether it is a file proper."""
        return self._can_seek

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place; -1 where there is none such."""
        found = self._ask(lambda: self._file and self._file.seek(offset, whence))
        return found if isinstance(found, int) else -1

    def tell(self) -> int:
        """The place that is read next."""
        return self.seek(0, io.SEEK_CUR)

    def interrupt(self) -> None:
        """Give it up at once; whoever waits for it waits no longer."""
        self._is_given_up = True
        self._answers.put(None)

    def close(self) -> None:
        """Close it as soon as it answers, if ever."""
        self._is_given_up = True
        self._asked.put(None)

    def raise_ended(self) -> None:
        """Raise what a signal raised while the file was waited for: PyAV would have lost it."""
        if self._ended is not None:
            raise self._ended

    def _ask(self, work: Callable[[], object]) -> object:
        """What the thread found, or the `OSError` that it met; None when the file is given up."""
        if self._is_given_up:
            return None
        self._asked.put(work)
        try:
            return _waited(self._answers, self._seconds)
        except TimeoutError as error:
            self.trouble = str(error)
        except BaseException as error:
            self._ended = error
        self._is_given_up = True
        return None

    def _open(self, source: str) -> bool:
        """Open it; whether one can seek in it."""
        if source == PIPE:
            self._file = io.FileIO(_STANDARD_INPUT, "r", closefd=False)
            return False
        self._file = io.FileIO(source, "r")
        return self._file.seekable()

    def _run(self) -> None:
        while (work := self._asked.get()) is not None:
            try:
                self._answers.put(work())
            except OSError as error:
                self._answers.put(error)
        if self._file is not None:
            self._file.close()


def patiently(work: Callable[[], T], seconds: float) -> T:
    """Ask a file system something, on a thread that can be left behind.

    Args:
        work: Asks it.
        seconds: How long that may take; 0: as long as it likes.

    Raises:
        TimeoutError: It took longer.
        Exception: As `work`.
    """
    answers: queue.SimpleQueue[T | Exception] = queue.SimpleQueue()

    def answer() -> None:
        try:
            answers.put(work())
        except Exception as error:
            answers.put(error)

    threading.Thread(target=answer, name="source", daemon=True).start()
    found = _waited(answers, seconds)
    if isinstance(found, Exception):
        raise found
    return found


def _waited(answers: queue.SimpleQueue[T], seconds: float) -> T:
    until = time.monotonic() + seconds
    while not seconds or time.monotonic() < until:
        with suppress(queue.Empty):
            return answers.get(timeout=_TICK_SECONDS)
    raise TimeoutError(silence(seconds))


def silence(seconds: float) -> str:
    """What to say of a source that was given up."""
    return f"it said nothing for {seconds:g} seconds (--stall-seconds)"


def may_stall(path: Path) -> bool:
    """Whether a file may fall silent: it is a pipe, or lies where another machine has to answer.

    Where a file lies is known on Linux alone; elsewhere it is taken to be at hand.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        return True
    return sys.platform == "linux" and _is_distant(_file_system(path.resolve()))


def _is_distant(kind: str) -> bool:
    return kind.startswith(_DISTANT) and kind not in _AT_HAND


def _file_system(path: Path) -> str:
    """The kind of file system that a path lies on; empty when that is not known."""
    try:
        lines = _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return ""
    depth, kind = 0, ""
    for line in lines:  # a later mount lies above an earlier one at the same place
        before, _, behind = line.partition(" - ")
        place = Path(before.split()[4].replace(r"\040", " "))
        if path.is_relative_to(place) and len(place.parts) >= depth:
            depth, kind = len(place.parts), behind.split()[0]
    return kind
