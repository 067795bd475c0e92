"""Clock: the times of a source become times that begin at 0 and rise, for all streams alike.

In: packets and decoded frames with the times that the container gives them, which may begin at any
hour, start again, jump, wrap, be missing, or be those of decoding. Out: the same packets and frames
with times on one clock. Conversions, segments, trimming and joining all read this clock; the rules
are those of FFmpeg's `ts_discontinuity_process` and `guess_correct_pts`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.format import Flags
from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from toonvid.reading.packets import read_packets
from toonvid.video import is_cover

_BACKWARD_SECONDS = 0.1  # a stream whose decoding time falls by more has a new clock
_FORWARD_SECONDS = 10.0  # a longer gap is a new clock where the format has no clock of its own
_FORWARD_SECONDS_ELSEWHERE = 30 * 3600.0  # where it has: gaps of hours are real (time lapses)
_OVERLAP_SECONDS = 0.5  # by how much a stream may begin before its end on a clock that others found
_FIRST_PACKETS = (
    200  # of audio that a file may have before its video, where its start is looked for
)
_ASSUMED_FRAME_RATE = Fraction(25)  # for sources that state neither times nor a frame rate


@dataclass
class _Position:
    """How far one stream was read, in seconds on the output clock."""

    offset: Fraction
    """Seconds to add to the source's times of this stream."""
    dts: float | None = None
    """Decoding time of the last packet."""
    next_dts: float | None = None
    """Decoding time at which a packet that follows without a gap would come."""
    end: float | None = None
    """Time at which all packets so far are shown."""
    _shift: tuple[Fraction, Fraction, int] | None = None  # the last one, with offset and unit

    def shift(self, unit: Fraction) -> int:
        """Return the offset in units."""
        if self._shift is None or self._shift[:2] != (self.offset, unit):
            self._shift = self.offset, unit, round(self.offset / unit)
        return self._shift[2]


