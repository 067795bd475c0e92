"""Decoded pictures become upright RGB frames with times; the filters are `toonvid.ffmpeg.color`'s."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from av.filter.graph import Graph
from av.video.frame import VideoFrame

from toonvid.ffmpeg.color import (
    FrameKind,
    Orientation,
    drained_frames,
    ready_frames,
    rgb_graph,
    upright_frame,
)
from toonvid.video import Frame, VideoInfo

_GUESSED_RATE = Fraction(25)  # for sources that give neither times nor a rate


def upright_frames(
    decoded: Iterator[VideoFrame], info: VideoInfo, orientation: Orientation
) -> Iterator[Frame]:
    """Yield decoded pictures as frames; one without a time follows the last.

    Args:
        decoded: In the order in which they are shown, their times in units of `info.time_base`.
        info: Its width and height are those of the frames.
        orientation: Of the decoded pictures.
    """
    next_pts = 0
    for picture in _rgb_pictures(decoded, info, orientation):
        time_base = Fraction(picture.time_base or info.time_base)
        pts = next_pts if picture.pts is None else picture.pts
        one_frame = round(1 / ((info.frame_rate or _GUESSED_RATE) * time_base))
        next_pts = pts + (picture.duration or max(1, one_frame))
        yield upright_frame(picture, orientation, pts, time_base)


def _rgb_pictures(
    decoded: Iterator[VideoFrame], info: VideoInfo, orientation: Orientation
) -> Iterator[VideoFrame]:
    """Deinterlaced, scaled RGB; a new filter graph whenever the frames change their kind."""
    width, height = info.width, info.height
    if orientation.transposed:
        width, height = height, width
    graph: Graph | None = None
    kind: FrameKind | None = None
    interlaced = False
    for frame in decoded:
        interlaced = interlaced or frame.interlaced_frame
        found = FrameKind.of(frame, interlaced)
        if graph is None or found != kind:
            if graph is not None:
                yield from drained_frames(graph)
            kind, graph = found, rgb_graph(found, info.time_base, width, height)
        frame.time_base = info.time_base
        graph.vpush(frame)
        yield from ready_frames(graph)
    if graph is not None:
        yield from drained_frames(graph)
