"""What is in a source: its film, and what lies beside it. Opening and decoding are left out."""

from __future__ import annotations

from fractions import Fraction

import av
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from toonvid.errors import SourceError
from toonvid.ffmpeg.color import Orientation, target_color
from toonvid.reading.options import DecodeOptions, fitted
from toonvid.reading.trim import Span
from toonvid.video import AuxiliaryStreams, PacketQueue, VideoInfo, is_cover


def find_film(container: InputContainer, source: str) -> VideoStream:
    """The stream of pictures that is read.

    Args:
        container: Of the source.
        source: What to call it in a message.

    Raises:
        SourceError: There are no pictures, or none that a codec here can read.
    """
    films = [s for s in container.streams.video if not is_cover(s)]
    if not films:
        kinds = sorted({s.type for s in container.streams})
        raise SourceError(f"{source} has no pictures ({', '.join(kinds) or 'it is empty'})")
    # PyAV's annotations promise a codec context; a stream that nothing can decode has none.
    films = [film for film in films if (context := film.codec_context) and context.codec]
    if not films:
        raise SourceError(f"{source} has pictures that no codec here can read")
    best = container.streams.best("video")
    film = best if best in films else films[0]
    assert isinstance(film, VideoStream)
    return film


def is_image(container: InputContainer) -> bool:
    """Whether a source is a still image rather than a film."""
    name = container.format.name
    return name == "image2" or name.endswith("_pipe")


def asked_span(container: InputContainer, options: DecodeOptions) -> Span:
    """The part that was asked for, on the source's own clock."""
    return Span(_on_own_clock(options.start, container), _on_own_clock(options.end, container))


def find_auxiliary_streams(
    container: InputContainer, film: VideoStream, span: Span, source: str
) -> AuxiliaryStreams:
    """All that is beside the film, none of its packets read so far."""
    return AuxiliaryStreams(
        streams=tuple(s for s in container.streams if s.index != film.index),
        packets=PacketQueue(source),
        chapters=span.chapters(container.chapters()),
        metadata=dict(container.metadata),
        video_metadata=dict(film.metadata),
        video_disposition=int(film.disposition),
    )


def describe(
    container: InputContainer,
    film: VideoStream,
    first: VideoFrame,
    orientation: Orientation,
    source: str,
    options: DecodeOptions,
) -> tuple[VideoInfo, str | None]:
    """What is known of a film before its frames arrive, and a notice when its colours change.

    Args:
        container: Of the source.
        film: The stream of pictures in it.
        first: The first frame of the film, decoded.
        orientation: Of that frame.
        source: What to call the source in a message.
        options: Part and size of the pictures.
    """
    turned = orientation.transposed
    width, height = (first.height, first.width) if turned else (first.width, first.height)
    width, height = fitted(width, height, options)
    aspect = film.sample_aspect_ratio or Fraction(1)
    if aspect <= 0:
        aspect = Fraction(1)
    color, notice = target_color(first)
    duration = _duration_seconds(container, film, options)
    rate = film.average_rate or film.guessed_rate
    info = VideoInfo(
        name=source,
        container=container.format.name,
        width=width,
        height=height,
        time_base=film.time_base or Fraction(1, av.time_base),
        frame_rate=Fraction(rate) if rate else None,
        duration_seconds=duration,
        frame_count=round(duration * rate) if duration and rate else None,
        sample_aspect_ratio=1 / aspect if turned else aspect,
        color=color,
        is_image=is_image(container),
    )
    return info, notice


def _on_own_clock(time: Fraction | None, container: InputContainer) -> Fraction | None:
    """A time from the beginning, on the source's own clock."""
    if time is None:
        return None
    start = Fraction(container.start_time or 0, av.time_base)  # rounded to microseconds
    exact = (
        s.start_time * s.time_base
        for s in container.streams
        if s.start_time is not None and s.time_base is not None
    )
    return time + next((e for e in exact if abs(e - start) * av.time_base < 1), start)


def _duration_seconds(
    container: InputContainer, film: VideoStream, options: DecodeOptions
) -> float | None:
    """How long the asked-for part lasts."""
    if film.duration is not None and film.time_base is not None:
        whole = float(film.duration * film.time_base)
    elif container.duration is not None:
        whole = container.duration / av.time_base
    else:
        return None
    begin = float(options.start or 0)
    end = whole if options.end is None else min(whole, float(options.end))
    return max(end - begin, 0.0)
