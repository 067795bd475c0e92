"""Transcode: audio and text subtitles that a container cannot hold, in a codec that it can.

In: packets of one stream of the source. Out: packets of a new stream of the target, with the same
times. Video is not transcoded here, and bitmap subtitles cannot be.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction

import av
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Stream
from av.subtitles.stream import SubtitleStream

TEXT_SUBTITLES = {"subrip", "ass", "ssa", "mov_text", "webvtt", "text"}

_AUDIO_CODECS = {"webm": "libopus"}  # container -> encoder of audio that does not fit; else AAC
_TEXT_CODECS = {"mp4": "mov_text", "mov": "mov_text", "matroska": "srt", "webm": "webvtt"}
_USUAL_RATE = 48000  # samples per second, where a codec lacks the source's rate
_MILLISECOND = Fraction(1, 1000)
_UNSTATED_SECONDS = 10  # for which a text is shown whose end is not stated; MP4 ends it at the next


class AudioTranscoder:
    """Turns audio packets into packets of another codec."""

    def __init__(self, source: AudioStream, target: OutputContainer) -> None:
        """Add a stream to the target.

        Raises:
            ValueError: The target's container can hold no audio.
            FFmpegError: The encoder cannot be opened.
        """
        name = _AUDIO_CODECS.get(target.format.name, "aac")
        rates = av.Codec(name, "w").audio_rates or [source.rate]
        self.lost_packets = 0
        """Number of packets that could not be decoded."""
        self._rate = source.rate if source.rate in rates else _USUAL_RATE
        self._decoder = source.codec_context
        stream = target.add_stream(name, rate=self._rate)
        assert isinstance(stream, AudioStream)
        self.stream: Stream = stream
        self._encoder = stream.codec_context
        self._encoder.layout = _encodable_layout(source, name, self._rate)
        self._encoder.time_base = Fraction(1, self._rate)
        self._resampler: AudioResampler | None = None
        self._kind: tuple[str, str, int] | None = None

    def translate(self, packet: Packet[Stream]) -> Iterator[Packet[Stream]]:
        """Yield the packets that one more packet gives. A damaged one is counted and skipped."""
        try:
            frames = self._decoder.decode(packet)
        except FFmpegError:
            self.lost_packets += 1
            return
        for frame in frames:
            yield from self._encoded(frame)

    def finish(self) -> Iterator[Packet[Stream]]:
        """Yield the packets of what decoder, resampler and encoder still hold."""
        try:
            frames = self._decoder.decode(None)
        except FFmpegError:
            frames = []
        for frame in frames:
            yield from self._encoded(frame)
        yield from self._flushed()
        if self._resampler is not None:
            yield from self._encoder.encode(None)

    def _encoded(self, frame: AudioFrame) -> Iterator[Packet[Stream]]:
        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        if kind != self._kind:  # the first frame, or a broadcast that goes on in another layout
            yield from self._flushed()
            # Only an open encoder knows how many samples it takes at a time.
            self._encoder.open(strict=False)
            self._resampler = AudioResampler(
                self._encoder.format, self._encoder.layout, self._rate, self._encoder.frame_size
            )
            self._kind = kind
        yield from self._resampled(frame)

    def _flushed(self) -> Iterator[Packet[Stream]]:
        yield from self._resampled(None)

    def _resampled(self, frame: AudioFrame | None) -> Iterator[Packet[Stream]]:
        pieces = [] if self._resampler is None else self._resampler.resample(frame)
        for piece in pieces:
            yield from self._encoder.encode(piece)


class SubtitleTranscoder:
    """Turns packets of text subtitles into packets of another codec."""

    def __init__(self, source: SubtitleStream, target: OutputContainer) -> None:
        """Add a stream to the target.

        Raises:
            ValueError: The target's container can hold no text subtitles.
            FFmpegError: The decoder cannot be opened.
        """
        name = _TEXT_CODECS.get(target.format.name)
        if name is None:
            raise ValueError(f"no text subtitles in {target.format.name}")
        self.lost_packets = 0
        """Number of packets that could not be converted."""
        stream = target.add_stream(name)
        assert isinstance(stream, SubtitleStream)
        self.stream: Stream = stream
        self._decoder, self._encoder = source.codec_context, stream.codec_context
        self._decoder.open(strict=False)
        self._encoder.subtitle_header = self._decoder.subtitle_header
        self._encoder.time_base = _MILLISECOND

    def translate(self, packet: Packet[Stream]) -> Iterator[Packet[Stream]]:
        """Yield the text in the target's codec. A damaged one is counted and skipped."""
        try:
            subtitle = self._decoder.decode2(packet)
            if subtitle is None:
                return
            text = self._encoder.encode_subtitle(subtitle)
        except FFmpegError:
            self.lost_packets += 1
            return
        text.pts = text.dts = packet.pts
        # Matroska need not state when a text ends; in MP4 it would then never be seen.
        unstated = round(_UNSTATED_SECONDS / packet.time_base) if text.size else 0
        text.duration = packet.duration or unstated
        text.time_base = packet.time_base
        yield text

    def finish(self) -> Iterable[Packet[Stream]]:
        """Return nothing: no text is held back."""
        return ()


def _encodable_layout(source: AudioStream, codec: str, rate: int) -> str:
    """Return the source's channel layout if the codec takes it, else the nearest that it takes."""
    # PCM states how many channels there are, but not which. "6c" is FFmpeg's default layout of six.
    for layout in (source.layout.name, f"{source.layout.nb_channels}c"):
        trial = av.CodecContext.create(codec, "w")
        assert isinstance(trial, AudioCodecContext)
        trial.layout, trial.rate = layout, rate
        trial.format = (av.Codec(codec, "w").audio_formats or [source.format])[0]
        try:
            trial.open()
        except (FFmpegError, ValueError):
            continue
        return layout
    return "stereo"
