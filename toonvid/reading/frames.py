"""Frames: decoded video frames become RGB arrays with their times, rotated for display.

In: PyAV's frames. Out: `toonvid.video.Frame`. Color conversion and scaling happen in the filter
graphs of `toonvid.ffmpeg.filter_graphs`, rotation in `toonvid.reading.rotation`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
from av.filter.graph import Graph
from av.video.frame import VideoFrame

from toonvid.ffmpeg.color import FrameFormat
from toonvid.ffmpeg.filter_graphs import drained_frames, ready_frames, rgb_graph
from toonvid.ffmpeg.tone_table import ToneTable
from toonvid.reading.container_header import HeaderFacts
from toonvid.reading.rotation import Orientation
from toonvid.video import Frame, VideoInfo

_ASSUMED_FRAME_RATE = Fraction(25)  # for sources that state neither times nor a frame rate
# Frames of another shape get black bars, but not for what rounding to even sides has changed.
_SAME_SHAPE = Fraction(1, 50)


def rotated_rgb_frames(
    decoded: Iterator[VideoFrame],
    info: VideoInfo,
    orientation: Orientation,
    header: HeaderFacts | None = None,
    pixel_aspect: Callable[[], Fraction | None] = lambda: None,
    tone_table: ToneTable | None = None,
) -> Iterator[Frame]:
    """Yield decoded frames as rotated RGB; a frame without a time follows the one before it.

    All have the size of the first. Where the source changes the shape of its frames, they are
    fitted into that size with black bars.

    Args:
        decoded: Frames in presentation order, their pts in units of `info.time_base`.
        info: States the width and height of the frames that are yielded.
        orientation: How the first frame is rotated.
        header: States what is cropped; None for nothing.
        pixel_aspect: Returns width over height of a pixel in the last decoded frame, as the codec
            states it; None for unknown.
        tone_table: Maps the colors of HDR and wide gamut; None for none.
    """
    next_pts = 0
    for rgb, turned in _rgb_frames(decoded, info, orientation, header, pixel_aspect, tone_table):
        time_base = Fraction(rgb.time_base or info.time_base)
        pts = next_pts if rgb.pts is None else rgb.pts
        one_frame = round(1 / ((info.frame_rate or _ASSUMED_FRAME_RATE) * time_base))
        next_pts = pts + (rgb.duration or max(1, one_frame))
        yield _rotated_frame(rgb, turned, pts, time_base)


def _rgb_frames(
    decoded: Iterator[VideoFrame],
    info: VideoInfo,
    orientation: Orientation,
    header: HeaderFacts | None,
    pixel_aspect: Callable[[], Fraction | None],
    tone_table: ToneTable | None,
) -> Iterator[tuple[VideoFrame, Orientation]]:
    """Yield deinterlaced, scaled RGB, with a new filter graph whenever the format changes.

    Each frame comes with the orientation that it still needs.
    """
    graph: Graph | None = None
    current: FrameFormat | None = None
    interlaced = False
    angle: int | None = None
    aspect: Fraction | None = None
    first_aspect = Fraction(1)
    own_aspect = info.sample_aspect_ratio  # of the first frame, before rotation
    if orientation.transposed:
        own_aspect = 1 / own_aspect
    for frame in decoded:
        # bwdif passes progressive frames through, so mixed content needs no second change of graph.
        interlaced = interlaced or frame.interlaced_frame
        crop = header.crop_of(frame.width, frame.height).edges if header else (0, 0, 0, 0)
        found = FrameFormat.from_frame(frame, interlaced, crop)
        is_turned = angle is not None and frame.rotation != angle
        angle = frame.rotation
        # Broadcasts change from 4:3 to 16:9 without another size.
        last_aspect, aspect = aspect, pixel_aspect() or aspect or Fraction(1)
        if graph is None or found != current or is_turned or aspect != last_aspect:
            if graph is not None:
                yield from ((rgb, orientation) for rgb in drained_frames(graph))
            if is_turned:
                orientation = Orientation.from_frame(frame)
            first_aspect = aspect if current is None else first_aspect
            current = found
            table = tone_table.path if tone_table and tone_table.fits(found) else None
            graph = _graph(found, info, orientation, own_aspect * aspect / first_aspect, table)
        frame.time_base = info.time_base
        graph.vpush(frame)
        yield from ((rgb, orientation) for rgb in ready_frames(graph))
    if graph is not None:
        yield from ((rgb, orientation) for rgb in drained_frames(graph))


def _graph(
    kind: FrameFormat,
    info: VideoInfo,
    orientation: Orientation,
    aspect: Fraction,
    tone_table: Path | None,
) -> Graph:
    """Build the graph that fits frames with pixels of an aspect ratio into the target's size."""
    width, height = info.width, info.height
    left, top, right, bottom = kind.crop
    own_width, own_height = kind.width - left - right, kind.height - top - bottom
    if orientation.transposed:
        own_width, own_height, aspect = own_height, own_width, 1 / aspect
    shown = _fitted_size(
        width, height, Fraction(own_width, own_height) * aspect / info.sample_aspect_ratio
    )
    if orientation.transposed:
        height, width, shown = width, height, (shown[1], shown[0])
    return rgb_graph(kind, info.time_base, width, height, shown, tone_table)


def _fitted_size(width: int, height: int, shape: Fraction) -> tuple[int, int]:
    """Return the largest size inside of another whose width over height is `shape`."""
    if abs(shape * height / width - 1) <= _SAME_SHAPE:
        return width, height
    if shape * height < width:
        return max(1, round(shape * height)), height
    return width, max(1, round(width / shape))


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
