"""Tone tables: how colors of HDR and wide gamut become BT.709, as a file for the filter `lut3d`.

In: the first frame of a source. Out: a table of 33 x 33 x 33 colors in the user's cache folder.
The colors are those that libswscale computes, with the brightness of the screen that the source was
graded on. libswscale computes them anew for each filter graph, which takes five seconds and more;
a table that is kept is read in 20 ms.
"""

from __future__ import annotations

import hashlib
import logging
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.error import FFmpegError
from av.filter.graph import Graph
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from numpy.typing import NDArray
from platformdirs import user_cache_path

from toonvid.ffmpeg.color import MATRIX_NAMES, FrameFormat
from toonvid.ffmpeg.filter_graphs import buffer_filter, linked_graph, to_bt709
from toonvid.files import write_atomically

logger = logging.getLogger(__name__)

_SIDE = 33  # colors along each axis; libswscale's own tables have as many
_WIDTH, _HEIGHT = _SIDE * _SIDE, _SIDE
_TOP = 65535
_PIX_FMT = "gbrp16le"
# Chunks in which FFmpeg's PNG encoder writes the brightness of the screen and of the brightest
# pixels, which PyAV shows only in `frame.side_data` (docs/research/upstream.md).
_BRIGHTNESS_CHUNKS = (b"mDCV", b"cLLI")


@dataclass(frozen=True)
class ToneTable:
    """A table on disk, and the colors that it is for."""

    path: Path
    primaries: int
    """Code point of H.273, as in the source."""
    transfer: int
    """Code point of H.273, as in the source."""

    def fits(self, kind: FrameFormat) -> bool:
        """Whether frames of this format have the colors that the table is for."""
        return (kind.color.primaries, kind.color.transfer) == (self.primaries, self.transfer)


def tone_table_folder() -> Path:
    """Return the folder where tables are kept: `$XDG_CACHE_HOME/toonvid/tone-tables` on Linux."""
    return user_cache_path("toonvid", appauthor=False) / "tone-tables"


def find_tone_table(first: VideoFrame) -> ToneTable | None:
    """Return the table for a source's colors; it is computed where it is not in the cache.

    Args:
        first: The first frame of the source, as decoded.

    Returns:
        The table; None where colors need none, and where it cannot be kept, for example on a full
        disk. The filter graph then computes the same colors by itself.
    """
    kind = FrameFormat.from_frame(first, interlaced=False)
    if not kind.exceeds_bt709:
        return None
    color = kind.color
    try:
        small = _small_frame(first, kind)
        key = (color.primaries, color.transfer, _brightness(small), _SIDE, to_bt709(color))
        named = repr((key, av.library_versions["libswscale"])).encode()
        path = tone_table_folder() / f"{hashlib.sha256(named).hexdigest()[:16]}.cube"
        str(path).encode()  # FFmpeg takes no other names
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            logger.info("Preparing the colors of HDR or wide gamut, once for such videos ...")
            write_atomically(path, _cube_file(_mapped_grid(small, to_bt709(color))))
    except (FFmpegError, OSError, ValueError) as error:
        logger.debug("no tone table: %s", error)
        return None
    return ToneTable(path, color.primaries, color.transfer)


def _small_frame(frame: VideoFrame, kind: FrameFormat) -> VideoFrame:
    """Return a frame of the grid's size with the properties of another, in RGB of the same colors.

    libswscale reads brightness from the frame. PyAV cannot put it on another frame, so the pixels
    of this one are replaced.
    """
    matrix = MATRIX_NAMES[kind.color.matrix] if kind.is_yuv else "gbr"
    range_name = "pc" if kind.full_range or not kind.is_yuv else "tv"
    source = buffer_filter(
        kind.width, kind.height, kind.pix_fmt, Fraction(1, 25), matrix, range_name
    )
    return _pulled(
        linked_graph(source, ("scale", f"w={_WIDTH}:h={_HEIGHT}"), ("format", _PIX_FMT)), frame
    )


def _brightness(small: VideoFrame) -> bytes:
    """Return what the frame states of brightness, in bytes that are compared only."""
    context = av.CodecContext.create("png", "w")
    assert isinstance(context, VideoCodecContext)
    context.width, context.height, context.pix_fmt = 16, 16, "rgb24"
    context.time_base = Fraction(1, 25)
    source = buffer_filter(_WIDTH, _HEIGHT, _PIX_FMT, Fraction(1, 25), "gbr", "pc")
    tiny = _pulled(linked_graph(source, ("scale", "w=16:h=16"), ("format", "rgb24")), small)
    png = b"".join(bytes(packet) for packet in [*context.encode(tiny), *context.encode(None)])
    return b"".join(
        kind + content for kind, content in _png_chunks(png) if kind in _BRIGHTNESS_CHUNKS
    )


def _png_chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = 8
    while place + 8 <= len(png):
        size, kind = struct.unpack_from(">I4s", png, place)
        yield kind, png[place + 8 : place + 8 + size]
        place += 12 + size


def _mapped_grid(small: VideoFrame, mapping: tuple[str, ...]) -> NDArray[np.float64]:
    """Return the colors that libswscale makes of the grid: (blue, green, red, 3), in 0..1."""
    levels = np.round(np.linspace(0, _TOP, _SIDE)).astype("<u2")
    blue, green, red = np.meshgrid(levels, levels, levels, indexing="ij")
    for plane, values in zip(small.planes, (green, blue, red), strict=True):
        rows = np.zeros((_HEIGHT, plane.line_size // 2), "<u2")
        rows[:, :_WIDTH] = values.reshape(_HEIGHT, _WIDTH)
        plane.update(rows.tobytes()[: plane.buffer_size].ljust(plane.buffer_size, b"\0"))
    source = buffer_filter(_WIDTH, _HEIGHT, _PIX_FMT, Fraction(1, 25), "gbr", "pc")
    mapped = _pulled(
        linked_graph(source, ("scale", ":".join(mapping)), ("format", _PIX_FMT)), small
    )
    planes = [
        np.frombuffer(bytes(plane), "<u2").reshape(-1, plane.line_size // 2)[:_HEIGHT, :_WIDTH]
        for plane in mapped.planes
    ]
    green, blue, red = (plane.reshape(_SIDE, _SIDE, _SIDE) / _TOP for plane in planes)
    return np.stack([red, green, blue], axis=-1)


def _cube_file(colors: NDArray[np.float64]) -> bytes:
    """Return the text of a table in the format of Adobe's .cube files: red changes fastest."""
    lines = [
        f"LUT_3D_SIZE {_SIDE}",
        *(f"{r:.6f} {g:.6f} {b:.6f}" for r, g, b in colors.reshape(-1, 3)),
    ]
    return ("\n".join(lines) + "\n").encode()


def _pulled(graph: Graph, frame: VideoFrame) -> VideoFrame:
    frame.time_base = Fraction(1, 25)
    graph.vpush(frame)
    pulled = graph.vpull()
    pulled.pts = 0
    return pulled
