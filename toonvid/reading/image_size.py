"""Image size: the width and height that an image file states in its header.

FFmpeg rejects images above `max_pixels` without saying why; this module gives the reason for the
message. No image is decoded.
"""

from __future__ import annotations

import logging
from io import BytesIO
from pathlib import Path

logger = logging.getLogger(__name__)

_HEADER_BYTES = 2**20
_SIGNATURES = (
    b"\x89PNG",
    b"\xff\xd8",
    b"GIF8",
    b"RIFF",
    b"II*\0",
    b"MM\0*",
    b"BM",
    b"\0\0\0\x0cjP",
)


def claimed_size(path: Path) -> tuple[int, int] | None:
    """Return width and height in pixels; None when the file is not an image that states them."""
    import imagesize  # loaded only after FFmpeg has rejected a file

    try:
        with path.open("rb") as file:
            header = file.read(_HEADER_BYTES)
        if not header.startswith(_SIGNATURES):
            return None
        width, height = imagesize.get(BytesIO(header))
        if header.startswith(b"GIF8"):  # imagesize reads these 16-bit fields as signed
            width, height = width % 2**16, height % 2**16
    except Exception as error:  # imagesize raises anything on a damaged header
        logger.debug("%s does not state its size: %s", path, error)
        return None
    return (int(width), int(height)) if width > 0 and height > 0 else None
