"""Headers of MP4 and Matroska with elements that PyAV cannot write."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

_MP4_PARENTS = {b"moov": 0, b"trak": 0, b"mdia": 0, b"minf": 0, b"stbl": 0, b"stsd": 8}
_MATROSKA_PARENTS = {0x18538067, 0x1654AE6B, 0xAE, 0xE0}  # segment, tracks, entry, video


def box(kind: bytes, content: bytes) -> bytes:
    """Return a box of an MP4 file."""
    return struct.pack(">I", 8 + len(content)) + kind + content


def element(name: int, content: bytes | int) -> bytes:
    """Return an element of a Matroska file."""
    if isinstance(content, int):
        content = content.to_bytes(8, "big")
    named = name.to_bytes((name.bit_length() + 7) // 8, "big")
    return named + (1 << 56 | len(content)).to_bytes(8, "big") + content


def add_to_sample_entry(path: Path, boxes: bytes) -> Path:
    """Add boxes to the description of the first video of an MP4 file whose index is at its end."""

    def extended(kind: bytes, content: bytes) -> bytes:
        if kind in (b"avc1", b"hev1", b"hvc1"):
            return content + boxes
        if kind not in _MP4_PARENTS:
            return content
        skipped = _MP4_PARENTS[kind]
        return content[:skipped] + _rewritten_boxes(content[skipped:], extended)

    path.write_bytes(_rewritten_boxes(path.read_bytes(), extended))
    return path


def add_to_matroska_video(path: Path, elements: bytes, to_track: bytes = b"") -> Path:
    """Add elements to the Video element, and others to the TrackEntry, of a Matroska file."""
    path.write_bytes(_rewritten_elements(path.read_bytes(), elements, to_track))
    return path


def _rewritten_boxes(data: bytes, change: Callable[[bytes, bytes], bytes]) -> bytes:
    place, out = 0, b""
    while place + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, place)
        out += box(kind, change(kind, data[place + 8 : place + size]))
        place += size
    return out + data[place:]


def _rewritten_elements(data: bytes, to_video: bytes, to_track: bytes) -> bytes:
    place, out = 0, b""
    while place < len(data):
        length = 9 - data[place].bit_length()
        name = int.from_bytes(data[place : place + length], "big")
        place += length
        length = 9 - data[place].bit_length()
        size = int.from_bytes(data[place : place + length], "big") & ((1 << 7 * length) - 1)
        place += length
        content = data[place : place + size]
        place += size
        if name in (0x114D9B74, 0x1C53BB6B, 0xEC, 0xBF):
            continue  # offsets that would be wrong, padding and checksums
        if name in _MATROSKA_PARENTS:
            content = _rewritten_elements(content, to_video, to_track)
        if name == 0xE0:
            content += to_video
        if name == 0xAE:
            content += to_track
        out += element(name, content)
    return out
