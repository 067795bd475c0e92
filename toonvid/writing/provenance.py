"""The provenance tag: the words in a target that say toonvid wrote it, in which style.

A style and a job's identity go in; a tag in the file, or the answer whether a file has one, comes
out. Folder runs use it to leave toonvid's own targets out, and to know which are finished.

In a video the tag is the name of the video stream's handler (`handler_name`), which every container
that has tags keeps. MPEG-TS has none; there it is the name of the program's provider. In an image
it is a comment, which viewers skip.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import av
from av.error import FFmpegError

from toonvid.ffmpeg.limits import local_limits

TAG_KEY = "handler_name"
"""Metadata key of the tag in a video stream."""
_PREFIX = "toonvid "
_IMAGE_PREFIX = "toonvid style="
_SEARCHED_BYTES = 1024  # at the start and at the end of a file


def video_tag(style: str, job: str = "") -> str:
    """Returns the handler name for a video.

    Args:
        style: Name of the style.
        job: Identity of the conversion (`toonvid.resume.fingerprint.Job.identity`); empty where
            there is none, as for live recordings.
    """
    return _PREFIX + style + _job_part(job)


def image_tag(style: str, job: str = "") -> str:
    """Returns the comment for an image, or the provider for MPEG-TS. Arguments as `video_tag`."""
    return _IMAGE_PREFIX + style + _job_part(job)


def tag_image(path: Path, style: str, job: str = "") -> None:
    """Writes the tag into a JPEG, PNG, WebP or GIF file; any other file is not changed.

    FFmpeg's image encoders write no comments, so the tag is put in between their bytes.
    """
    data = path.read_bytes()
    text = image_tag(style, job).encode()
    if data.startswith(b"\xff\xd8"):  # JPEG: a COM segment after the SOI marker
        segment = b"\xff\xfe" + struct.pack(">H", len(text) + 2) + text
        data = data[:2] + segment + data[2:]
    elif data.startswith(b"\x89PNG"):  # a tEXt chunk after IHDR, which ends at byte 33
        body = b"tEXt" + b"Software\0" + text
        chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
        data = data[:33] + chunk + data[33:]
    elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":  # an unknown chunk, padded to an even size
        padded = text + b"\0" * (len(text) % 2)
        data += b"TOON" + struct.pack("<I", len(text)) + padded
        data = data[:4] + struct.pack("<I", len(data) - 8) + data[8:]
    elif data.startswith(b"GIF89a"):  # a comment extension after the header and the global palette
        colors = 2 << (data[10] & 7) if data[10] & 0x80 else 0
        end = 13 + 3 * colors
        data = data[:end] + b"\x21\xfe" + bytes([len(text)]) + text + b"\0" + data[end:]
    path.write_bytes(data)


def has_provenance_tag(path: Path, job: str = "") -> bool:
    """Whether toonvid wrote a file. False for a file that cannot be opened.

    Args:
        path: Any file.
        job: Identity of a conversion: whether this very conversion wrote the file. Empty: whether
            any did.
    """
    try:
        # FFmpeg takes minutes to open a PNG with many texts, and would find no tag of a video.
        return _has_image_tag(path, job) or (not _is_image(path) and _has_video_tag(path, job))
    except (FFmpegError, OSError):
        return False


def _has_image_tag(path: Path, job: str) -> bool:
    """Looks for the bytes of the tag, which FFmpeg does not show as metadata of an image."""
    with path.open("rb") as file:
        head = file.read(_SEARCHED_BYTES)
        file.seek(max(0, path.stat().st_size - _SEARCHED_BYTES))
        tail = file.read()
    prefix, job_part = _IMAGE_PREFIX.encode(), _job_part(job).encode()
    return any(prefix in end and job_part in end for end in (head, tail))


def _is_image(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(8).startswith((b"\xff\xd8\xff", b"\x89PNG", b"GIF8"))


def _has_video_tag(path: Path, job: str) -> bool:
    # "file:" because a name such as "a:b.mp4" would be taken for a protocol.
    limits = local_limits()
    with av.open(f"file:{path}", container_options=limits, metadata_errors="replace") as container:
        return any(
            name.lower() == TAG_KEY and value.startswith(_PREFIX) and value.endswith(_job_part(job))
            for stream in container.streams.video
            for name, value in stream.metadata.items()
        )


def _job_part(job: str) -> str:
    return f" job={job}" if job else ""
