"""The film that is measured on: our own scene, or the beginning of a source, at one size."""

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

RATE = Fraction(24)  # of the scene, frames a second
# Drawing takes longer than anything that is measured, so some frames are repeated.
_DRAWN_FRAMES = 48  # at most
_DRAWN_PIXELS = 1920 * 1080  # of a frame, at most; larger ones are enlarged
_FILM_PIXELS = 192 * 1280 * 720  # in all, where that leaves a length within the next line's
_FILM_SECONDS = (1.0, 16.0)


def write_test_video(
    target: Path, source: Path | None, size: tuple[int, int] | int, seconds: float | None = None
) -> None:
    """Write a film to measure on: H.264 in yuv420p, with sound.

    Args:
        target: An `.mp4`, not there yet.
        source: Its beginning is scaled; None takes our own scene.
        size: A box or a short side in pixels, as `DecodeOptions.size`; even for the scene.
        seconds: How long it is to be; the scene comes out with a frame more or less for each time
            it is repeat_frames, a source at its own length when it is shorter. None: about the same
            work at each size, so that a start counts for little, and large films end.
    """
    seconds = seconds or _fitting_seconds(size)
    if source is not None:
        _write_beginning(target, source, size, seconds)
        return
    width, height = _even_size(size)
    divisor = math.ceil(math.sqrt(width * height / _DRAWN_PIXELS))
    if divisor == 1:
        _write_drawn(target, (width, height), seconds)
        return
    drawn = target.with_name(f"drawn-{target.name}")
    _write_drawn(drawn, (2 * round(width / divisor / 2), 2 * round(height / divisor / 2)), seconds)
    _write_beginning(target, drawn, (width, height), seconds)
    drawn.unlink()


def wide_size(short_side: int) -> tuple[int, int]:
    """Width and height at 16:9, both even."""
    return max(2, round(short_side * 8 / 9) * 2), max(2, round(short_side / 2) * 2)


def _fitting_seconds(size: tuple[int, int] | int) -> float:
    width, height = _even_size(size)
    shortest, longest = _FILM_SECONDS
    return max(shortest, min(longest, _FILM_PIXELS / (width * height * float(RATE))))


def _even_size(size: tuple[int, int] | int) -> tuple[int, int]:
    return size if isinstance(size, tuple) else wide_size(size)


def repeat_video(film: Path, target: Path, times: int) -> None:
    """Write a film's packets over and over, without decoding any.

    Args:
        film: Its first stream of pictures says how long it is.
        target: Of the same container.
        times: How often the film comes.
    """
    with av.open(str(film)) as source, av.open(str(target), "w") as sink:
        streams = {s.index: sink.add_stream_from_template(s) for s in source.streams}
        pictures = source.streams.video[0]
        assert pictures.duration is not None and pictures.time_base is not None
        period = pictures.duration * pictures.time_base
        for index in range(times):
            _add_once(source, sink, streams, index * period, period)


def _add_once(
    source: InputContainer,
    sink: OutputContainer,
    streams: dict[int, Stream],
    begin: Fraction,
    period: Fraction,
) -> None:
    source.seek(0)
    for packet in source.demux():
        if packet.pts is None or packet.dts is None:
            continue  # the end mark
        tick = packet.time_base
        is_sound = packet.stream.type == "audio"
        end = (packet.pts + (packet.duration or 0)) * tick
        if is_sound and (end > period or (begin and packet.pts < 0)):
            continue  # what sticks out at the ends would run into the next round
        shift = round(begin / tick)
        packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
        packet.stream = streams[packet.stream_index]
        sink.mux(packet)


def _write_drawn(target: Path, size: tuple[int, int], seconds: float) -> None:
    once = target.with_name(f"once-{target.name}")
    frames = max(1, round(seconds * RATE))
    times = math.ceil(frames / _DRAWN_FRAMES)
    write_scene(once, *size, RATE, round(frames / times) / float(RATE))
    repeat_video(once, target, times)
    once.unlink()


def _write_beginning(
    target: Path, source: Path, size: tuple[int, int] | int, seconds: float
) -> None:
    options = DecodeOptions(size, upscale=True, end=Fraction(seconds).limit_denominator(1000))
    with VideoDecoder(source, options, with_auxiliary=True) as decoder:
        write_video(target, decoder.info, decoder.frames(), auxiliary=decoder.auxiliary)
