"""A cache folder of files that nobody but this user can have written.

In: names and bytes. Out: the bytes again, as long as neither the folder nor the file can be written
to by others. What the bytes mean, and whether they are whole, is left to the caches of plans
(`toonvid.backends.tensorrt.plan_cache`) and compiled models (`toonvid.backends.openvino_cache`).
"""

from __future__ import annotations

import logging
import os
import stat
import sys
from pathlib import Path

from toonvid.files import write_atomically

logger = logging.getLogger(__name__)

_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH
_BINARY = getattr(os, "O_BINARY", 0)  # without it, Windows would translate line ends
_NO_LINKS = getattr(os, "O_NOFOLLOW", 0)
_NOT_BLOCKING = getattr(os, "O_NONBLOCK", 0)


class PrivateFolder:
    """A folder of cached files. Where it cannot be created it has no files and takes none."""

    def __init__(self, path: Path) -> None:
        """Create the folder if it is missing.

        Args:
            path: The folder.
        """
        self.path = path
        self.is_private = True
        """Whether this user owns the folder and nobody else can write to it."""
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.is_private = _is_private(path.stat())
        except OSError as error:
            # Without a cache every start takes as long as the first, but it works.
            logger.warning("cannot keep files in %s: %s", path, error.strerror)

    def read(self, path: Path) -> bytes | None:
        """Read a file of the folder that only this user can write; None for any other file."""
        try:
            # O_NOFOLLOW: a symbolic link may lead to a file of somebody else. The permissions are
            # read from the open file, so that it cannot be exchanged in between. O_NONBLOCK: a pipe
            # would wait for its other end.
            file = os.open(path, os.O_RDONLY | _NO_LINKS | _NOT_BLOCKING | _BINARY)
        except OSError:
            return None
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode) or not _is_private(status):
            os.close(file)
            is_file = stat.S_ISREG(status.st_mode)
            reason = "others can write to it" if is_file else "it is not a file"
            logger.warning("%s is skipped: %s", path, reason)
            return None
        with os.fdopen(file, "rb") as opened:
            return opened.read()

    def write(self, name: str, content: bytes) -> Path | None:
        """Write a file. Returns its path; None, after a warning, if it cannot be written."""
        path = self.path / name
        try:
            write_atomically(path, content, mode=0o600)  # else `read` would skip it
        except OSError as error:
            logger.warning("cannot keep %s: %s", path, error.strerror)
            return None
        return path


def _is_private(status: os.stat_result) -> bool:
    """Whether this user owns a file, and nobody else can write to it."""
    if sys.platform == "win32":  # other users have no access to a profile folder
        return True
    return status.st_uid == os.geteuid() and not status.st_mode & _OTHERS_MAY_WRITE
