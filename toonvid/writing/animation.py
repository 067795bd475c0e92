"""Animated images: what FFmpeg's muxers for APNG, WebP and GIF leave out is put into their files.

In: a finished file. Out: the same file with the duration of its last frame, which the muxers do not
know when they write it; and frames of a WebP replace the one before instead of being blended into
it. Still images are not changed.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from fractions import Fraction
from io import BytesIO
from pathlib import Path

from toonvid.errors import TargetError

_DELAY_OFFSET = 20  # of the numerator in the content of an fcTL chunk
_DELAY_SCALE = 1000  # units per second
_NO_BLENDING = 0x02  # flag of an ANMF chunk
_HAS_ALPHA = 0x10  # flag of a VP8X chunk
_LARGEST_DELAY = 65535
_GIF_EXTENSION, _GIF_IMAGE, _GIF_CONTROL = 0x21, 0x2C, 0xF9


def finish_animation(path: Path, last_seconds: Fraction) -> None:
    """Complete an animated image that FFmpeg wrote.

    Args:
        path: An APNG, WebP or GIF file.
        last_seconds: How long the last frame is shown; 0 leaves FFmpeg's guess.
    """
    data = bytearray(path.read_bytes())
    delay = min(_LARGEST_DELAY, round(last_seconds * _DELAY_SCALE))
    if data.startswith(b"\x89PNG"):
        controls = [place for kind, place, _ in _png_chunks(data) if kind == b"fcTL"]
        if controls and delay:
            _set_png_delay(data, controls[-1], delay)
    elif data[8:12] == b"WEBP":
        frames = [place for kind, place in _webp_chunks(data) if kind == b"ANMF"]
        for place in frames:
            data[place + 15] |= _NO_BLENDING
            if _webp_frame_has_alpha(data[place + 16 : place + 29]):
                data[20] |= _HAS_ALPHA  # flags of VP8X, the first chunk
        if frames and delay:
            data[frames[-1] + 12 : frames[-1] + 15] = delay.to_bytes(3, "little")
    elif data.startswith(b"GIF89a") and delay:
        controls = list(_gif_controls(data))
        if controls:
            data[controls[-1] + 4 : controls[-1] + 6] = struct.pack("<H", max(1, delay // 10))
    path.write_bytes(data)


def verify_webp(file: Path, target: str, frame_count: int) -> None:
    """Read an animated WebP file again, which FFmpeg cannot.

    Raises:
        TargetError: Frames are missing.
    """
    from PIL import WebPImagePlugin  # a video does not need Pillow

    try:
        with WebPImagePlugin.WebPImageFile(BytesIO(file.read_bytes())) as image:
            found = image.n_frames
    except (OSError, SyntaxError, ValueError):
        found = 0
    if found != frame_count:
        raise TargetError(
            f"cannot write {target}: {found} of {frame_count} frames arrived; is the disk full?"
        )


def _set_png_delay(data: bytearray, place: int, delay: int) -> None:
    """Set the delay of the fcTL chunk whose content begins at `place`."""
    struct.pack_into(">HH", data, place + _DELAY_OFFSET, delay, _DELAY_SCALE)
    checked = data[place - 4 : place + 26]
    struct.pack_into(">I", data, place + 26, zlib.crc32(checked))


def _png_chunks(data: bytearray) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, offset of the content and size of each chunk."""
    place = 8
    while place + 8 <= len(data):
        (size,) = struct.unpack_from(">I", data, place)
        yield bytes(data[place + 4 : place + 8]), place + 8, size
        place += 12 + size


def _gif_controls(data: bytearray) -> Iterator[int]:
    """Yield the offset of each graphic control extension of a GIF.

    Blocks are walked, since the bytes that begin one may stand in pixels as well.
    """
    place = 13 + _gif_palette_size(data[10])
    while place + 10 < len(data) and data[place] in (_GIF_EXTENSION, _GIF_IMAGE):
        if data[place] == _GIF_EXTENSION:
            if data[place + 1] == _GIF_CONTROL:
                yield place
            place += 2
        else:
            place += 11 + _gif_palette_size(data[place + 9])
        while place < len(data) and data[place]:  # blocks of up to 255 bytes, the last one empty
            place += 1 + data[place]
        place += 1


def _gif_palette_size(flags: int) -> int:
    """Bytes of a palette, from the flags of a screen or of an image."""
    return 3 * (2 << (flags & 7)) if flags & 0x80 else 0


def _webp_frame_has_alpha(head: bytearray) -> bool:
    """Whether a frame has opacity, from the first bytes of its first chunk."""
    is_lossless = head.startswith(b"VP8L")  # a signature byte, 28 bits of size, one of opacity
    return head.startswith(b"ALPH") or (is_lossless and bool(head[12] & 0x10))


def _webp_chunks(data: bytearray) -> Iterator[tuple[bytes, int]]:
    """Yield name and offset of the content of each chunk."""
    place = 12
    while place + 8 <= len(data):
        (size,) = struct.unpack_from("<I", data, place + 4)
        yield bytes(data[place : place + 4]), place + 8
        place += 8 + size + size % 2
