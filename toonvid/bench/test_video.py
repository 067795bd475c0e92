"""The test video: the demo scene or the beginning of a source, at one frame size.

In: a size and a length. Out: an `.mp4` file with H.264 in yuv420p and AAC, so that measurements at
different sizes compare the same codecs.
"""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer, OutputContainer
from av.stream import Stream

from toonvid.bench.demo_scene import write_scene
from toonvid.reading.decoder import VideoDecoder
from toonvid.reading.options import DecodeOptions
from toonvid.writing.muxer import write_video

RATE = Fraction(24)  # frames per second of the scene
# Drawing takes longer than anything that is measured: frames are repeated, and large ones scaled.
_MAX_DRAWN_FRAMES = 48
_MAX_DRAWN_PIXELS = 1920 * 1080  # per frame
_TOTAL_PIXELS = 192 * 1280 * 720  # of all frames, if the length is within the next limits
_LENGTH_SECONDS = (1.0, 16.0)


def write_test_video(
    target: Path, source: Path | None, size: tuple[int, int] | int, seconds: float | None = None
) -> None:
    """Write a video to measure with.

    Args:
        target: Path of an `.mp4` that does not exist yet.
        source: Video whose beginning is scaled. None: the demo scene.
        size: A box or a short side in pixels, as `DecodeOptions.size`; even for the scene.
        seconds: Length. A source that is shorter keeps its own length; the scene may be longer or
            shorter by a frame per repetition. None: a length that makes about the same work at each
            size, so that start-up counts for little and large videos do not take forever.
    """
    seconds = seconds or _fitting_seconds(size)
    if source is not None:
        _write_beginning(target, source, size, seconds)
        return
    width, height = _even_size(size)
    divisor = math.ceil(math.sqrt(width * height / _MAX_DRAWN_PIXELS))
    if divisor == 1:
        _write_scene_video(target, (width, height), seconds)
        return
    drawn = target.with_name(f"drawn-{target.name}")
    _write_scene_video(
        drawn, (2 * round(width / divisor / 2), 2 * round(height / divisor / 2)), seconds
    )
    _write_beginning(target, drawn, (width, height), seconds)
    drawn.unlink()


def wide_size(short_side: int) -> tuple[int, int]:
    """Return (width, height) with the aspect ratio 16:9, both even."""
    return max(2, round(short_side * 8 / 9) * 2), max(2, round(short_side / 2) * 2)


def _fitting_seconds(size: tuple[int, int] | int) -> float:
    width, height = _even_size(size)
    shortest, longest = _LENGTH_SECONDS
    return max(shortest, min(longest, _TOTAL_PIXELS / (width * height * float(RATE))))


def _even_size(size: tuple[int, int] | int) -> tuple[int, int]:
    return size if isinstance(size, tuple) else wide_size(size)


def repeat_video(video: Path, target: Path, times: int) -> None:
    """Write a video's packets several times in a row, without decoding them.

    Args:
        video: Video to repeat. Its first video stream determines the period.
        target: File to write, in the same container format.
        times: Number of repetitions.
    """
    with av.open(str(video)) as source, av.open(str(target), "w") as sink:
        streams = {s.index: sink.add_stream_from_template(s) for s in source.streams}
        video_stream = source.streams.video[0]
        assert video_stream.duration is not None and video_stream.time_base is not None
        period = video_stream.duration * video_stream.time_base
        for index in range(times):
            _append_once(source, sink, streams, index * period, period)


def _append_once(
    source: InputContainer,
    sink: OutputContainer,
    streams: dict[int, Stream],
    begin: Fraction,
    period: Fraction,
) -> None:
    source.seek(0)
    for packet in source.demux():
        if packet.pts is None or packet.dts is None:
            continue  # marks the end of the source
        tick = packet.time_base
        is_audio = packet.stream.type == "audio"
        end = (packet.pts + (packet.duration or 0)) * tick
        if is_audio and (end > period or (begin and packet.pts < 0)):
            continue  # audio beyond the ends would overlap with the next repetition
        shift = round(begin / tick)
        packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
        packet.stream = streams[packet.stream_index]
        sink.mux(packet)


def _write_scene_video(target: Path, size: tuple[int, int], seconds: float) -> None:
    once = target.with_name(f"once-{target.name}")
    frames = max(1, round(seconds * RATE))
    times = math.ceil(frames / _MAX_DRAWN_FRAMES)
    write_scene(once, *size, RATE, round(frames / times) / float(RATE))
    repeat_video(once, target, times)
    once.unlink()


def _write_beginning(
    target: Path, source: Path, size: tuple[int, int] | int, seconds: float
) -> None:
    options = DecodeOptions(size, upscale=True, end=Fraction(seconds).limit_denominator(1000))
    with VideoDecoder(source, options, with_auxiliary=True) as decoder:
        write_video(target, decoder.info, decoder.frames(), auxiliary=decoder.auxiliary)
