"""Segment plan: where the segments of a source begin, found without decoding.

In: a source. Out: the boundaries that `toonvid.resume.boundaries` will find in its frames, by the
times of the packets, so that segments can be made apart from each other. A plan is a forecast: who
makes a segment checks it against the frames, and `toonvid.resume.work_folder` the joints between
segments.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from toonvid.reading.decoder import VideoDecoder
from toonvid.reading.options import DecodeOptions
from toonvid.resume.boundaries import Splitter
from toonvid.resume.missing_segments import EXACT_SEEKERS
from toonvid.resume.segment_maker import last_frame_count


@dataclass(frozen=True)
class SegmentPlace:
    """Where one segment lies."""

    number: int
    """Place among the segments of the video, counted from 0."""
    begin: Fraction
    """Time of its first frame, in seconds."""
    warm_up: Fraction
    """Time of the first of the frames before it that are needed to begin; `begin` for none."""


@dataclass(frozen=True)
class SegmentPlan:
    """The segments of a source, and what reading it to its end has told."""

    places: tuple[SegmentPlace, ...]
    """All segments, in order."""
    notices: tuple[str, ...]
    """What was converted, mapped or left out, one line each; as `VideoDecoder.notices`."""


def plan_segments(
    source: Path, options: DecodeOptions, segment_seconds: Fraction
) -> SegmentPlan | None:
    """Read the packets of a source and find its segments.

    Args:
        source: The file.
        options: What is read of it.
        segment_seconds: Least length of a segment, in seconds.

    Returns:
        The plan. None if the segments can only be made one after the other: the source is damaged,
        cannot be sought exactly, is an image, or does not state its times.

    Raises:
        SourceError: The source cannot be opened.
    """
    with VideoDecoder(source, options, with_auxiliary=True) as decoder:
        if decoder.info.container not in EXACT_SEEKERS:
            return None
        decoder.auxiliary.packets.discard()
        times = _frame_times(decoder)
        if times is None or decoder.damage or not decoder.is_whole:
            return None
        notices = tuple(decoder.notices)
        places = _places(times, segment_seconds, last_frame_count(decoder.info))
    return SegmentPlan(places, notices)


def _frame_times(decoder: VideoDecoder) -> list[Fraction] | None:
    """Return the times of all frames, in seconds; None where packets do not state them."""
    unit = decoder.info.time_base
    shown = []
    for packet in decoder.video_packets():
        decoder.auxiliary.packets.discard()  # a new queue since the reading began
        if packet.pts is None or packet.is_corrupt:
            return None
        if not packet.is_discard:
            shown.append(packet.pts)
    begin, end = decoder.options.start, decoder.options.end
    start = None if begin is None else round(begin / unit)
    inside = [pts for pts in sorted(shown) if end is None or pts * unit < end]
    if len(set(inside)) < len(inside):
        return None
    if begin is None or start is None:
        return [pts * unit for pts in inside]
    # The frame that is on screen at the start begins there.
    later = [pts for pts in inside if pts * unit >= begin]
    if len(later) < len(inside) and (not later or later[0] > start):
        later = [start, *later]
    return [(max(pts, start) - start) * unit for pts in later]


def _places(
    times: list[Fraction], segment_seconds: Fraction, warm_up_count: int
) -> tuple[SegmentPlace, ...]:
    places: list[SegmentPlace] = []
    splitter = Splitter(segment_seconds, 0)
    begin_index = 0
    for index, time in enumerate(times):
        number = splitter.segment_at(time)
        if number == len(places):
            # The frames that are needed belong to the segment before.
            warm_up = times[max(begin_index, index - warm_up_count)]
            places.append(SegmentPlace(number, time, warm_up))
            begin_index = index
    return tuple(places)
