"""Probing: finds the video stream and the auxiliary streams of a container and describes them.

In: an open `SourceContainer`, and its first frame. Out: `VideoInfo` and `AuxiliaryStreams`. Opening
and decoding are done elsewhere.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from toonvid.errors import SourceError
from toonvid.ffmpeg.color import has_alpha, target_color
from toonvid.reading.container import SourceContainer
from toonvid.reading.container_header import HeaderFacts, read_header_facts
from toonvid.reading.options import DecodeOptions, fitted
from toonvid.reading.rotation import Orientation
from toonvid.reading.trim import TimeRange
from toonvid.video import AuxiliaryStreams, PacketQueue, VideoInfo, is_cover

if TYPE_CHECKING:
    from toonvid.reading.image_file import StillOrAnimation

_MOST_ASPECT = 16  # of a pixel; anamorphic lenses and DVDs stay below 2
_ANIMATIONS = {"gif", "apng"}  # FFmpeg's names of the formats of animated images
_HIGHEST_AVERAGE = 1000  # frames per second: a stream with more is believed to be mistaken


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
    header: HeaderFacts,
    options: DecodeOptions,
) -> tuple[VideoInfo, list[str]]:
    """Describe a source before its frames are read.

    Args:
        source: The open source.
        video: Its video stream.
        first: The first frame of the stream, as decoded.
        orientation: How that frame is rotated.
        header: What the container's header states of the stream.
        options: Requested part and size.

    Returns:
        The description, and notices for the user of what the target will not have.
    """
    container = source.container
    crop = header.crop_of(first.width, first.height)
    width = first.width - crop.left - crop.right
    height = first.height - crop.top - crop.bottom
    notices = _lost_properties(header, len(container.chapters()))
    # Not every container states an aspect ratio, and some state a negative one.
    aspect = video.sample_aspect_ratio or Fraction(1)
    if header.display_size is not None and any(crop.edges):
        aspect = Fraction(*header.display_size) * height / width
    if aspect <= 0:
        aspect = Fraction(1)
    if not 1 / _MOST_ASPECT <= aspect <= _MOST_ASPECT:
        notices.append(f"pixels of {aspect} are not believed: they are taken to be square")
        aspect = Fraction(1)
    if orientation.transposed:
        width, height, aspect = height, width, 1 / aspect
    width, height = fitted(width, height, options)
    color, notice = target_color(first)
    notices += [notice] if notice else []
    duration = _duration_seconds(container, video, options)
    rate = frame_rate(video)
    info = VideoInfo(
        name=source.name,
        container=container.format.name,
        width=width,
        height=height,
        time_base=video.time_base or Fraction(1, av.time_base),
        frame_rate=rate,
        duration_seconds=duration,
        frame_count=round(duration * rate) if duration and rate else None,
        sample_aspect_ratio=aspect,
        color=color,
        # PyAV's annotations promise a rate; a stream that nothing can decode has none.
        audio_bit_rate=sum(getattr(s, "bit_rate", None) or 0 for s in container.streams.audio),
        is_image=is_image(container),
        is_animated_image=container.format.name in _ANIMATIONS,
        loop_count=_gif_loop_count(source.name) if container.format.name == "gif" else 0,
        has_alpha=has_alpha(first.format) and not _is_opaque_gif(container, first),
    )
    return info, notices


def read_stream_header(source: SourceContainer, video: VideoStream) -> HeaderFacts:
    """Read what the container's header states of a stream.

    Raises:
        SourceError: It is encrypted, or its colors cannot be decoded.
    """
    container = source.container
    place = [s for s in container.streams.video if not is_cover(s)].index(video)
    header = read_header_facts(source.name, container.format.name, video.id, place)
    if header.is_encrypted:
        raise SourceError(f"{source.name} is encrypted (DRM) and cannot be decoded without its key")
    if header.dolby_vision_profile == 5:
        raise SourceError(
            f"{source.name} is Dolby Vision profile 5, whose colors no decoder here understands:"
            " red would be purple; convert it to HDR10 first, for example with FFmpeg's libplacebo"
        )
    return header


def _lost_properties(header: HeaderFacts, chapters_read: int) -> list[str]:
    lost = []
    if header.chapter_count > chapters_read:  # FFmpeg reads those that come in order of time
        lost.append(
            f"{header.chapter_count - chapters_read} of {header.chapter_count} chapters are left"
            " out: they lie inside of others or are not in order of time"
        )
    if header.is_spherical:
        lost.append("it is a 360 degree video; the target does not say so, and is shown flat")
    if header.is_stereo:
        lost.append("it holds two eyes' views; the target does not say so, and shows both")
    return lost


def _is_opaque_gif(container: InputContainer, first: VideoFrame) -> bool:
    """Whether a GIF begins without transparent pixels; FFmpeg gives all of them an opacity."""
    if container.format.name != "gif":
        return False
    return bool(first.to_ndarray(format="rgba")[:, :, 3].min() == 255)


def _gif_loop_count(name: str) -> int:
    """Return how often a GIF is shown; 0 without end, and where that cannot be read from a file."""
    from PIL import GifImagePlugin  # a video does not need Pillow

    try:
        if not Path(name).is_file():
            return 0
        with GifImagePlugin.GifImageFile(name) as gif:
            repetitions = gif.info.get("loop")
    except (OSError, SyntaxError, ValueError):  # FFmpeg reads more than Pillow does
        return 0
    return 1 if repetitions is None else int(repetitions) and int(repetitions) + 1


def describe_image(name: str, image: StillOrAnimation, options: DecodeOptions) -> VideoInfo:
    """Describe an image file before its frames are read.

    Args:
        name: The source as the user named it.
        image: Open.
        options: Requested size.
    """
    first, properties = image.first, image.properties
    width, height = fitted(first.width, first.height, options)
    assert first.time_base is not None, "its own reader sets it"
    rate = 1 / (first.duration * first.time_base) if properties.is_animated else None
    return VideoInfo(
        name=name,
        container=properties.format,
        width=width,
        height=height,
        time_base=first.time_base,
        frame_rate=rate,
        frame_count=properties.frame_count,
        color=target_color(first)[0],
        is_image=not properties.is_animated,
        is_animated_image=properties.is_animated,
        loop_count=properties.loop_count,
        has_alpha=first.format.name == "rgba",
        exif=properties.exif,
    )


def frame_rate(video: VideoStream) -> Fraction | None:
    """Return the frames per second that a stream states; None when it states none.

    The average of a few frames can be their clock's rate: 60000 for two frames of DV.
    """
    average, guessed = video.average_rate, video.guessed_rate
    if average and guessed and average > _HIGHEST_AVERAGE >= guessed:
        return Fraction(guessed)
    rate = average or guessed
    return Fraction(rate) if rate else None


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
