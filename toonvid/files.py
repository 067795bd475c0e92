"""Files that are on disk whole or not at all.

Bytes, or a file that was written elsewhere, go in; a file in its place comes out, safe against a
crash and a power cut. Errors are `OSError`: callers turn them into their own, with a word on what
could not be written.
"""

from __future__ import annotations

import errno
import os
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path

_BINARY = getattr(os, "O_BINARY", 0)  # Windows would change line ends without it


def write_atomically(path: Path, content: bytes, mode: int = 0o666) -> None:
    """Writes a file so that readers find the old content or the new one, never a part.

    Args:
        path: Where the file is to be. Its folder must exist; a file that is there is replaced.
        content: All of the file.
        mode: Permissions of the file, less the process's umask.

    Raises:
        OSError: The disk is full or fails, or the folder cannot be written. Nothing was changed.
    """
    # Two threads, or two processes, may write the same file at the same time: the last one wins.
    written = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        written.unlink(missing_ok=True)  # left by a process of this number that was killed
        # Exclusively: a link that somebody put there would lead to another file.
        descriptor = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        move_into_place(written, path)
    except OSError:
        written.unlink(missing_ok=True)
        raise


def write_together(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Writes files of one folder that belong together: all are on disk before the first is moved.

    Args:
        folder: Must exist; files of these names are replaced.
        contents: File name -> content. Files are moved to their places in this order.

    Raises:
        OSError: The disk is full or fails, or the folder cannot be written. Unless it is the moving
            that fails, nothing was changed.
    """
    with tempfile.TemporaryDirectory(dir=folder, prefix=".part-") as scratch:
        written = {name: Path(scratch) / name for name in contents}
        for name, path in written.items():
            write_atomically(path, contents[name])
            if (folder / name).is_dir():
                raise IsADirectoryError(errno.EISDIR, f"{name} is a folder", str(folder / name))
        for name, path in written.items():
            move_into_place(path, folder / name)


def move_into_place(written: Path, target: Path) -> None:
    """Moves a finished file to its place, safe on disk when this returns.

    Args:
        written: A closed file on the same file system as the target.
        target: Where it is to be. A file that is there is replaced.

    Raises:
        OSError: The disk fails, or the file cannot be moved.
    """
    _sync(written, os.O_RDWR)
    status = written.stat()
    try:
        written.replace(target)
    except FileNotFoundError:
        # An NFS client that lost the server's answer asks again, and is told that the file is
        # gone. The first time it worked if the file is in its place.
        if not os.path.samestat(status, target.stat()):
            raise
    sync_folder(target.parent)


def is_same_file(target: Path, source: str | Path) -> bool:
    """Whether a target is its own source. False where one of them is no file, or an address."""
    try:
        return target.samefile(source)
    except OSError:
        return False


def sync_folder(folder: Path) -> None:
    """Waits until the names in a folder are safe on disk.

    Windows has no such call: NTFS writes names to its own journal.
    """
    if sys.platform != "win32":
        _sync(folder, os.O_RDONLY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