class SourceClock:
    """Moves the packets of one source, in the order in which they are read, to one clock.

    A stream whose times jump gets a new offset, with which it goes on where it was; other streams
    that jump afterwards take the same offset, so that audio and video stay together. A gap is no
    jump where another stream has come as far.
    """

    def __init__(self, container: InputContainer, start: Fraction) -> None:
        """Begin with a clock.

        Args:
            container: The source.
            start: Time of the source that becomes 0, in seconds.
        """
        self.restarts = 0
        """Number of new clocks that were met so far."""
        is_discontinuous = restarts_by_design(container)
        self._forward = _FORWARD_SECONDS if is_discontinuous else _FORWARD_SECONDS_ELSEWHERE
        self._offsets = [-start]  # of all clocks met so far
        # Time at which the newest clock begins. Before 0 lies what an edit list hides.
        self._begin = -self._forward
        self._positions: dict[int, _Position] = {}

    def move(self, packet: Packet[Stream]) -> None:
        """Move the times of the next packet, in place."""
        unit = Fraction(packet.time_base)
        position = self._positions.get(packet.stream_index)
        if position is None:
            position = self._positions[packet.stream_index] = _Position(self._offsets[-1])
        if packet.stream.type in ("video", "audio"):
            self._follow(packet, position, unit)
        else:
            self._choose_offset(packet, position, unit)
        shift = position.shift(unit)
        if shift:
            packet.pts = None if packet.pts is None else packet.pts + shift
            packet.dts = None if packet.dts is None else packet.dts + shift

    def _follow(self, packet: Packet[Stream], position: _Position, unit: Fraction) -> None:
        """Give a stream of video or audio another offset if its times jump."""
        if self._is_of_another_clock(packet, unit):
            packet.pts = None
        dts, pts, duration = packet.dts, packet.pts, float((packet.duration or 0) * unit)
        if dts is not None and self._is_jump(float(dts * unit + position.offset), position):
            shown = dts if pts is None else pts
            position.offset = self._offset_behind_jump(dts * unit, shown * unit, position)
        if dts is not None:
            position.dts = float(dts * unit + position.offset)
            position.next_dts = position.dts + duration
        if pts is not None:
            end = float(pts * unit + position.offset) + duration
            position.end = end if position.end is None else max(position.end, end)

    def _is_of_another_clock(self, packet: Packet[Stream], unit: Fraction) -> bool:
        """Whether a packet's pts cannot belong to its dts.

        Where two program streams were put together, FFmpeg gives the last packet of the first the
        pts of the second.
        """
        if packet.pts is None or packet.dts is None:
            return False
        delay = (packet.pts - packet.dts) * unit
        return delay < 0 or delay > self._forward

    def _is_jump(self, dts: float, position: _Position) -> bool:
        ahead = [
            dts - p.dts for p in self._positions.values() if p is not position and p.dts is not None
        ]
        if position.dts is None or position.next_dts is None:
            # The first packet of a stream may come long after it is due: some demuxers give a
            # frame when the next one begins. It lies between the clock's beginning and the others.
            is_early = dts + _OVERLAP_SECONDS < self._begin and bool(ahead)
            return is_early or (bool(ahead) and min(ahead) > self._forward)
        if dts + _BACKWARD_SECONDS < position.dts:
            return True
        return all(gap > self._forward for gap in (dts - position.next_dts, *ahead))

    def _offset_behind_jump(self, dts: Fraction, shown: Fraction, position: _Position) -> Fraction:
        """Return the offset of a known clock on which the stream goes on, else of a new one."""
        ends = [p.end for p in self._positions.values() if p.end is not None]
        following = position.next_dts if position.next_dts is not None else max(ends, default=0.0)
        for offset in reversed(self._offsets):
            gap = float(dts + offset) - following
            if offset != position.offset and -_OVERLAP_SECONDS <= gap <= _FORWARD_SECONDS:
                return offset
        # Behind what all streams have shown, so that nothing of the new clock overlaps the old.
        late = max((e - following for e in ends if e - following < _FORWARD_SECONDS), default=0.0)
        behind = Fraction(following) - dts
        self._offsets.append(max(behind, Fraction(following + late) - shown))
        self._begin = following
        self.restarts += 1
        return self._offsets[-1]

    def _choose_offset(self, packet: Packet[Stream], position: _Position, unit: Fraction) -> None:
        """Give a packet of a sparse stream that clock on which it lies nearest to the others."""
        time = packet.pts if packet.pts is not None else packet.dts
        reached = [p.dts for p in self._positions.values() if p.dts is not None]
        if time is None or not reached or len(self._offsets) == 1:
            return
        now = max(reached)
        # Of two clocks that are equally near, the newer one.
        position.offset = min(
            reversed(self._offsets), key=lambda offset: abs(float(time * unit + offset) - now)
        )


