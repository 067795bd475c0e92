"""Rotation: how decoded frames are turned, as their display matrix asks, and turning them.

Phones record sideways and store a display matrix; JPEGs from pipes store an EXIF orientation, which
FFmpeg translates into one. The pixels are turned here and the matrix is dropped, so that no later
stage has to know of it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from toonvid.ffmpeg.filter_graphs import buffer_filter, linked_graph
from toonvid.video import Pixels

_ORIENTATION = 0x0112  # tag of TIFF and EXIF
_TRIAL_SIDE = 16  # pixels


@dataclass(frozen=True)
class Orientation:
    """How decoded pixels are rotated for display: first transposed, then flipped."""

    transposed: bool = False
    """Whether width and height change places."""
    flipped_x: bool = False
    """Whether left and right change places, after transposing."""
    flipped_y: bool = False
    """Whether top and bottom change places, after transposing."""

    @classmethod
    def from_frame(cls, frame: VideoFrame) -> Orientation:
        """Read a frame's display matrix; without one the frame is displayed as it is stored.

        Only quarter turns and mirroring are applied; any other angle is rounded to the nearest
        quarter turn.
        """
        orientation = _tiff_orientation(frame)
        if orientation == 1 and frame.rotation:
            orientation = (1, 8, 3, 6)[round(frame.rotation / 90) % 4]
        return _ORIENTATIONS[orientation]

    # In NumPy, not as a filter of FFmpeg: transposing views costs one copy, whatever the rotation.
    def rotate(self, pixels: Pixels) -> Pixels:
        """Turn pixels (H, W, C) as they are to be displayed: (H, W, C), or (W, H, C)."""
        if self.transposed:
            pixels = pixels.swapaxes(0, 1)
        if self.flipped_x:
            pixels = pixels[:, ::-1]
        if self.flipped_y:
            pixels = pixels[::-1]
        return np.ascontiguousarray(pixels)


# Orientation of EXIF -> what turns the stored pixels upright.
_ORIENTATIONS = {
    1: Orientation(),
    2: Orientation(flipped_x=True),
    3: Orientation(flipped_x=True, flipped_y=True),
    4: Orientation(flipped_y=True),
    5: Orientation(transposed=True),
    6: Orientation(transposed=True, flipped_x=True),
    7: Orientation(transposed=True, flipped_x=True, flipped_y=True),
    8: Orientation(transposed=True, flipped_y=True),
}


def _tiff_orientation(frame: VideoFrame) -> int:
    """Return a frame's display matrix as an orientation of EXIF, 1 to 8; 1 without a matrix.

    PyAV's `frame.side_data` would give the matrix itself, but frees the metadata of ICC profiles a
    second time, which ends the process (docs/research/upstream.md), and `frame.rotation` does not
    tell mirroring. FFmpeg's TIFF encoder writes the matrix as a tag, whatever it came from.
    """
    trial = (("scale", f"w={_TRIAL_SIDE}:h={_TRIAL_SIDE}"), ("format", "rgb24"))
    source = buffer_filter(
        frame.width,
        frame.height,
        frame.format.name,
        Fraction(1),
        matrix="gbr" if frame.format.is_rgb else "bt709",
        range_name="pc",
    )
    context = av.CodecContext.create("tiff", "w")
    assert isinstance(context, VideoCodecContext)
    context.width = context.height = _TRIAL_SIDE
    context.pix_fmt, context.time_base = "rgb24", Fraction(1)
    try:
        graph = linked_graph(source, *trial)
        graph.vpush(frame)
        small = graph.vpull()
        small.pts = 0
        packets = [*context.encode(small), *context.encode(None)]
    except (FFmpegError, ValueError):
        return 1
    orientation = _read_tag(b"".join(bytes(packet) for packet in packets), _ORIENTATION)
    return orientation if orientation in _ORIENTATIONS else 1


def _read_tag(tiff: bytes, wanted: int) -> int:
    """Return a 16-bit value from the first directory of a little-endian TIFF file; 1 without it."""
    if not tiff.startswith(b"II*\0"):
        return 1
    (offset,) = struct.unpack_from("<I", tiff, 4)
    (count,) = struct.unpack_from("<H", tiff, offset)
    for place in range(offset + 2, offset + 2 + 12 * count, 12):
        tag, _, _, value = struct.unpack_from("<HHIH", tiff, place)
        if tag == wanted:
            return int(value)
    return 1
