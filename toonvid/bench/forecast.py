"""Forecast of a conversion: how long it will take, and how large its target will be.

In: a source and the options of its conversion. Out: a `Forecast`, from a few parts of the video
that are converted on trial. Nothing is written. A conversion under way is forecast from its own
progress (`forecast_progress`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from av.packet import Packet
from av.stream import Stream

from toonvid.backends import Backend
from toonvid.errors import SourceError
from toonvid.pipeline import ConvertOptions, Progress, Sink, run_stages
from toonvid.reading.decoder import VideoDecoder
from toonvid.stylizing.stylizer import Stylizer
from toonvid.video import Frame, VideoInfo
from toonvid.writing.encoder import Encoder

_SHARES = (Fraction(1, 10), Fraction(1, 2), Fraction(9, 10))  # where a long video is tried
_LONG_SECONDS = 30.0  # of video; a shorter one is tried at its beginning alone
_FEWEST_FRAMES = 24  # in a trial, more than most codecs look ahead


class NoForecastError(SourceError):
    """A source can be read, but nothing can be said of it before it is converted."""


@dataclass(frozen=True)
class Forecast:
    """What a conversion will take, as far as a trial can tell."""

    info: VideoInfo
    """Description of the source."""
    frames: int
    """Frames of the target."""
    rate: float
    """Frames per second."""
    target_bytes: int
    """Size of the target, with the audio that the source states the size of."""

    @property
    def seconds(self) -> float:
        """Seconds that the conversion takes."""
        return self.frames / self.rate


@dataclass
class _Trial:
    """What one part of the video took."""

    frames: int = 0
    seconds: float = 0.0
    """From the end of the first frame to the end of the last."""
    key_bytes: int = 0
    """Bytes of the first packet, which is a key frame."""
    other_bytes: int = 0


def forecast(
    source: str | Path,
    target: str | Path,
    backend: Backend,
    options: ConvertOptions,
    trial_seconds: float = 1.5,
) -> Forecast:
    """Convert some parts of a video on trial, and forecast the whole.

    Args:
        source: A video file, or an address that can be sought in.
        target: The file that would be written.
        backend: Open.
        options: As for the conversion.
        trial_seconds: Seconds that each of up to three trials takes after its first frame; slow
            conversions take longer, because 24 frames are the fewest.

    Raises:
        SourceError: The source cannot be read.
        NoForecastError: It does not state how long it is, or is too short.
        TargetError: The target cannot be written as asked.
        BackendError: The engine fails.
    """
    with VideoDecoder(source, options.decoding) as decoder:
        info = decoder.info
    if info.frame_count is None or info.duration_seconds is None:
        raise NoForecastError(f"{info.name} does not state how long it is: nothing can be forecast")
    shares = _SHARES if info.duration_seconds >= _LONG_SECONDS else (Fraction(0),)
    begin = options.decoding.start or Fraction(0)
    trials = []
    for share in shares:
        start = begin + share * Fraction(info.duration_seconds).limit_denominator(1000)
        decoding = replace(options.decoding, start=start or None)
        part = replace(options, decoding=decoding)
        trials.append(_try(source, target, backend, part, trial_seconds))
    done = [trial for trial in trials if trial.frames > 1]
    if not done:
        raise NoForecastError(f"{info.name} has too few frames: nothing can be forecast")
    frames = sum(trial.frames - 1 for trial in done)
    rate = frames / sum(trial.seconds for trial in done)
    # A segment begins with a key frame, which is larger than the frames after it.
    segments = max(1, info.duration_seconds / float(options.segment_seconds))
    video_bytes = segments * sum(trial.key_bytes for trial in done) / len(done)
    video_bytes += (info.frame_count - segments) * sum(t.other_bytes for t in done) / frames
    audio_bytes = _audio_bytes(info, options.encoding.audio)
    return Forecast(info, info.frame_count, rate, round(max(0, video_bytes) + audio_bytes))


def forecast_progress(
    progress: Progress, frames: int, seconds: float, with_audio: bool = True
) -> Forecast | None:
    """Forecast a conversion from how far it has come.

    Args:
        progress: State of the conversion.
        frames: Frames that this run has written.
        seconds: Seconds that it took for them.
        with_audio: Whether the target gets the audio.

    Returns:
        The forecast of the whole conversion; None while it is too early, or where the source does
        not state its length.
    """
    info = progress.info
    if info.frame_count is None or info.duration_seconds is None:
        return None
    if frames < _FEWEST_FRAMES or not progress.video_seconds:
        return None
    share = min(1.0, progress.video_seconds / info.duration_seconds)
    target_bytes = round(progress.video_bytes / share + _audio_bytes(info, with_audio))
    return Forecast(info, info.frame_count, frames / seconds, target_bytes)


def _audio_bytes(info: VideoInfo, with_audio: bool) -> float:
    """Bytes of the audio in the target, as far as the source states its bit rate."""
    return info.audio_bit_rate / 8 * (info.duration_seconds or 0) if with_audio else 0.0


def _try(
    source: str | Path,
    target: str | Path,
    backend: Backend,
    options: ConvertOptions,
    seconds: float,
) -> _Trial:
    trial = _Trial()
    first_at = 0.0

    def until_enough(frames: Iterator[Frame]) -> Iterator[Frame]:
        for number, frame in enumerate(frames):
            is_long = first_at and time.perf_counter() - first_at >= seconds
            if is_long and number >= _FEWEST_FRAMES:
                return
            yield frame

    def count(packets: list[Packet[Stream]]) -> None:
        for packet in packets:
            if trial.key_bytes:
                trial.other_bytes += packet.size
            else:
                trial.key_bytes = packet.size

    def report(_: Frame) -> None:
        nonlocal first_at
        now = time.perf_counter()
        first_at = first_at or now
        trial.frames += 1
        trial.seconds = now - first_at

    @contextmanager
    def open_sink(_part: int, first: Frame) -> Iterator[Sink]:
        encoder = Encoder(target, decoder.info, options.encoding)
        encoder.open(first)
        yield Sink(encoder, count)

    with VideoDecoder(source, options.decoding) as decoder:
        stylizer = Stylizer(backend, options.stylizing.for_source(decoder.info.is_image))
        run_stages(
            decoder=decoder,
            frames=until_enough(decoder.frames()),
            stylize=lambda frames: ((0, cartoon) for cartoon in stylizer.stylize(frames)),
            open_sink=open_sink,
            on_frame=report,
        )
    return trial
