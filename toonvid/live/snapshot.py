"""Snapshots: a picture of the moment, as a file of its own name in the present folder."""

from __future__ import annotations

import time
from itertools import count
from pathlib import Path

from toonvid.video import Pixels
from toonvid.writing.contact_sheet import write_image


def save_snapshot(pixels: Pixels) -> Path:
    """Write a picture, (H, W, 3), beside those that are there.

    Raises:
        TargetError: It cannot be written.
    """
    path = free_path(Path(f"{dated_stem()}.png"))
    write_image(path, pixels)
    return path


def dated_stem() -> str:
    """A name that says when: toonvid-2026-01-31-123456."""
    return time.strftime("toonvid-%Y-%m-%d-%H%M%S")


def free_path(path: Path) -> Path:
    """The path, or the next one with a number that nothing lies at yet."""
    if not path.exists():
        return path
    numbered = (path.with_stem(f"{path.stem}-{number}") for number in count(2))
    return next(found for found in numbered if not found.exists())
