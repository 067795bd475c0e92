"""How this program starts Python again, for work that must not hang or end the process."""

from __future__ import annotations

import sys
from pathlib import Path


def child_python() -> list[str]:
    """Return the beginning of a command line: Python, for `-m` or `-c`.

    With these two options Python would run files of the current folder, such as a `cv2.py` that
    somebody put beside a video. It may do so only where this process was started in that way too.
    """
    try:
        current = str(Path.cwd())
    except OSError:  # it was deleted
        current = ""
    is_trusted = bool(sys.path) and sys.path[0] in ("", current)
    return [sys.executable] if is_trusted else [sys.executable, "-P"]
