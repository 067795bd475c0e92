"""Trimming: frames, packets and chapters of the requested time range, moved to begin at 0.

In: frames and packets on the clock of `toonvid.reading.clock`, and chapters on the source's own.
Out: those inside the range, with new times. Seeking is done by `toonvid.reading.decoder`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING

from toonvid.video import Frame, seconds

if TYPE_CHECKING:
    from av.codec.context import CodecContext
    from av.container.core import Chapter
    from av.packet import Packet
    from av.stream import Stream

ASSUMED_SUBTITLE_SECONDS = Fraction(10)
"""Longest time for which a subtitle is shown whose end the source does not state."""

_LONGEST_SUBTITLE_SECONDS = 24 * 3600  # what lasts longer has no end: Matroska's is then 2^32 ms
_OPUS_PRIMING_SECONDS = Fraction(8, 100)  # what a decoder of Opus needs before a place (RFC 7845)


@dataclass(frozen=True)
class TimeRange:
    """A range of time in seconds from the beginning of the source."""

    start: Fraction | None = None
    """Start (inclusive); None for the beginning of the source, and times are not moved."""
    end: Fraction | None = None
    """End (exclusive); None for the end of the source."""

    def is_past(self, time: Fraction) -> bool:
        """Whether a time lies at or after the end."""
        return self.end is not None and time >= self.end

    def trim_frames(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """Yield the frames inside. The one that is on screen at the start begins there."""
        on_screen: Frame | None = None
        for frame in frames:
            if self.is_past(frame.seconds):
                if on_screen is not None:  # all the time, until this one
                    yield self._moved_frame(replace(on_screen, duration=frame.pts - on_screen.pts))
                    on_screen = None
                continue  # read on: auxiliary packets of the range may follow in the file
            if self.start is not None and frame.seconds < self.start:
                on_screen = frame
                continue
            moved = self._moved_frame(frame)
            if on_screen is not None and moved.pts > 0:
                yield self._moved_frame(on_screen)
            on_screen = None
            yield moved
        if on_screen is not None and _frame_end(on_screen) > (self.start or 0):
            yield self._moved_frame(on_screen)

    def trim_packet(self, packet: Packet[Stream]) -> Packet[Stream] | None:
        """Move a packet of an auxiliary stream, in place.

        Returns:
            The packet; None when it lies outside the range. Subtitles that cross either end of the
            range are shortened instead.
        """
        time = packet.pts if packet.pts is not None else packet.dts
        if time is None or (self.start is None and self.end is None):
            return packet
        unit = packet.time_base  # seconds per unit
        start = round((self.start or 0) / unit)
        begin, end = time, time + (packet.duration or 0)
        if packet.stream.type == "subtitle":
            # Audio packets cannot be cut without decoding; subtitles can be, by their duration.
            begin = max(begin, start) if end > start else begin
            end = end if self.end is None else min(end, round(self.end / unit))
            packet.duration = max(end - begin, 0)
        if begin < start or self.is_past(begin * unit):
            return None
        # One shift in whole units for both times, so that rounding never reorders packets.
        shift = begin - time - start
        packet.pts = None if packet.pts is None else packet.pts + shift
        packet.dts = None if packet.dts is None else packet.dts + shift
        return packet

    def trim_chapters(
        self, chapters: Iterable[Chapter], clock_start: Fraction
    ) -> tuple[Chapter, ...]:
        """Return the chapters inside, cut to the range.

        Args:
            chapters: With the times of the source.
            clock_start: Time of the source that is 0 here, in seconds.
        """
        moved = (self._moved_chapter(chapter, clock_start) for chapter in chapters)
        return tuple(chapter for chapter in moved if chapter is not None)

    def _moved_frame(self, frame: Frame) -> Frame:
        if self.start is None and self.end is None:
            return frame
        start = round((self.start or 0) / frame.time_base)
        begin = frame.pts if self.start is None else max(frame.pts, start)
        end = frame.pts + frame.duration
        if self.end is not None:
            end = min(end, round(self.end / frame.time_base))
        return replace(frame, pts=begin - start, duration=max(end - begin, 0))

    def _moved_chapter(self, chapter: Chapter, clock_start: Fraction) -> Chapter | None:
        unit = chapter["time_base"] or Fraction(1)
        start, shift = round((self.start or 0) / unit), round(clock_start / unit)
        begin, end = chapter["start"] - shift, chapter["end"] - shift
        is_point = end <= begin and begin >= start and not self.is_past(begin * unit)
        if is_point:
            return {**chapter, "start": begin - start, "end": begin - start}
        if self.start is not None or shift > 0:
            begin = max(begin, start)
        if self.end is not None:
            end = min(end, round(self.end / unit))
        return {**chapter, "start": begin - start, "end": end - start} if begin < end else None


class ShownPackets:
    """Keeps what the source itself shows of its auxiliary streams. Edit lists cut audio and text.

    Times are left as they are.
    """

    def __init__(self) -> None:
        self.unbounded = 0
        """Number of subtitles without an end, which got one."""
        self._begun: set[int] = set()  # streams of which a packet was shown
        self._before: dict[int, list[Packet[Stream]]] = {}  # hidden packets before that
        # Stream -> subtitles that begin at one time, of which at least the first has no end.
        self._waiting: dict[int, list[Packet[Stream]]] = {}
        self._video_end: tuple[int, Fraction] | None = None  # time, and its unit

    def note_video(self, packet: Packet[Stream]) -> None:
        """Note how far the video reaches with one more packet."""
        time = packet.pts if packet.pts is not None else packet.dts
        if time is not None:
            end = time + (packet.duration or 0)
            if self._video_end is None or end > self._video_end[0]:
                self._video_end = end, packet.time_base

    def keep(self, packet: Packet[Stream]) -> list[Packet[Stream]]:
        """Return the packets that are shown now that one more was read, in order.

        Those that an edit list hides are left out, but for the ones right before the first that is
        shown: a decoder needs them, and players cut them away.
        """
        index, stream = packet.stream_index, packet.stream
        if packet.is_discard and stream.type == "audio":
            if index not in self._begun:
                self._before.setdefault(index, []).append(packet)
            return []
        if stream.type == "subtitle":
            return [*self._ended(packet), *self._bounded(packet)]
        before = [] if index in self._begun else self._before.pop(index, [])
        self._begun.add(index)
        return [*self._ended(packet), *_priming(before, packet), packet]

    def finish(self) -> list[Packet[Stream]]:
        """Return the subtitles that wait for an end when the source has ended."""
        end = None if self._video_end is None else self._video_end[0] * self._video_end[1]
        waiting, self._waiting = self._waiting, {}
        return [_with_end(each, end) for packets in waiting.values() for each in packets]

    def _bounded(self, packet: Packet[Stream]) -> list[Packet[Stream]]:
        """Return a subtitle, and those before it that end where it begins; it waits if it has no
        end itself, or begins together with one that has none.
        """
        waiting = self._waiting.get(packet.stream_index, [])
        ended: list[Packet[Stream]] = []
        if waiting and _begin(packet) > _begin(waiting[0]):
            ended, waiting = [_with_end(each, _begin(packet)) for each in waiting], []
            self._waiting.pop(packet.stream_index)
        if _is_unbounded(packet):
            self.unbounded += 1
        elif not waiting:
            return [*ended, packet]
        self._waiting[packet.stream_index] = [*waiting, packet]
        return ended

    def _ended(self, packet: Packet[Stream]) -> list[Packet[Stream]]:
        """Return the subtitles that have been shown for long enough where a packet is shown."""
        ended: list[Packet[Stream]] = []
        for index, waiting in list(self._waiting.items()):
            if _begin(packet) - _begin(waiting[0]) >= ASSUMED_SUBTITLE_SECONDS:
                ended += (_with_end(each, None) for each in self._waiting.pop(index))
        return ended


def _is_unbounded(subtitle: Packet[Stream]) -> bool:
    return (subtitle.duration or 0) * subtitle.time_base > _LONGEST_SUBTITLE_SECONDS


def _begin(packet: Packet[Stream]) -> Fraction:
    time = packet.pts if packet.pts is not None else packet.dts
    return (time or 0) * packet.time_base


def _with_end(subtitle: Packet[Stream], end: Fraction | None) -> Packet[Stream]:
    """Give a subtitle without an end one: at most at a time, in seconds, and after ten seconds."""
    if _is_unbounded(subtitle):
        shown = ASSUMED_SUBTITLE_SECONDS
        if end is not None:
            shown = min(shown, end - _begin(subtitle))
        subtitle.duration = max(1, round(shown / subtitle.time_base))  # 0 would be unknown
    return subtitle


def _priming(hidden: list[Packet[Stream]], shown: Packet[Stream]) -> list[Packet[Stream]]:
    """Return those hidden packets that a decoder needs before the first one that is shown."""
    # PyAV's annotations promise a codec context; a stream that nothing can decode has none.
    context: CodecContext | None = shown.stream.codec_context
    if context is None or "opus" not in context.name:
        return hidden[-1:]  # the transforms of AAC, MP3 and Vorbis overlap by one packet
    first = (
        None if shown.pts is None else shown.pts - round(_OPUS_PRIMING_SECONDS / shown.time_base)
    )
    return [p for p in hidden if first is not None and p.pts is not None and p.pts >= first]


def _frame_end(frame: Frame) -> Fraction:
    return seconds(frame.pts + frame.duration, frame.time_base)
