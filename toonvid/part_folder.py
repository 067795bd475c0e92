"""The folder beside a target in which it is written until it is whole."""

from __future__ import annotations

import hashlib
import os
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from toonvid.errors import TargetError

if sys.platform != "win32":
    import fcntl

_LOCK = "lock"
_LONGEST_NAME = 255  # bytes, in most file systems


class PartFolder:
    """`.movie.toon.mp4.part/` beside `movie.toon.mp4`: made on entry, gone on exit.

    The target appears in its place by one `os.replace`, or not at all. Two runs cannot share the
    folder; one that a dead run left behind is taken over.
    """

    def __init__(self, target: Path, overwrite: bool = False) -> None:
        """Remember what to write.

        Args:
            target: The file that is to be.
            overwrite: Whether it may replace one that is there.
        """
        self.target = target.absolute()
        self.overwrite = overwrite
        self.folder = self.target.with_name(_folder_name(self.target.name))
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
            self.folder.mkdir(exist_ok=True)
            self._lock = self._take_lock()
            self.file.unlink(missing_ok=True)
        except OSError as error:
            raise TargetError(f"cannot write {self.target}: {error.strerror}") from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
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
            self.file.replace(self.target)
            if sys.platform != "win32":
                _sync(self.target.parent, os.O_RDONLY)
        except OSError as error:
            raise TargetError(f"cannot write {self.target}: {error.strerror}") from error

    def _refuse_existing(self) -> None:
        if os.path.lexists(self.target) and not self.overwrite:
            raise TargetError(f"{self.target} is there already (--overwrite replaces it)")

    def _take_lock(self) -> int:
        """Hold the folder; the system lets go of it when the process ends, however it ends."""
        lock = os.open(self.folder / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
        if sys.platform != "win32":
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                os.close(lock)
                raise TargetError(f"another toonvid is writing {self.target} now") from error
        return lock


def _folder_name(target_name: str) -> str:
    name = f".{target_name}.part"
    if len(os.fsencode(name)) > _LONGEST_NAME:
        name = f".{hashlib.sha256(os.fsencode(target_name)).hexdigest()}.part"
    return name


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
