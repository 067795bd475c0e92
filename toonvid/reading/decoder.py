"""Decode: a source becomes `VideoInfo`, then upright RGB frames in the order in which they are
shown.

Audio, subtitles and the rest are not decoded: their packets are handed on as `AuxiliaryStreams`. What is
in a source is `toonvid.reading.probe`'s to know, what decodes it `toonvid.reading.decoder_choice`'s, and how its
pictures become frames `toonvid.reading.frames`'s. Cameras are not read here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
from av.codec.context import Flags
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame

from toonvid.ffmpeg.color import Orientation
from toonvid.ffmpeg.hardware import ActiveDecoder
from toonvid.reading.container import Source, too_large
from toonvid.reading.decoder_choice import choose_hardware, tell_decoder
from toonvid.reading.demuxer import Demuxer
from toonvid.reading.frames import upright_frames
from toonvid.reading.options import DecodeOptions
from toonvid.reading.probe import (
    asked_span,
    describe,
    find_auxiliary_streams,
    find_film,
    is_image,
)
from toonvid.video import PIPE, AuxiliaryStreams, Frame, VideoInfo, is_cover

logger = logging.getLogger(__name__)

# Seconds before the start to which to seek. Some containers take the time of decoding for the time
# at which a frame is shown, or find no key frame; the last is the beginning of any film.
_SEEK_MARGINS = (0, 2, 20, 10**6)


class VideoDecoder:
    """Reads one source. A context manager; `frames` may be read once, on any one thread."""

    info: VideoInfo
    """Known once the decoder is entered."""
    auxiliary: AuxiliaryStreams
    """Streams beside the pictures; empty unless asked for."""
    decoded_by: ActiveDecoder
    """Likewise known."""

    def __init__(
        self,
        source: str | Path,
        options: DecodeOptions | None = None,
        with_auxiliary: bool = False,
        opener: Callable[[], InputContainer] | None = None,
    ) -> None:
        """Remember what to open.

        Args:
            source: A file, anything else that FFmpeg opens, or `-` for standard input.
            options: Part and size of the pictures; None for all of them as they are.
            with_auxiliary: Whether to hand on packets of the other streams. Someone has to take
                them from `auxiliary.packets`, or they pile up.
            opener: Opens the source where it is no file, pipe or plain URL.
        """
        self.source = str(source)
        self.options = options or DecodeOptions()
        self.with_auxiliary = with_auxiliary
        self._opener = opener
        self.damage: str | None = None
        """What of the source could not be read; None while nothing is amiss."""
        self.notices: list[str] = []
        """What was changed on the way and a user may want to know."""
        self._opened: Source | None = None
        self._repeated = 0

    def __enter__(self) -> VideoDecoder:
        self._opened = self._open(None if self._opener else self._hardware())
        try:
            self._prepare(self._opened.container)
            self._opened.raise_ended()
        except BaseException:
            self._opened.close()
            self._opened.raise_ended()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the source early; `info`, `notices` and `damage` stay."""
        if self._opened is not None:
            self._opened.close()

    def interrupt(self) -> None:
        """Wait no longer for a source that is silent: its frames end. On any thread."""
        if self._opened is not None:
            self._opened.interrupt()

    def frames(self) -> Iterator[Frame]:
        """Yield the frames in the order in which they are shown, their times strictly rising.

        A source that is damaged ends early or has gaps; `damage` then says so. Nothing is raised
        for it.
        """
        upright = upright_frames(self._decoded, self.info, self._orientation)
        last: Fraction | None = None
        for frame in self._span.frames(upright):
            if last is not None and frame.seconds <= last and not self.options.low_delay:
                self._repeated += 1
                continue
            last = frame.seconds
            yield frame
        assert self._opened is not None
        self._opened.raise_ended()
        self.damage = ", ".join(filter(None, (self._demuxer.damage(), self.trouble))) or None
        if self._repeated:
            self.notices.append(
                f"{self._repeated} frames shown at no later time than the last were left out"
            )

    @property
    def trouble(self) -> str | None:
        """Why a source that may be in order cannot be read now; None while it can."""
        return None if self._opened is None else self._opened.trouble

    @property
    def is_whole(self) -> bool:
        """Whether nothing was lost or left out so far."""
        lost = self._demuxer.lost_packets or self._demuxer.is_silent or self.trouble
        return not lost and self._repeated == 0

    def packet_times(self) -> Iterator[Fraction | None]:
        """Read on without decoding, as an alternative to `frames`.

        Yields:
            For each packet of the video, when it is decoded, in seconds; for each packet of
            another stream None, once it waits in `auxiliary.packets`.
        """
        for packet in self._packets:
            time = packet.pts if packet.dts is None else packet.dts
            if packet.stream_index != self._stream.index:
                self._keep(packet)
                yield None
            elif time is not None:
                yield time * packet.time_base - (self._span.start or 0)
        assert self._opened is not None
        self._opened.raise_ended()

    def skip_to(self, seconds: Fraction) -> None:
        """Go on reading at a key frame that is shown no later than this; `info` stays as it is.

        Args:
            seconds: On the clock of the frames that come out.
        """
        assert self._opened is not None
        container = self._opened.container
        _, self._decoded = self._start_reading(container, seconds + (self._span.start or 0))

    def _open(self, hardware: HWAccel | None) -> Source:
        options = self.options
        return Source(
            self.source, options.max_pixels, options.stall_seconds, self._opener, hardware
        )

    def _hardware(self) -> HWAccel | None:
        hardware, notice = choose_hardware(self.source, self.options, lambda: self._open(None))
        self._notice(notice)
        return hardware

    def _notice(self, notice: str | None) -> None:
        if notice:
            self.notices.append(notice)

    def _prepare(self, container: InputContainer) -> None:
        """Find the film in the container, and look at its first frame."""
        self._stream = find_film(container, self.source)
        self._refuse_huge()
        self._stream.codec_context.options = {"max_pixels": str(self.options.max_pixels)}
        # Threads that share out frames hold as many of them back.
        self._stream.thread_type = "SLICE" if self.options.low_delay else "AUTO"
        if self.options.low_delay:
            self._stream.codec_context.flags |= Flags.low_delay
        if self.options.key_frames_only:
            self._stream.codec_context.skip_frame = "NONKEY"
        self._span = asked_span(container, self.options)
        first, self._decoded = self._start_reading(container, self._span.start)
        self.decoded_by, notice = tell_decoder(self._stream, first, self.source, self.options)
        self._notice(notice)
        self._orientation = Orientation.of(first)
        self.info, notice = describe(
            container, self._stream, first, self._orientation, self.source, self.options
        )
        self._notice(notice)

    def _refuse_huge(self) -> None:
        width, height = self._stream.codec_context.width, self._stream.codec_context.height
        if width * height > self.options.max_pixels:
            raise too_large(self.source, width, height, self.options.max_pixels)

    def _start_reading(
        self, container: InputContainer, start: Fraction | None
    ) -> tuple[VideoFrame, Iterator[VideoFrame]]:
        """Decode the first frame, at the start that was asked for or before it, and what follows.

        The iterator begins with the first frame once more.
        """
        can_seek = start is not None and self.source != PIPE and not is_image(container)
        first = None
        for margin in _SEEK_MARGINS if can_seek else _SEEK_MARGINS[:1]:
            if start is not None and can_seek:
                self._seek(container, start - margin)
            self.auxiliary = AuxiliaryStreams()
            if self.with_auxiliary:
                self.auxiliary = find_auxiliary_streams(
                    container, self._stream, self._span, self.source
                )
            self._demuxer = Demuxer(container, self._stream, self.auxiliary.streams, self._span)
            self._packets = self._demuxer.packets()
            decoded = self._decoded_frames()
            first = next(decoded, None)
            if first is not None and (start is None or self._time(first) <= start):
                break
        if first is None:
            assert self._opened is not None
            raise self._opened.unreadable()
        return first, chain([first], decoded)

    def _time(self, frame: VideoFrame) -> Fraction:
        """When a frame is shown, in seconds; 0 where the source does not say."""
        # Not the frame's own time base: PyAV does not give one to the last frames of a film.
        return (frame.pts or 0) * (self._stream.time_base or Fraction(0))

    def _seek(self, container: InputContainer, time: Fraction) -> None:
        """Go to the key frame before a time; a source that cannot is read from its beginning."""
        try:
            container.seek(int(time * av.time_base), backward=True)
        except FFmpegError as error:
            logger.debug("%s cannot seek: %s", self.source, error)

    def _decoded_frames(self) -> Iterator[VideoFrame]:
        """Frames as the decoder gives them; what cannot be decoded is counted and passed over."""
        for packet in chain(self._packets, [None]):
            if packet is not None and packet.stream_index != self._stream.index:
                self._keep(packet)
                continue
            try:
                frames = self._stream.decode(packet)
            except FFmpegError as error:
                logger.debug("%s: packet lost: %s", self.source, error)
                self._demuxer.lost_packets += 1
                continue
            self._demuxer.lost_packets += sum(frame.is_corrupt for frame in frames)
            yield from frames

    def _keep(self, packet: Packet[Stream]) -> None:
        """Hand on a packet of an auxiliary stream."""
        if is_cover(packet.stream):
            packet.pts = packet.dts = 0  # most containers give it no time
            self.auxiliary.covers.append(packet)
        elif (moved := self._span.packet(packet)) is not None:
            self.auxiliary.packets.put(moved)
