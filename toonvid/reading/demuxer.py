"""Demux: a source's packets in its own order, read on past damage, up to the end asked for.

Packets are not decoded here.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from fractions import Fraction

import av
from av.container import InputContainer
from av.error import ExitError, FFmpegError
from av.packet import Packet
from av.stream import Stream

from toonvid.reading.trim import Span
from toonvid.video import is_cover

logger = logging.getLogger(__name__)

# Containers whose header states how long each stream is, or when the film ends on its own clock, so
# that a file cut short can be told.
_STREAM_DURATIONS_STATED = "mov,mp4,m4a,3gp,3g2,mj2"
_END_STATED = {"matroska,webm", "avi"}
_CUT_SHORT_SECONDS = Fraction(1)
_INTERLEAVING_SECONDS = 2  # how far behind the pictures their subtitles may lie in a file
_VAIN_ATTEMPTS = 8  # errors in a row after which a source is given up


class Demuxer:
    """Reads packets of a film's streams, and knows at the end whether any are missing."""

    def __init__(
        self, container: InputContainer, film: Stream, auxiliary: tuple[Stream, ...], span: Span
    ) -> None:
        """Remember what to read.

        Args:
            container: Open, at the place from which to read.
            film: Its video stream.
            auxiliary: Streams whose packets are wanted too.
            span: Packets are read until all streams have come to its end.
        """
        self.lost_packets = 0
        """How many were damaged; whoever decodes adds those that cannot be decoded."""
        self.is_silent = False
        """Whether nothing came any more, for as long as an address may be silent."""
        self._container = container
        self._film = film
        self._streams = (film, *(s for s in auxiliary if s.type != "attachment"))
        self._span = span
        self._ends: dict[int, Fraction] = {}  # stream index -> how far it was read, in seconds

    def packets(self) -> Iterator[Packet[Stream]]:
        """Yield the packets, those behind the span's end left out where they are not needed."""
        failures = 0
        packets = self._container.demux(self._streams)
        while failures < _VAIN_ATTEMPTS:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except ExitError:
                self.is_silent = True
                return
            except FFmpegError as error:
                logger.debug("%s: %s", self._container.name, error)
                self.lost_packets += 1
                failures += 1
                packets = self._container.demux(self._streams)
                continue
            if packet.dts is None and packet.size == 0:
                continue  # the demuxer's end mark; the decoder is flushed by name
            failures = 0
            self.lost_packets += packet.is_corrupt
            self._note_end(packet)
            if self._is_done():
                return
            yield packet

    def damage(self) -> str | None:
        """What could not be read, once all packets are; None when all could."""
        signs = []
        if self.lost_packets:
            signs.append(f"{self.lost_packets} damaged packet{'s' * (self.lost_packets > 1)}")
        if self.is_silent:
            signs.append("it fell silent")
        if self._span.end is None:
            signs += self._missing_ends()
        return ", ".join(signs) or None

    def _note_end(self, packet: Packet[Stream]) -> None:
        time = packet.dts if packet.dts is not None else packet.pts
        if time is not None:
            end = (time + (packet.duration or 0)) * packet.time_base
            index = packet.stream_index
            self._ends[index] = max(end, self._ends.get(index, end))

    def _is_done(self) -> bool:
        """Whether pictures and sounds have come to the end, and subtitles had time to."""
        if self._span.end is None:
            return False
        needed = [s.index for s in self._streams if s.type == "audio"]
        margin = _INTERLEAVING_SECONDS
        film_end = self._ends.get(self._film.index, self._span.end) - margin
        return film_end > self._span.end and all(
            self._span.is_past(self._ends.get(index, Fraction(0))) for index in needed
        )

    def _missing_ends(self) -> Iterator[str]:
        """Compare how far was read with what the header says."""
        container = self._container
        if container.format.name in _END_STATED and container.duration:
            read = max(self._ends.values(), default=Fraction(0))
            yield from _cut_short("it", read, Fraction(container.duration, av.time_base))
        if container.format.name == _STREAM_DURATIONS_STATED:
            for stream in self._streams:
                if stream.type in ("video", "audio") and not is_cover(stream):
                    yield from self._missing_end(stream)

    def _missing_end(self, stream: Stream) -> Iterator[str]:
        if stream.duration is None or stream.time_base is None:
            return
        begin = (stream.start_time or 0) * stream.time_base
        read = self._ends.get(stream.index, begin) - begin
        yield from _cut_short(f"its {stream.type}", read, stream.duration * stream.time_base)


def _cut_short(what: str, read: Fraction, stated: Fraction) -> Iterator[str]:
    if read < stated - _CUT_SHORT_SECONDS:
        yield f"{what} ends after {float(read):.1f} of {float(stated):.1f} seconds"
