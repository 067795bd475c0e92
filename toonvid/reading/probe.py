"""Probing: finds the video stream and the auxiliary streams of a container and describes them.

In: an open `SourceContainer`, and its first frame. Out: `VideoInfo` and `AuxiliaryStreams`. Opening
and decoding are done elsewhere.
"""

from __future__ import annotations

from fractions import Fraction

import av
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from toonvid.errors import SourceError
from toonvid.ffmpeg.color import target_color
from toonvid.reading.container import SourceContainer
from toonvid.reading.options import DecodeOptions, fitted
from toonvid.reading.rotation import Orientation
from toonvid.reading.trim import TimeRange
from toonvid.video import AuxiliaryStreams, PacketQueue, VideoInfo, is_cover


def find_video_stream(source: SourceContainer) -> VideoStream:
    """Return the video stream that is read: FFmpeg's best one, cover images aside.

    Raises:
        SourceError: The source has no video stream, or none that a codec here can decode.
    """
    container = source.container
    streams = [s for s in container.streams.video if not is_cover(s)]
    if not streams:
        kinds = sorted({s.type for s in container.streams})
        found = ", ".join(kinds) or "it is empty"
        raise SourceError(f"{source.name} contains no video ({found})")
    # PyAV's annotations promise a codec context; a stream that nothing can decode has none.
    streams = [s for s in streams if (context := s.codec_context) and context.codec]
    if not streams:
        raise SourceError(f"{source.name} contains video that no codec here can decode")
    best = container.streams.best("video")
    video = best if best in streams else streams[0]
    assert isinstance(video, VideoStream)
    return video


def is_image(container: InputContainer) -> bool:
    """Whether a source is a still image rather than a video."""
    name = container.format.name
    return name == "image2" or name.endswith("_pipe")


def find_auxiliary_streams(
    source: SourceContainer, video: VideoStream, time_range: TimeRange, clock_start: Fraction
) -> AuxiliaryStreams:
    """Return everything but the video stream, before any packet is read.

    Args:
        source: The open source.
        video: The video stream that is read.
        time_range: Requested part.
        clock_start: Time of the source, in seconds, that is 0 on the clock of the packets.
    """
    container = source.container
    return AuxiliaryStreams(
        streams=tuple(s for s in container.streams if s.index != video.index),
        packets=PacketQueue(source.name),
        chapters=time_range.trim_chapters(container.chapters(), clock_start),
        metadata=dict(container.metadata),
        video_metadata=dict(video.metadata),
        video_disposition=int(video.disposition),
    )


def describe(
    source: SourceContainer,
    video: VideoStream,
    first: VideoFrame,
    orientation: Orientation,
    options: DecodeOptions,
) -> tuple[VideoInfo, str | None]:
    """Describe a source before its frames are read.

    Args:
        source: The open source.
        video: Its video stream.
        first: The first frame of the stream, as decoded.
        orientation: How that frame is rotated.
        options: Requested part and size.

    Returns:
        The description, and a notice for the user when colors are mapped to BT.709, else None.
    """
    container = source.container
    width, height = first.width, first.height
    # Not every container states an aspect ratio, and some state a negative one.
    aspect = video.sample_aspect_ratio or Fraction(1)
    if aspect <= 0:
        aspect = Fraction(1)
    if orientation.transposed:
        width, height, aspect = height, width, 1 / aspect
    width, height = fitted(width, height, options)
    color, notice = target_color(first)
    duration = _duration_seconds(container, video, options)
    rate = video.average_rate or video.guessed_rate
    info = VideoInfo(
        name=source.name,
        container=container.format.name,
        width=width,
        height=height,
        time_base=video.time_base or Fraction(1, av.time_base),
        frame_rate=Fraction(rate) if rate else None,
        duration_seconds=duration,
        frame_count=round(duration * rate) if duration and rate else None,
        sample_aspect_ratio=aspect,
        color=color,
        is_image=is_image(container),
    )
    return info, notice


def _duration_seconds(
    container: InputContainer, video: VideoStream, options: DecodeOptions
) -> float | None:
    """Return the duration of the requested part; None when the source does not state its own."""
    if video.duration is not None and video.time_base is not None:
        whole = float(video.duration * video.time_base)
    elif container.duration is not None:
        whole = container.duration / av.time_base
    else:
        return None
    begin = float(options.start or 0)
    end = whole if options.end is None else min(whole, float(options.end))
    return max(end - begin, 0.0)
