"""The hidden folder beside a target in which the target is written until it is complete.

A target's path goes in; a folder that one process at a time may use comes out. The file in it takes
the target's place in one step, or not at all. What an unfinished conversion keeps in the folder
between runs is left out; it is in `toonvid.resume.work_folder`.

The lock is our own code and not the filelock package: CONTRIBUTING.md says why.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import sys
import time
from contextlib import suppress
from pathlib import Path

from toonvid.errors import TargetError
from toonvid.files import move_into_place, sync_folder

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_LOCK = "lock"
_MAX_NAME_BYTES = 255  # in most file systems
_NO_LINKS = getattr(os, "O_NOFOLLOW", 0)
_LOCK_FLAGS = os.O_CREAT | os.O_RDWR | _NO_LINKS
_MAX_PROCESS_ID_DIGITS = 20
_OTHERS = 0o077  # permissions of everybody but the owner
_LOCKED_BYTE = 2**30  # on Windows: far behind the process id, which must stay readable
_WAIT_SECONDS = 1.0  # a lock that is only looked at, or about to be released, is free by then
_RETRY_SECONDS = 0.02


class PartFolder:
    """`.movie.toon.mp4.part/` beside `movie.toon.mp4`: made on entry, removed on exit.

    A context manager. Two runs cannot use the folder at the same time; a folder that a killed run
    left behind is taken over. Files in it other than the unfinished target and the lock are kept,
    and the folder with them.
    """

    def __init__(self, target: Path, overwrite: bool = False) -> None:
        """Remembers what is to be written; nothing is touched before entry.

        Args:
            target: The file that is to be written.
            overwrite: Whether it may replace a file that is there.
        """
        self.target = target.absolute()
        self.overwrite = overwrite
        self.folder = part_folder(self.target)
        self._lock: int | None = None

    @property
    def file(self) -> Path:
        """Path of the unfinished target. Nothing of the target's name but the suffix is in it, so
        that no character of the name can disturb FFmpeg."""
        return self.folder / f"target{self.target.suffix.lower()}"

    def __enter__(self) -> PartFolder:
        if self.target.is_dir():
            raise TargetError(f"{self.target} is a folder")
        self._refuse_existing_target()
        try:
            self.target.parent.mkdir(parents=True, exist_ok=True)
            self._lock = self._take_lock()
            self.file.unlink(missing_ok=True)
        except OSError as error:
            raise TargetError(f"cannot write {self.target}: {error.strerror}") from error
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self.file.unlink(missing_ok=True)
        if self._lock is not None:
            self._release_lock(self._lock)
        with suppress(OSError):  # files that are not ours keep the folder
            self.folder.rmdir()

    def publish(self) -> None:
        """Moves the complete file to the target's place, safe on disk when this returns.

        Raises:
            TargetError: The disk fails, or a file has come to the target's place meanwhile.
        """
        self._refuse_existing_target()
        try:
            move_into_place(self.file, self.target)
        except OSError as error:
            raise TargetError(f"cannot write {self.target}: {error.strerror}") from error

    def clear(self) -> None:
        """Removes all files but the lock, for callers that keep no files between runs."""
        for path in self.folder.iterdir():
            if path.name != _LOCK:
                path.unlink(missing_ok=True)

    def _refuse_existing_target(self) -> None:
        if os.path.lexists(self.target) and not self.overwrite:
            raise TargetError(f"{self.target} is there already (--overwrite replaces it)")

    def _take_lock(self) -> int:
        """Locks the folder. The system releases the lock when the process ends, however it ends.

        Returns:
            Descriptor of the lock file. The lock is held until it is closed.
        """
        give_up = time.monotonic() + _WAIT_SECONDS
        while True:
            try:
                self._make_folder()
                lock = os.open(self.folder / _LOCK, _LOCK_FLAGS, 0o600)
            except FileNotFoundError:  # the run before removed its folder between the two calls
                if time.monotonic() > give_up:
                    raise
                continue
            try:
                if _try_to_lock(lock, self.folder / _LOCK):
                    with suppress(OSError):  # on a full disk the lock holds without a process id
                        os.ftruncate(lock, 0)
                        os.write(lock, str(os.getpid()).encode())
                    return lock
            except BaseException:
                os.close(lock)
                raise
            os.close(lock)
            if time.monotonic() > give_up:
                owner = running_process(self.target)
                by = "" if owner is None else f" (process {owner})"
                raise TargetError(f"another toonvid is writing {self.target} now{by}")
            time.sleep(_RETRY_SECONDS)

    def _release_lock(self, lock: int) -> None:
        """Removes the lock file while it is held, for after that it may be the next run's."""
        path = self.folder / _LOCK
        if sys.platform != "win32":
            with suppress(OSError):
                path.unlink(missing_ok=True)
            os.close(lock)
        else:
            # Windows deletes no file that is open, so neither ours before it is closed, nor, after
            # that, the next run's.
            os.close(lock)
            with suppress(OSError):
                path.unlink(missing_ok=True)

    def _make_folder(self) -> None:
        """Makes the folder for the user alone: its name can be guessed, so that others could place
        links in it if they were allowed to write there."""
        is_new = not os.path.lexists(self.folder)
        self.folder.mkdir(mode=0o700, exist_ok=True)
        found = self.folder.lstat()
        if not self.folder.is_dir() or self.folder.is_symlink():
            raise TargetError(f"{self.folder} is in the way: it is not a folder; remove it")
        if sys.platform != "win32" and found.st_uid != os.geteuid():
            raise TargetError(f"{self.folder} belongs to somebody else: name another target")
        if is_new:
            sync_folder(self.folder.parent)
        elif stat.S_IMODE(found.st_mode) & _OTHERS:
            with suppress(OSError):  # some file systems have no permissions
                self.folder.chmod(0o700)


