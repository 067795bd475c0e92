"""Separate segments: some segments of a source, made apart from the others.

In: a source, and a place of a plan or what an earlier segment ended with. Out: segment files, and
for each what the journal says of it. Nothing is shared with the run that keeps the journal: another
process or another machine may do it. That run compares the frames at the joints.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from toonvid.backends import Backend
from toonvid.pipeline import ConvertOptions
from toonvid.reading.decoder import VideoDecoder
from toonvid.resume.boundaries import Splitter, identify
from toonvid.resume.journal_entries import FinishedSegment
from toonvid.resume.missing_segments import Place, from_start, seek_behind
from toonvid.resume.segment_maker import SegmentMaker, last_frame_count, read_up_to
from toonvid.resume.segment_plan import SegmentPlace
from toonvid.video import Frame, VideoInfo


@dataclass(frozen=True)
class MadeSegment:
    """A segment that was made, in `path`."""

    finished: FinishedSegment
    path: Path
    is_last: bool
    """Whether the source ends with it."""


@dataclass(frozen=True)
class MadeEnd:
    """What was known when the source was read to its end."""

    notices: tuple[str, ...]
    """As `VideoDecoder.notices`."""
    damage: str | None
    """As `VideoDecoder.damage`."""


@dataclass(frozen=True)
class SegmentWorkshop:
    """All that segments of one video are made with."""

    source: Path
    target: Path
    """The file that the segments are for, of which only the name matters here."""
    backend: Backend
    options: ConvertOptions
    template: Frame
    """A frame like the first cartoon of the video."""
    folder: Path
    """Where segment files are written."""
    encoder_threads: int = 0
    """As in `toonvid.writing.encoder.Encoder`."""

    def make_one(self, place: SegmentPlace) -> MadeSegment | None:
        """Make the segment at a place.

        Returns:
            The segment, with `frames_before`; None if the plan was wrong: no frame begins there, or
            the source is damaged up to the segment's end.

        Raises:
            SourceError: The source cannot be read.
            TargetError: The segment cannot be written.
            BackendError: The engine fails.
        """
        splitter = Splitter(self.options.segment_seconds, place.number)
        with self._decoder() as decoder:
            if place.number:
                decoder.skip_to(place.warm_up)
            read = read_up_to(place.begin, decoder.frames(), last_frame_count(decoder.info))
            if read is None:
                return None
            before, frames = read
            before = [frame for frame in before if frame.seconds >= place.warm_up]
            maker = self._maker(decoder.info)
            made = maker.make(decoder, frames, splitter, before, last=place.number)
            with closing(made):
                finished = next(made)
                next(made, None)  # which closes all stages
        is_last = maker.next_begin is None
        if not finished.source_is_intact or (is_last and decoder.damage):
            return None
        if place.number:
            finished = replace(finished, frames_before=identify(before))
        return MadeSegment(
            finished=finished,
            path=self._segment_path(place.number),
            is_last=is_last,
        )

    def make_rest(
        self, before: FinishedSegment | None, finished: Mapping[int, FinishedSegment]
    ) -> Iterator[MadeSegment | MadeEnd]:
        """Make all missing segments, one after the other, as a run on one machine does.

        Args:
            before: The last segment before the first that is missing; None for the beginning.
            finished: Segments that are not missing, by number.

        Yields:
            Each segment, and `MadeEnd` behind the last. `is_last` is never set.

        Raises:
            SourceError, TargetError, BackendError: As `make_one`.
        """
        known = dict(finished)
        with self._decoder() as decoder:
            place = seek_behind(decoder, before, self.options.segment_seconds)
            if place is not None and (yield from self._make_from(decoder, place, known)):
                return
        with self._decoder() as decoder:
            place = from_start(decoder, self.options.segment_seconds)
            yield from self._make_from(decoder, place, known)

    def _make_from(
        self, decoder: VideoDecoder, place: Place, known: dict[int, FinishedSegment]
    ) -> Generator[MadeSegment | MadeEnd, None, bool]:
        """Make what is missing from a place on, and add it to `known`, the finished segments.

        Returns:
            False if another decoder has to make the rest.
        """
        made = self._maker(decoder.info).make(
            decoder, place.frames, place.splitter, place.before, finished=known
        )
        with closing(made):
            for each in made:
                if not place.agrees(each):
                    return False
                known[each.number] = each
                yield MadeSegment(each, self._segment_path(each.number), is_last=False)
        yield MadeEnd(tuple(decoder.notices), decoder.damage)
        return True

    def _decoder(self) -> VideoDecoder:
        return VideoDecoder(self.source, self.options.decoding, with_auxiliary=True)

    def _maker(self, info: VideoInfo) -> SegmentMaker:
        return SegmentMaker(
            target=self.target,
            info=info,
            backend=self.backend,
            options=self.options,
            segment_path=self._segment_path,
            template=self.template,
            encoder_threads=self.encoder_threads,
        )

    def _segment_path(self, number: int) -> Path:
        return self.folder / f"{number:06}.segment"
