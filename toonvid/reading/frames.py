"""Frames: decoded video frames become RGB arrays with their times, rotated for display.

In: PyAV's frames. Out: `toonvid.video.Frame`. Color conversion and scaling happen in the filter
graphs of `toonvid.ffmpeg.filter_graphs`, rotation in `toonvid.reading.rotation`.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
from av.filter.graph import Graph
from av.video.frame import VideoFrame

from toonvid.ffmpeg.color import FrameFormat
from toonvid.ffmpeg.filter_graphs import drained_frames, ready_frames, rgb_graph
from toonvid.reading.rotation import Orientation
from toonvid.video import Frame, VideoInfo

_ASSUMED_FRAME_RATE = Fraction(25)  # for sources that state neither times nor a frame rate


def rotated_rgb_frames(
    decoded: Iterator[VideoFrame], info: VideoInfo, orientation: Orientation
) -> Iterator[Frame]:
    """Yield decoded frames as rotated RGB; a frame without a time follows the one before it.

    Args:
        decoded: Frames in presentation order, their pts in units of `info.time_base`.
        info: States the width and height of the frames that are yielded.
        orientation: How the decoded frames are rotated.
    """
    next_pts = 0
    for rgb in _rgb_frames(decoded, info, orientation):
        time_base = Fraction(rgb.time_base or info.time_base)
        pts = next_pts if rgb.pts is None else rgb.pts
        one_frame = round(1 / ((info.frame_rate or _ASSUMED_FRAME_RATE) * time_base))
        next_pts = pts + (rgb.duration or max(1, one_frame))
        yield _rotated_frame(rgb, orientation, pts, time_base)


def _rgb_frames(
    decoded: Iterator[VideoFrame], info: VideoInfo, orientation: Orientation
) -> Iterator[VideoFrame]:
    """Yield deinterlaced, scaled RGB, with a new filter graph whenever the format changes."""
    width, height = info.width, info.height
    if orientation.transposed:
        width, height = height, width
    graph: Graph | None = None
    current: FrameFormat | None = None
    interlaced = False
    for frame in decoded:
        # bwdif passes progressive frames through, so mixed content needs no second change of graph.
        interlaced = interlaced or frame.interlaced_frame
        found = FrameFormat.from_frame(frame, interlaced)
        if graph is None or found != current:
            if graph is not None:
                yield from drained_frames(graph)
            current, graph = found, rgb_graph(found, info.time_base, width, height)
        frame.time_base = info.time_base
        graph.vpush(frame)
        yield from ready_frames(graph)
    if graph is not None:
        yield from drained_frames(graph)


def _rotated_frame(
    rgb: VideoFrame, orientation: Orientation, pts: int, time_base: Fraction
) -> Frame:
    """Copy an RGB or RGBA frame out of FFmpeg's memory, rotated."""
    pixels = orientation.rotate(np.asarray(rgb.to_ndarray(), np.uint8))
    alpha = None
    if pixels.shape[2] == 4:
        is_opaque = pixels[:, :, 3].min() == 255
        alpha = None if is_opaque else np.ascontiguousarray(pixels[:, :, 3])
        pixels = np.ascontiguousarray(pixels[:, :, :3])
    return Frame(pixels, pts, time_base, rgb.duration or 0, alpha)