def part_folder(target: Path) -> Path:
    """Returns the folder in which a target is written until it is complete."""
    name = f".{target.name}.part"
    if len(os.fsencode(name)) > _MAX_NAME_BYTES:
        name = f".{hashlib.sha256(os.fsencode(target.name)).hexdigest()}.part"
    return target.absolute().with_name(name)


def running_process(target: Path) -> int | None:
    """Returns the id of the process that is writing a target now; None when none is.

    The lock is looked at without taking it from anybody, so that a run which starts at this moment
    is not refused.
    """
    try:
        lock = os.open(part_folder(target) / _LOCK, os.O_RDONLY | _NO_LINKS)
    except OSError:
        return None
    try:
        if _is_free(lock):
            return None
        written = os.read(lock, _MAX_PROCESS_ID_DIGITS)
        return int(written) if written.isdigit() else None
    finally:
        os.close(lock)


def _try_to_lock(lock: int, path: Path) -> bool:
    """Locks an open file if nobody has it, and if it is still the one at the path: the run before
    may have removed it after it was opened here."""
    try:
        _lock_file(lock, is_look=False)
        return os.fstat(lock).st_ino == path.stat().st_ino
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK):
            return False
        raise


def _is_free(lock: int) -> bool:
    """Whether nobody has locked an open file."""
    try:
        _lock_file(lock, is_look=True)
    except OSError:
        return False
    return True


def _lock_file(lock: int, is_look: bool) -> None:
    """Locks an open file at once or not at all.

    Args:
        lock: Descriptor; the lock is held until it is closed.
        is_look: Whether the lock is wanted only to see whether it can be had. It is then shared,
            or released at once, so that two that look do not take each other for an owner.

    Raises:
        OSError: Somebody has it.
    """
    if sys.platform == "win32":
        os.lseek(lock, _LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(lock, msvcrt.LK_NBLCK, 1)
        if is_look:
            msvcrt.locking(lock, msvcrt.LK_UNLCK, 1)
        os.lseek(lock, 0, os.SEEK_SET)
    else:
        # flock and not lockf: the latter's locks are lost when any descriptor of the file closes.
        fcntl.flock(lock, (fcntl.LOCK_SH if is_look else fcntl.LOCK_EX) | fcntl.LOCK_NB)
