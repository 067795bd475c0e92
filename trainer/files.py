"""Files and folders of the trainer: errors of the disk become a `TrainingError` of one line.

The writing itself is `toonvid.files`.
"""

from __future__ import annotations

import os
from pathlib import Path

from toonvid import files
from toonvid.errors import TrainingError


def make_folder(folder: Path) -> None:
    """Makes a folder, and checks that files can be written in it.

    Raises:
        TrainingError: The folder cannot be made, or not be written.
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
