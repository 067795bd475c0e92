"""The folder beside a target in which it is written until it is whole.

What an unfinished conversion keeps in it from run to run is `toonvid.resume.segmented`'s.
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

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_LOCK = "lock"
_LONGEST_NAME = 255  # bytes, in most file systems
_NO_LINKS = getattr(os, "O_NOFOLLOW", 0)
_LOCK_FLAGS = os.O_CREAT | os.O_RDWR | _NO_LINKS
_LONGEST_ID = 20  # digits
_OTHERS = 0o077  # rights of everybody but the owner
_LOCKED_BYTE = 2**30  # on Windows: far behind the process id, which all may read
_PATIENCE_SECONDS = 1.0  # a lock that is looked at, or about to be let go of, is free by then


class PartFolder:
    """`.movie.toon.mp4.part/` beside `movie.toon.mp4`: made on entry, gone on exit.

    The target appears in its place by one `os.replace`, or not at all. Two runs cannot share the
    folder; one that a dead run left behind is taken over. Files in it that are not the unfinished
    target or the lock stay, and the folder with them.
    """

    def __init__(self, target: Path, overwrite: bool = False) -> None:
        """Remember what to write.

        Args:
            target: The file that is to be.
            overwrite: Whether it may replace one that is there.
        """
        self.target = target.absolute()
        self.overwrite = overwrite
        self.folder = part_folder(self.target)
        self._lock: int | None = None

    @property
    def file(self) -> Path:
        """Where the unfinished target is written; its name holds nothing of the user's."""
        return self.folder / f"target{self.target.suffix.lower()}"

    def __enter__(self) -> PartFolder:
        if self.target.is_dir():
            raise TargetError(f"{self.target} is a folder")
        self._refuse_existing()
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
        if sys.platform != "win32":  # Windows keeps a file that is open
            (self.folder / _LOCK).unlink(missing_ok=True)
        if self._lock is not None:
            os.close(self._lock)
        with suppress(OSError):  # a folder with files that are not ours stays
            (self.folder / _LOCK).unlink(missing_ok=True)
            self.folder.rmdir()

    def publish(self) -> None:
        """Put the finished file in the target's place, safe on disk.

        Raises:
            TargetError: The disk refuses it, or a target has come to be there meanwhile.
        """
        self._refuse_existing()
        try:
            _sync(self.file, os.O_RDWR)
            self._move()
            sync_folder(self.target.parent)
        except OSError as error:
            raise TargetError(f"cannot write {self.target}: {error.strerror}") from error

    def _move(self) -> None:
        written = self.file.stat()
        try:
            self.file.replace(self.target)
        except FileNotFoundError:
            # A file server that is asked twice, because its answer was lost, says so the second
            # time; what counts is where the file is.
            if not os.path.samestat(written, self.target.stat()):
                raise

    def _refuse_existing(self) -> None:
        if os.path.lexists(self.target) and not self.overwrite:
            raise TargetError(f"{self.target} is there already (--overwrite replaces it)")

    def _take_lock(self) -> int:
        """Hold the folder; the system lets go of it when the process ends, however it ends."""
        for_good = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                self._make_folder()
                lock = os.open(self.folder / _LOCK, _LOCK_FLAGS, 0o600)
            except FileNotFoundError:  # the run before has just taken its folder away
                if time.monotonic() > for_good:
                    raise
                continue
            try:
                if _is_held(lock, self.folder / _LOCK):
                    with suppress(OSError):  # on a full disk the lock holds without a name on it
                        os.ftruncate(lock, 0)
                        os.write(lock, str(os.getpid()).encode())
                    return lock
            except BaseException:
                os.close(lock)
                raise
            os.close(lock)
            if time.monotonic() > for_good:
                owner = running_process(self.target)
                by = "" if owner is None else f" (process {owner})"
                raise TargetError(f"another toonvid is writing {self.target} now{by}")
            time.sleep(0.02)

    def _make_folder(self) -> None:
        """Nobody else may write in it: a name that can be guessed is then no way in."""
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
            with suppress(OSError):  # some file systems know no rights
                self.folder.chmod(0o700)


def part_folder(target: Path) -> Path:
    """Where a target is written until it is whole."""
    return target.absolute().with_name(_folder_name(target.name))


def running_process(target: Path) -> int | None:
    """The id of the process that is writing a target now; None when none is."""
    try:
        lock = os.open(part_folder(target) / _LOCK, os.O_RDONLY | _NO_LINKS)
    except OSError:
        return None
    try:
        if _can_be_had(lock):
            return None
        written = os.read(lock, _LONGEST_ID)
        return int(written) if written.isdigit() else None
    finally:
        os.close(lock)


def _can_be_had(lock: int) -> bool:
    """Whether nobody holds the lock."""
    try:
        _hold(lock, for_good=False)
    except OSError:
        return False
    return True


def _is_held(lock: int, path: Path) -> bool:
    """Whether the lock is ours now, and still the one that others look at."""
    try:
        _hold(lock, for_good=True)
        return os.fstat(lock).st_ino == path.stat().st_ino
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK):
            return False
        raise


def _hold(lock: int, for_good: bool) -> None:
    """Take the lock at once or not at all, until the file is closed; else only look.

    Raises:
        OSError: Somebody has it.
    """
    if sys.platform == "win32":
        os.lseek(lock, _LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(lock, msvcrt.LK_NBLCK, 1)
        if not for_good:
            msvcrt.locking(lock, msvcrt.LK_UNLCK, 1)
        os.lseek(lock, 0, os.SEEK_SET)
    else:
        fcntl.flock(lock, (fcntl.LOCK_EX if for_good else fcntl.LOCK_SH) | fcntl.LOCK_NB)


def _folder_name(target_name: str) -> str:
    name = f".{target_name}.part"
    if len(os.fsencode(name)) > _LONGEST_NAME:
        name = f".{hashlib.sha256(os.fsencode(target_name)).hexdigest()}.part"
    return name


def sync_folder(folder: Path) -> None:
    """Wait until a folder's list of names is safe on disk. Windows sees to that by itself."""
    if sys.platform != "win32":
        _sync(folder, os.O_RDONLY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
