"""Picture size: how large a picture claims to be, read from its head alone.

FFmpeg refuses a picture that is too large without saying so.
"""

from __future__ import annotations

import logging
from io import BytesIO
from pathlib import Path

logger = logging.getLogger(__name__)

_HEAD_BYTES = 2**20
_HEADS = (b"\x89PNG", b"\xff\xd8", b"GIF8", b"RIFF", b"II*\0", b"MM\0*", b"BM", b"\0\0\0\x0cjP")


def claimed_size(path: Path) -> tuple[int, int] | None:
    """Width and height in pixels; None when the file is no picture that says so."""
    import imagesize

    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
        if not head.startswith(_HEADS):
            return None
        width, height = imagesize.get(BytesIO(head))
        if head.startswith(b"GIF8"):  # it takes these for signed numbers
            width, height = width % 2**16, height % 2**16
    except Exception as error:  # a damaged head may break its reader anywhere
        logger.debug("%s does not say how large it is: %s", path, error)
        return None
    return (int(width), int(height)) if width > 0 and height > 0 else None
