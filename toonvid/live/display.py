"""Checks whether a window can be opened on this machine's display, without risk to this process.

OpenCV's Qt ends the whole process, with no exception, if it opens a window without a display. So
the attempt is made in a process of its own. Used by `toonvid.live.window` and by the doctor.
"""

from __future__ import annotations

import os
import subprocess
import sys

from toonvid.child_python import child_python

_PROBE = "import cv2; cv2.namedWindow('toonvid', cv2.WINDOW_NORMAL)"
_PROBE_SECONDS = 30.0  # importing OpenCV alone takes seconds on a slow disk


def display_problem() -> str:
    """Return why no window can be opened, or an empty string if one was opened and closed."""
    if sys.platform == "linux" and not os.environ.get("DISPLAY"):
        return "there is no display for a window (DISPLAY is not set)"
    try:
        probe = subprocess.run(
            [*child_python(), "-c", _PROBE],
            capture_output=True,
            timeout=_PROBE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "the display does not answer"
    if probe.returncode:
        last = probe.stderr.decode(errors="replace").strip().splitlines()[-1:]
        if last and last[0].startswith(("ImportError", "ModuleNotFoundError")):
            return f"OpenCV cannot be loaded ({last[0]})"
        return f"no window can be opened on display {os.environ.get('DISPLAY', 'of this system')}"
    return ""
