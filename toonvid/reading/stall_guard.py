"""Stall guard: reads a source that may stop answering, with a time limit.

In: a pipe, or a file on a network mount. Out: a file object for PyAV that ends when the source
stalls. A blocking read of the operating system cannot be cancelled, so a daemon thread does it and
is abandoned on a timeout. Addresses are not read here: FFmpeg has timeouts for those.
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
"""Size of one read: the capacity of a pipe on Linux."""

T = TypeVar("T")

_STANDARD_INPUT = 0
_MOUNTS = Path("/proc/self/mountinfo")
# Prefixes of file systems that wait for another machine or program; `fuse` stands for many.
_REMOTE_FILE_SYSTEMS = (
    "nfs",
    "cifs",
    "smb",
    "9p",
    "afs",
    "ceph",
    "fuse",
    "glusterfs",
    "lustre",
    "davfs",
)
_LOCAL_FILE_SYSTEMS = {"fuseblk"}  # local disks (NTFS) behind FUSE
_POLL_SECONDS = 0.2  # Windows delivers Ctrl-C between two waits, not inside one


class StallGuardedFile:
    """A file object for PyAV (`read`, `seek`, `tell`, `close`) that ends when the source stalls.

    Once open it raises nothing, because PyAV drops exceptions from some of its callbacks: a file
    that is given up looks as if it had ended. One reader at a time; `interrupt` may be called on
    any thread.
    """

    def __init__(self, source: str, seconds: float) -> None:
        """Open a source. If it does not answer in time, `trouble` says so.

        Args:
            source: A path, or `-` for standard input.
            seconds: Seconds to wait for data; 0 waits without limit.

        Raises:
            OSError: The source cannot be opened.
        """
        self.name = "pipe:0" if source == PIPE else f"file:{source}"
        self.trouble: str | None = None
        """Why reading ended early; None when it did not."""
        self._pending: BaseException | None = None
        self._seconds = seconds
        self._is_given_up = False
        self._file: io.FileIO | None = None
        self._requests: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[object] = queue.SimpleQueue()
        # A daemon thread: Python could not exit while a read of a dead mount blocks.
        threading.Thread(target=self._run, name="source", daemon=True).start()
        opened = self._request(lambda: self._open(source))
        if isinstance(opened, OSError):
            self.close()
            raise opened
        self._can_seek = opened is True

    def read(self, size: int) -> bytes:
        """Return between 1 and `size` bytes; none at the end or after giving up."""
        assert self._file is not None or self._is_given_up
        found = self._request(lambda: self._file and self._file.read(size))
        if isinstance(found, OSError):
            self.trouble = (found.strerror or str(found)).lower()
            self._is_given_up = True
        return found if isinstance(found, bytes) else b""

    def seekable(self) -> bool:
        """Whether `seek` works: true for regular files."""
        return self._can_seek

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position and return it; -1 when that fails."""
        found = self._request(lambda: self._file and self._file.seek(offset, whence))
        return found if isinstance(found, int) else -1

    def tell(self) -> int:
        """Return the position that is read next."""
        return self.seek(0, io.SEEK_CUR)

    def interrupt(self) -> None:
        """Give the source up at once and wake the thread that waits for it. On any thread."""
        self._is_given_up = True
        self._answers.put(None)

    def close(self) -> None:
        """Close the file as soon as the pending read returns, which may be never."""
        self._is_given_up = True
        self._requests.put(None)

    def raise_pending(self) -> None:
        """Raise the exception, from a signal, that interrupted a read and that PyAV has dropped."""
        if self._pending is not None:
            raise self._pending

    def _request(self, work: Callable[[], object]) -> object:
        """Run `work` on the thread and return its result or `OSError`; None after giving up."""
        if self._is_given_up:
            return None
        self._requests.put(work)
        try:
            return _wait(self._answers, self._seconds)
        except TimeoutError as error:
            self.trouble = str(error)
        except BaseException as error:
            self._pending = error  # usually KeyboardInterrupt
        self._is_given_up = True
        return None

    def _open(self, source: str) -> bool:
        """Open the file and return whether it can seek."""
        if source == PIPE:
            self._file = io.FileIO(_STANDARD_INPUT, "r", closefd=False)
            return False
        self._file = io.FileIO(source, "r")
        return self._file.seekable()

    def _run(self) -> None:
        while (work := self._requests.get()) is not None:
            try:
                self._answers.put(work())
            except OSError as error:
                self._answers.put(error)
        if self._file is not None:
            self._file.close()


def run_with_timeout(work: Callable[[], T], seconds: float) -> T:
    """Run a file system operation on a thread that is abandoned when it takes too long.

    Args:
        work: The operation.
        seconds: Seconds to wait for it; 0 waits without limit.

    Raises:
        TimeoutError: It took longer.
        Exception: Whatever `work` raises.
    """
    answers: queue.SimpleQueue[T | Exception] = queue.SimpleQueue()

    def answer() -> None:
        try:
            answers.put(work())
        except Exception as error:
            answers.put(error)

    threading.Thread(target=answer, name="source", daemon=True).start()
    found = _wait(answers, seconds)
    if isinstance(found, Exception):
        raise found
    return found


def _wait(answers: queue.SimpleQueue[T], seconds: float) -> T:
    until = time.monotonic() + seconds
    while not seconds or time.monotonic() < until:
        with suppress(queue.Empty):
            return answers.get(timeout=_POLL_SECONDS)
    raise TimeoutError(timeout_message(seconds))


def timeout_message(seconds: float) -> str:
    """Return the reason for giving a source up, for messages."""
    return f"no data for {seconds:g} seconds (--stall-seconds)"


def may_stall(path: Path) -> bool:
    """Whether reading a file may block without end: it is a pipe, or on a network mount.

    Mounts are only examined on Linux; elsewhere every regular file is taken to be local.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        return True
    return sys.platform == "linux" and _is_remote(_file_system(path.resolve()))


def _is_remote(kind: str) -> bool:
    return kind.startswith(_REMOTE_FILE_SYSTEMS) and kind not in _LOCAL_FILE_SYSTEMS


def _file_system(path: Path) -> str:
    """Return the type of the file system that holds a path; empty when unknown."""
    try:
        lines = _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return ""
    depth, kind = 0, ""
    for line in lines:  # a later mount hides an earlier one at the same place
        before, _, behind = line.partition(" - ")
        place = Path(before.split()[4].replace(r"\040", " "))
        if path.is_relative_to(place) and len(place.parts) >= depth:
            depth, kind = len(place.parts), behind.split()[0]
    return kind
