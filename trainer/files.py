"""Files that are there whole or not at all, and folders that can be written."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from toonvid.errors import TrainingError


def make_folder(folder: Path) -> None:
    """Make a folder that can be written to.

    Raises:
        TrainingError: It cannot.
    """
    probe = folder / f".probe-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise TrainingError(f"cannot write to {folder}: {error.strerror}") from error


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file beside its place and move it in when it is safe on the disk.

    Raises:
        TrainingError: The disk is full, or the folder cannot be written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise TrainingError(f"cannot write {path}: {error.strerror}") from error
