"""The folder beside a target in which it is written until it is whole."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from types import TracebackType

from toonvid.errors import TargetError

if sys.platform != "win32":
    import fcntl


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
        self.folder = self.target.with_name(f".{self.target.name}.part")
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
        shutil.rmtree(self.folder, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)
        shutil.rmtree(self.folder, ignore_errors=True)  # Windows keeps a file that was open

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
        if self.target.exists() and not self.overwrite:
            raise TargetError(f"{self.target} is there already (--overwrite replaces it)")

    def _take_lock(self) -> int:
        """Hold the folder; the system lets go of it when the process ends, however it ends."""
        lock = os.open(self.folder / "lock", os.O_CREAT | os.O_RDWR, 0o600)
        if sys.platform != "win32":
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                os.close(lock)
                raise TargetError(f"another toonvid is writing {self.target} now") from error
        return lock


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
