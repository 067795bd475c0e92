"""File end: how many bytes of a file are missing, by the sizes that its header states.

In: the path of a video. Out: the size that the file should have. A file that was cut off may end
between two frames, where nothing fails; the times of its last frames do not tell, because videos
with B-frames store later frames first. Formats without such sizes are not judged.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

_MATROSKA_MAGIC = b"\x1a\x45\xdf\xa3"
_MATROSKA_SEGMENT_ID = b"\x18\x53\x80\x67"
_JPEG_MAGIC, _JPEG_SCAN, _JPEG_END = b"\xff\xd8\xff", 0xDA, b"\xff\xd9"
_HEAD_BYTES = 1024
_MOST_BOXES = 100_000  # of an MP4 file; fragmented ones have two for each second or so
_SLACK_BYTES = 1024  # some programs state sizes that are wrong by a few bytes of padding


def missing_bytes(path: Path) -> int:
    """Return how many bytes a file lacks; 0 where it is whole, or that cannot be told.

    Raises:
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        head = file.read(_HEAD_BYTES)
        if head.startswith(_MATROSKA_MAGIC):
            stated = _matroska_size(head)
        elif head[4:8] == b"ftyp":
            stated = _mp4_size(file, size)
        elif head.startswith(b"RIFF") and head[8:12] == b"AVI ":
            # A program that was killed while it recorded leaves a length of 0.
            length = int.from_bytes(head[4:8], "little")
            stated = length + 8 if length else None
        else:
            stated = None
    missing = 0 if stated is None else stated - size
    return missing if missing > _SLACK_BYTES else 0


def is_cut_off_jpeg(data: bytes) -> bool:
    """Whether a JPEG file ends within its pixels, of which decoders then invent the rest.

    Args:
        data: The whole file, whose previews have ends of their own.
    """
    place = 2
    while data.startswith(_JPEG_MAGIC) and place + 4 <= len(data) and data[place] == 0xFF:
        kind = data[place + 1]
        if kind == _JPEG_SCAN:
            return _JPEG_END not in data[place:]
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big") if kind != 0xFF else 1
    return False


def _matroska_size(head: bytes) -> int | None:
    """Return where the only Segment ends; None where it has no length, as in live streams."""
    begin = head.find(_MATROSKA_SEGMENT_ID)
    at = begin + len(_MATROSKA_SEGMENT_ID)
    if begin < 0 or at >= len(head) or not head[at]:
        return None
    # EBML's variable-size integer: as many leading zero bits as bytes follow the first.
    length_bytes = 9 - head[at].bit_length()
    bits = 7 * length_bytes
    length = int.from_bytes(head[at : at + length_bytes], "big") & ((1 << bits) - 1)
    return None if length == (1 << bits) - 1 else at + length_bytes + length


def _mp4_size(file: BinaryIO, size: int) -> int | None:
    """Return where the last box ends; None where a box has no length, or is no box."""
    offset = 0
    for _ in range(_MOST_BOXES):
        if offset >= size:
            return offset
        file.seek(offset)
        head = file.read(16)
        length = int.from_bytes(head[:4], "big")
        if length == 1:  # a box above 4 GiB has its length behind its name
            length = int.from_bytes(head[8:16], "big")
        if length < 8 or not head[4:8].isalnum():
            return None  # the last box of a live recording, or something behind the end
        offset += length
    return None