class FrameClock:
    """Gives decoded frames, which come in presentation order, times that rise."""

    def __init__(self, video: VideoStream, container: InputContainer) -> None:
        """Note what the container says of its times."""
        self.moved = 0
        """Number of frames that were shown at no later time than the frame before."""
        rate = video.average_rate or video.guessed_rate or _ASSUMED_FRAME_RATE
        self._one_frame = max(1, round(1 / (rate * (video.time_base or Fraction(1, av.time_base)))))
        # AVI has no presentation times: FFmpeg makes them up, and with B-frames wrongly.
        self._has_pts = container.format.name != "avi"
        self._last: int | None = None
        self._last_pts: int | None = None
        self._last_dts: int | None = None
        self._faulty_pts = self._faulty_dts = 0
        self._next = 0

    def timed(self, frames: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
        """Yield the frames, each with a pts later than the one before, in the stream's units."""
        for frame in frames:
            time = self._guess(frame.pts, frame.dts)
            if time is None:
                time = self._next
            elif self._last is not None and time <= self._last:
                self.moved += 1
                time = self._last + 1
            self._last, self._next = time, time + (frame.duration or self._one_frame)
            frame.pts = time
            yield frame

    def _guess(self, pts: int | None, dts: int | None) -> int | None:
        """Choose between both times of a frame: those that have fallen less often."""
        if dts is not None:
            self._faulty_dts += self._last_dts is not None and dts <= self._last_dts
            self._last_dts = dts
        if pts is not None:
            self._faulty_pts += self._last_pts is not None and pts <= self._last_pts
            self._last_pts = pts
        if dts is None:
            # At the end, a decoder gives frames for which no packet was read.
            is_stale = pts is not None and self._last is not None and pts <= self._last
            return None if is_stale and not self._has_pts else pts
        is_trusted = self._has_pts and self._faulty_pts <= self._faulty_dts
        return pts if pts is not None and is_trusted else dts


def first_packets(container: InputContainer, video: Stream) -> tuple[list[Packet[Stream]], int]:
    """Read the packets up to the first one of the video, which tell where a source begins.

    Args:
        container: At its beginning.
        video: The video stream.

    Returns:
        The packets, in order and not moved, and the number of damaged ones before them.
    """
    packets: list[Packet[Stream]] = []
    streams = [s for s in container.streams if s.type != "attachment"]
    try:
        for packet in read_packets(container, *streams):
            if packet.dts is None and packet.size == 0:  # PyAV's flush packet
                break
            packets.append(packet)
            if packet.stream_index == video.index or len(packets) == _FIRST_PACKETS:
                break
    except FFmpegError:
        return packets, 1
    return packets, 0


def clock_start(container: InputContainer, packets: Collection[Packet[Stream]]) -> Fraction:
    """Return the time of the source, in seconds, that becomes 0.

    A source begins when the first of its streams is shown. Audio that begins before its video at
    a time below 0 is the priming of its codec, which is not shown.

    Args:
        container: States a start, unless its streams begin with times that are not known.
        packets: What `first_packets` returned.
    """
    shown = list(_shown_times(packets))
    stated: int | None = container.start_time  # PyAV's annotations promise a number
    if stated is None:
        start = min(shown, default=Fraction(0))
    else:
        # The start is rounded to microseconds; the stream that starts there has it exactly. FFmpeg
        # overlooks streams whose first decoding time it does not know.
        start = Fraction(stated, av.time_base)
        exact = (b for b in map(stream_start, container.streams) if b is not None)
        start = next((e for e in exact if abs(e - start) * av.time_base < 1), start)
        start = min([start, *(time for time in shown if time >= 0 or start < 0)])
    videos = [s for s in container.streams.video if not is_cover(s)]
    begins = [b for b in map(stream_start, videos) if b is not None]
    # Matroska's readers give no time to video below 0: audio there is then no priming, but the
    # beginning of a source whose clock begins below 0.
    numbers = {s.index for s in videos}
    has_time = all(
        p.pts is not None or p.dts is not None for p in packets if p.stream_index in numbers
    )
    if start < 0 and has_time and (not begins or min(begins) >= 0):
        return Fraction(0)
    # In whole units of the video, whose frames then keep their places between those of the audio.
    unit = videos[0].time_base if videos else None
    return start if unit is None else start // unit * unit


def _shown_times(packets: Iterable[Packet[Stream]]) -> Iterator[Fraction]:
    for packet in packets:
        time = packet.pts if packet.pts is not None else packet.dts
        is_shown = packet.stream.type in ("video", "audio") and not packet.is_discard
        if time is not None and is_shown and not is_cover(packet.stream):
            yield time * packet.time_base


def stream_start(stream: Stream) -> Fraction | None:
    """Return the time of the source at which a stream begins, in seconds; None if not known."""
    if stream.start_time is None or stream.time_base is None:
        return None
    return stream.start_time * stream.time_base


def restarts_by_design(container: InputContainer) -> bool:
    """Whether the format is made for streams that are cut and put together, as broadcasts are.

    Their clocks jump, so a time does not lead to a place in the file.
    """
    return Flags.ts_discont in Flags(container.format.flags)


def has_times(container: InputContainer) -> bool:
    """Whether the format stores times at all; raw streams do not."""
    return Flags.no_timestamps not in Flags(container.format.flags)
