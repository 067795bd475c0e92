"""The mark that toonvid leaves in what it writes, so that a folder run knows its own targets.

In a film it is the name of the video stream's handler, which every container that keeps tags has
room for. In a picture it is a comment that viewers pass over.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import av
from av.error import FFmpegError

TAG = "handler_name"
_PREFIX = "toonvid "
_PICTURE_PREFIX = b"toonvid style="


def film_mark(style: str) -> str:
    """The handler name of a film in this style."""
    return _PREFIX + style


def mark_picture(path: Path, style: str) -> None:
    """Write the mark into a JPEG, PNG or WebP file; any other is left as it is."""
    data = path.read_bytes()
    text = _PICTURE_PREFIX + style.encode()
    if data.startswith(b"\xff\xd8"):
        segment = b"\xff\xfe" + struct.pack(">H", len(text) + 2) + text  # COM, after SOI
        data = data[:2] + segment + data[2:]
    elif data.startswith(b"\x89PNG"):
        body = b"tEXt" + b"Software\0" + text
        chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
        data = data[:33] + chunk + data[33:]  # after IHDR
    elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        padded = text + b"\0" * (len(text) % 2)
        data += b"TOON" + struct.pack("<I", len(text)) + padded
        data = data[:4] + struct.pack("<I", len(data) - 8) + data[8:]
    path.write_bytes(data)


def is_marked(path: Path) -> bool:
    """Whether a file was written by toonvid. A file that cannot be opened was not."""
    try:
        with path.open("rb") as file:
            head = file.read(256)
            file.seek(max(0, path.stat().st_size - 256))
            if _PICTURE_PREFIX in head or _PICTURE_PREFIX in file.read():
                return True
        with av.open(f"file:{path}", metadata_errors="replace") as container:
            return any(
                name.lower() == TAG and value.startswith(_PREFIX)
                for stream in container.streams.video
                for name, value in stream.metadata.items()
            )
    except (FFmpegError, OSError):
        return False
