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
    from av.container.core import Chapter
    from av.packet import Packet
    from av.stream import Stream


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
        if self.start is not None or shift > 0:
            begin = max(begin, start)
        if self.end is not None:
            end = min(end, round(self.end / unit))
        return {**chapter, "start": begin - start, "end": end - start} if begin < end else None


def _frame_end(frame: Frame) -> Fraction:
    return seconds(frame.pts + frame.duration, frame.time_base)
