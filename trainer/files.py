"""Files that are there whole or not at all, and folders that can be written."""

from __future__ import annotations

import os
from pathlib import Path

from toonvid import files
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
    """Writes a file by `toonvid.files.write_atomically`.

    Raises:
        TrainingError: The disk is full, or the folder cannot be written. Nothing was changed.
    """
    try:
        files.write_atomically(path, content)
    except OSError as error:
        raise TrainingError(f"cannot write {path}: {error.strerror}") from error
