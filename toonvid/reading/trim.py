"""The part of a film that was asked for: frames, packets and chapters outside it are left out, the
others moved so that the part begins at 0.
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
class Span:
    """From a start to an end, in seconds of the source's own clock, which need not begin at 0."""

    start: Fraction | None = None
    """None: from the beginning, and nothing is moved."""
    end: Fraction | None = None
    """None: to the end of the film."""

    def is_past(self, time: Fraction) -> bool:
        """Whether a time lies at the end or behind it."""
        return self.end is not None and time >= self.end

    def frames(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """Yield the frames inside. The one on show at the start is shown from there on."""
        shown: Frame | None = None
        for frame in frames:
            if self.is_past(frame.seconds):
                continue  # to the last, so that what lies beside the frames is read too
            if self.start is not None and frame.seconds < self.start:
                shown = frame
                continue
            moved = self._moved_frame(frame)
            if shown is not None and moved.pts > 0:
                yield self._moved_frame(shown)
            shown = None
            yield moved
        if shown is not None and _frame_end(shown) > (self.start or 0):
            yield self._moved_frame(shown)

    def packet(self, packet: Packet[Stream]) -> Packet[Stream] | None:
        """The packet, moved; None when it lies outside. A text may reach over either end."""
        time = packet.pts if packet.pts is not None else packet.dts
        if time is None or (self.start is None and self.end is None):
            return packet
        tick = packet.time_base
        start = round((self.start or 0) / tick)
        begin, end = time, time + (packet.duration or 0)
        if packet.stream.type == "subtitle":
            begin = max(begin, start) if end > start else begin
            end = end if self.end is None else min(end, round(self.end / tick))
            packet.duration = max(end - begin, 0)
        if begin < start or self.is_past(begin * tick):
            return None
        shift = begin - time - start
        packet.pts = None if packet.pts is None else packet.pts + shift
        packet.dts = None if packet.dts is None else packet.dts + shift
        return packet

    def chapters(self, chapters: Iterable[Chapter]) -> tuple[Chapter, ...]:
        """The chapters inside, cut to fit."""
        return tuple(filter(None, map(self._moved_chapter, chapters)))

    def _moved_frame(self, frame: Frame) -> Frame:
        if self.start is None and self.end is None:
            return frame
        start = round((self.start or 0) / frame.time_base)
        begin = frame.pts if self.start is None else max(frame.pts, start)
        end = frame.pts + frame.duration
        if self.end is not None:
            end = min(end, round(self.end / frame.time_base))
        return replace(frame, pts=begin - start, duration=max(end - begin, 0))

    def _moved_chapter(self, chapter: Chapter) -> Chapter | None:
        tick = chapter["time_base"] or Fraction(1)
        start = round((self.start or 0) / tick)
        begin, end = chapter["start"], chapter["end"]
        if self.start is not None:
            begin = max(begin, start)
        if self.end is not None:
            end = min(end, round(self.end / tick))
        return {**chapter, "start": begin - start, "end": end - start} if begin < end else None


def _frame_end(frame: Frame) -> Fraction:
    return seconds(frame.pts + frame.duration, frame.time_base)
