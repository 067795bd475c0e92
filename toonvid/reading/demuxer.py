"""Demuxing: packets in the order of the source, across damage, up to the requested end.

In: an open container. Out: its packets, on the clock of `toonvid.reading.clock`, and at the end a
description of what is missing. Packets are not decoded here.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import chain

import av
from av.container import InputContainer
from av.error import ExitError, FFmpegError
from av.packet import Packet
from av.stream import Stream

from toonvid.reading.clock import SourceClock, stream_start
from toonvid.reading.packets import BEGUN_LATE, read_packets
from toonvid.reading.trim import TimeRange
from toonvid.video import is_cover

logger = logging.getLogger(__name__)

# Containers whose header states the duration of each stream, or the end of the whole file: a file
# that was truncated can be recognized.
_STREAM_DURATIONS_STATED = {"mov,mp4,m4a,3gp,3g2,mj2", "avi"}
_END_STATED = "matroska,webm"
_TRUNCATED_SECONDS = Fraction(1)  # shorter than stated by more than this counts as damage
_INTERLEAVING_SECONDS = 2  # by how much subtitles may follow their frames in a file
_MAX_ERRORS_IN_A_ROW = 8  # a source that fails more often is given up


class Demuxer:
    """Reads packets of the video and auxiliary streams, and notes what is missing."""

    def __init__(
        self,
        container: InputContainer,
        video: Stream,
        auxiliary: tuple[Stream, ...],
        time_range: TimeRange,
        clock: SourceClock | None = None,
        first: Iterable[Packet[Stream]] = (),
    ) -> None:
        """Note what to read.

        Args:
            container: Open, at the position from which to read.
            video: The video stream.
            auxiliary: Other streams whose packets are wanted.
            time_range: Packets are read until all streams have reached its end.
            clock: Moves the times of the packets; None leaves them as they are.
            first: Packets that were read from the container before.
        """
        self.lost_packets = 0
        """Number of damaged packets; the decoder adds those that it cannot decode."""
        self.is_timed_out = False
        """Whether an address has sent no data for `DecodeOptions.stall_seconds`."""
        self._container = container
        self._video = video
        self._new_streams = 0  # that began in mid-file, and are not read
        self._marked_packets = 0  # that the container holds for damaged
        self._streams = (video, *(s for s in auxiliary if s.type != "attachment"))
        self._time_range = time_range
        self._clock = clock
        self._first = first
        # Stream index -> how far it was read, in seconds: the end of what is shown on the source's
        # own clock, and the last decoding time on the clock of the packets given out.
        self._ends: dict[int, Fraction] = {}
        self._reached: dict[int, Fraction] = {}

    def packets(self) -> Iterator[Packet[Stream]]:
        """Yield the packets, until no stream has any more inside the time range."""
        failures = 0
        # Of the packets that were read before, those of streams that are not wanted are left out.
        wanted = {stream.index for stream in self._streams}
        first = (packet for packet in self._first if packet.stream_index in wanted)
        packets: Iterator[Packet[Stream]] = chain(first, self._read_on())
        while failures < _MAX_ERRORS_IN_A_ROW:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except ExitError:
                self.is_timed_out = True
                return
            except FFmpegError as error:
                logger.debug("%s: %s", self._container.name, error)
                self.lost_packets += 1
                failures += 1
                packets = self._read_on()  # an error ends the iterator
                continue
            if packet.dts is None and packet.size == 0:
                continue  # PyAV's flush packet; the decoder is flushed explicitly
            failures = 0
            self._marked_packets += packet.is_corrupt
            _note_end(self._ends, packet, packet.pts if packet.pts is not None else packet.dts)
            if self._clock is not None:
                self._clock.move(packet)
            decoded = packet.dts if packet.dts is not None else packet.pts
            if decoded is not None:
                self._reached[packet.stream_index] = decoded * packet.time_base
            yield packet  # the first one behind the end too: it ends the frame before
            if self._is_done():
                return

    def _read_on(self) -> Iterator[Packet[Stream]]:
        return read_packets(self._container, *self._streams, on_new_stream=self._count_new_stream)

    def _count_new_stream(self) -> None:
        self._new_streams += 1

    @property
    def damaged_packets(self) -> int:
        """Number of packets that are lost or that the container holds for damaged."""
        # Where two recordings were put together, the counters of a transport stream jump. FFmpeg
        # marks the last packet of each stream before that, which is whole.
        joints = 0 if self._clock is None else self._clock.restarts * len(self._streams)
        return self.lost_packets + max(0, self._marked_packets - joints)

    def damage(self) -> str | None:
        """Describe what could not be read, after the last packet; None when nothing is missing."""
        signs = []
        if damaged := self.damaged_packets:
            signs.append(f"{damaged} damaged packet{'s' * (damaged > 1)}")
        if self.is_timed_out:
            signs.append("it stopped sending data")
        if new := self._new_streams:
            signs.append(f"{BEGUN_LATE}: {new}")
        if self._time_range.end is None:
            signs += self._missing_ends()
        return ", ".join(signs) or None

    def _is_done(self) -> bool:
        """Whether video and audio have passed the end, and subtitles had time to follow."""
        if self._time_range.end is None:
            return False
        needed = [s.index for s in self._streams if s.type == "audio"]
        margin = _INTERLEAVING_SECONDS
        video_end = self._reached.get(self._video.index, self._time_range.end) - margin
        return video_end > self._time_range.end and all(
            self._time_range.is_past(self._reached.get(index, Fraction(0))) for index in needed
        )

    def _missing_ends(self) -> Iterator[str]:
        """Compare the times that were read with those that the header states."""
        container = self._container
        name = container.format.name
        if name == _END_STATED and container.duration:
            read = max(self._ends.values(), default=Fraction(0))
            yield from _truncation("it", read, Fraction(container.duration, av.time_base))
        if name in _STREAM_DURATIONS_STATED:
            for stream in self._streams:
                # AVI counts audio in blocks whose length it does not know.
                is_stated = stream.type == "video" or (stream.type == "audio" and name != "avi")
                if is_stated and not is_cover(stream):
                    yield from self._missing_end(stream)

    def _missing_end(self, stream: Stream) -> Iterator[str]:
        if stream.duration is None or stream.time_base is None:
            return
        begin = stream_start(stream) or Fraction(0)
        read = self._ends.get(stream.index, begin) - begin
        yield from _truncation(f"its {stream.type}", read, stream.duration * stream.time_base)


def _note_end(ends: dict[int, Fraction], packet: Packet[Stream], time: int | None) -> None:
    """Note the end of a packet that comes at a time, in units of its time base."""
    if time is not None:
        end = (time + (packet.duration or 0)) * packet.time_base
        index = packet.stream_index
        ends[index] = max(end, ends.get(index, end))


def _truncation(what: str, read: Fraction, stated: Fraction) -> Iterator[str]:
    if read < stated - _TRUNCATED_SECONDS:
        yield f"{what} ends after {float(read):.1f} of {float(stated):.1f} seconds"
