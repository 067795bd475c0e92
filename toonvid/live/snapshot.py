"""Snapshots: writes one frame as a PNG in the current folder, and names files by date.

`toonvid.live.recorder` names its recordings with the same functions.
"""

from __future__ import annotations

import time
from itertools import count
from pathlib import Path

from toonvid.video import Pixels
from toonvid.writing.contact_sheet import write_image


def save_snapshot(pixels: Pixels) -> Path:
    """Write a frame to a new file in the current folder, and return its path.

    Args:
        pixels: (H, W, 3) uint8 RGB.

    Raises:
        TargetError: The file cannot be written.
    """
    path = free_path(Path(f"{dated_stem()}.png"))
    write_image(path, pixels)
    return path


def dated_stem() -> str:
    """Return a file name of the current date and time, as in toonvid-2026-01-31-123456."""
    return time.strftime("toonvid-%Y-%m-%d-%H%M%S")


def free_path(path: Path) -> Path:
    """Return the path if nothing exists there, else the first free one of NAME-2, NAME-3, ..."""
    if not path.exists():
        return path
    numbered = (path.with_stem(f"{path.stem}-{number}") for number in count(2))
    return next(candidate for candidate in numbered if not candidate.exists())
