"""EXIF: the date, the camera and the place of a photo are put into the image made from it.

In: an image file that FFmpeg wrote, and EXIF data without an orientation. Out: the same file with
that data. FFmpeg's encoders write EXIF only from side data that PyAV cannot set.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

_LARGEST_SEGMENT = 65533  # bytes in a segment of a JPEG file
_HAS_EXIF, _HAS_ALPHA = 0x08, 0x10  # flags of WebP's VP8X chunk


def add_exif(path: Path, exif: bytes) -> str | None:
    """Put EXIF data into a JPEG, PNG or WebP file.

    Args:
        path: The file. Any other format is not changed.
        exif: From the TIFF header on; empty changes nothing.

    Returns:
        A notice for the user when the file cannot hold the data, else None.
    """
    if not exif:
        return None
    data = path.read_bytes()
    if data.startswith(b"\xff\xd8"):  # JPEG: an APP1 segment after the SOI marker
        body = b"Exif\0\0" + exif
        if len(body) + 2 > _LARGEST_SEGMENT:
            return "the EXIF data is too large for a JPEG file and is left out"
        data = data[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + data[2:]
    elif data.startswith(b"\x89PNG"):  # a chunk after IHDR, which ends at byte 33
        chunk = b"eXIf" + exif
        size = struct.pack(">I", len(exif))
        data = data[:33] + size + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[33:]
    elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        data = _webp_with_exif(data, exif)
    else:
        return None
    path.write_bytes(data)
    return None


def _webp_with_exif(data: bytes, exif: bytes) -> bytes:
    chunks = data[12:]
    if chunks[:4] == b"VP8X":
        chunks = chunks[:8] + bytes([chunks[8] | _HAS_EXIF]) + chunks[9:]
    else:
        width, height, has_alpha = _webp_size(chunks)
        flags = _HAS_EXIF | (_HAS_ALPHA if has_alpha else 0)
        size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
        chunks = b"VP8X" + struct.pack("<IB3x", 10, flags) + size + chunks
    chunks += b"EXIF" + struct.pack("<I", len(exif)) + exif + b"\0" * (len(exif) % 2)
    return b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WEBP" + chunks


def _webp_size(chunks: bytes) -> tuple[int, int, bool]:
    """Return width, height and whether there is opacity, of a file with a single chunk."""
    if chunks[:4] == b"VP8L":  # a signature byte, then 14 + 14 bits of size and one of opacity
        bits = int.from_bytes(chunks[9:13], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, bool(bits >> 28 & 1)
    width, height = struct.unpack_from("<HH", chunks, 14)  # VP8: behind tag and start code
    return width & 0x3FFF, height & 0x3FFF, False
