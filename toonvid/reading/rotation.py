"""Rotation: how decoded frames are turned, as their display matrix asks, and turning them.

Phones record sideways and store a display matrix; JPEGs store an EXIF orientation, which FFmpeg
translates into one. The pixels are turned here and the matrix is dropped, so that no later stage
has to know of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import numpy as np
from av.buffer import Buffer
from av.video.frame import VideoFrame

from toonvid.ffmpeg.filter_graphs import buffer_filter, linked_graph
from toonvid.video import Pixels

_KINDS_UNKNOWN_TO_PYAV = (29, 30, 31)  # of FFmpeg 8: view id, reference displays, EXIF


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

        FFmpeg's matrix maps x' = a x + c y, y' = b x + d y, in 16.16 fixed point. Only quarter
        turns and mirroring are applied; any other angle is rounded to the nearest of them.
        """
        matrix = _side_data(frame).get("DISPLAYMATRIX")
        if matrix is None:
            return cls()
        a, b, _, c, d = (int(value) for value in np.frombuffer(bytes(matrix), "=i4")[:5])
        if abs(b) > abs(a):
            return cls(transposed=True, flipped_x=c < 0, flipped_y=b < 0)
        return cls(flipped_x=a < 0, flipped_y=d < 0)

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


def _side_data(frame: VideoFrame) -> Mapping[str, Buffer]:
    """Return the frame's side data without the kinds on which PyAV raises `ValueError`."""
    try:
        # PyAV's annotations promise a dictionary; it returns a mapping by type or name.
        return cast("Mapping[str, Buffer]", frame.side_data)
    except ValueError:
        source = buffer_filter(
            frame.width,
            frame.height,
            frame.format.name,
            Fraction(1),
            matrix="gbr",
            range_name="pc",
        )
        deletions = [("sidedata", f"mode=delete:type={kind}") for kind in _KINDS_UNKNOWN_TO_PYAV]
        graph = linked_graph(source, *deletions)
        graph.vpush(frame)
        return cast("Mapping[str, Buffer]", graph.vpull().side_data)
