"""The mark that toonvid leaves in what it writes, so that a folder run knows its own targets.

In a film it is the name of the video stream's handler, which every container that keeps tags has
room for; in a transport stream, which keeps none, the name of the programme's provider. In a
picture it is a comment that viewers pass over.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import av
from av.error import FFmpegError

TAG_KEY = "handler_name"
_PREFIX = "toonvid "
_PICTURE_PREFIX = "toonvid style="
_SEARCHED_BYTES = 1024  # at either end of a file


def video_tag(style: str, job: str = "") -> str:
    """The handler name of a film in this style; `job` tells its conversion from any other."""
    return _PREFIX + style + _job(job)


def image_tag(style: str, job: str = "") -> str:
    """The comment in a picture of this style."""
    return _PICTURE_PREFIX + style + _job(job)


def _job(job: str) -> str:
    return f" job={job}" if job else ""


def tag_image(path: Path, style: str, job: str = "") -> None:
    """Write the mark into a JPEG, PNG, WebP or GIF file; any other is left as it is."""
    data = path.read_bytes()
    text = image_tag(style, job).encode()
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
    elif data.startswith(b"GIF89a"):
        colors = 2 << (data[10] & 7) if data[10] & 0x80 else 0
        end = 13 + 3 * colors  # of the header and the palette of the whole film
        data = data[:end] + b"\x21\xfe" + bytes([len(text)]) + text + b"\0" + data[end:]
    path.write_bytes(data)


def has_provenance_tag(path: Path, job: str = "") -> bool:
    """Whether a file was written by toonvid, and by this job if one is named. A file that cannot be
    opened was not.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_SEARCHED_BYTES)
            file.seek(max(0, path.stat().st_size - _SEARCHED_BYTES))
            mark = _PICTURE_PREFIX.encode()
            for end in (head, file.read()):
                if mark in end and _job(job).encode() in end:
                    return True
        with av.open(f"file:{path}", metadata_errors="replace") as container:
            return any(
                name.lower() == TAG_KEY and value.startswith(_PREFIX) and value.endswith(_job(job))
                for stream in container.streams.video
                for name, value in stream.metadata.items()
            )
    except (FFmpegError, OSError):
        return False
