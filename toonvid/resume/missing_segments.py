"""Missing segments: the part of a resumable conversion that decodes, stylizes and encodes.

In: a source, and a work folder with the segments that earlier runs have finished. Out: the other
segments, each recorded in the journal once it is safe on disk. How one is made is in
`toonvid.resume.segment_maker`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from toonvid.backends import Backend
from toonvid.errors import TargetError
from toonvid.pipeline import ConvertOptions, Progress, end_seconds
from toonvid.reading.decoder import VideoDecoder
from toonvid.resume.boundaries import Splitter, read_last_frames
from toonvid.resume.journal_entries import FinishedSegment
from toonvid.resume.segment_maker import SegmentMaker
from toonvid.resume.work_folder import WorkFolder
from toonvid.video import Frame
from toonvid.writing.encoder import Encoder
from toonvid.writing.muxer import check_container

EXACT_SEEKERS = {"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"}
"""FFmpeg's names of containers whose index leads to a key frame that decodes by itself. Others may
lead to a frame that needs earlier ones, so a source in them is read from its start."""


class MissingSegments:
    """Writes the segments that a work folder lacks. Used once."""

    def __init__(
        self,
        source: Path,
        target: Path,
        backend: Backend,
        options: ConvertOptions,
        work_folder: WorkFolder,
        on_progress: Callable[[Progress], None] | None,
    ) -> None:
        """Remember what to write.

        Args:
            source: The file that is converted.
            target: The file that the segments are for.
            backend: Open.
            options: How the source is converted.
            work_folder: Entered. Receives the segments.
            on_progress: Called after each frame and each segment.
        """
        self.first_frame_at: float | None = None
        """Time at which the first frame was encoded, on the clock of `time.perf_counter`."""
        self._source, self._target = source, target
        self._backend = backend
        self._options = options
        self._work_folder = work_folder
        self._on_progress = on_progress
        self._is_container_checked = False
        self._end_seconds = 0.0  # end of the last frame that was encoded

    def write(self, decoder: VideoDecoder) -> dict[str, float]:
        """Write what is missing, to the end of the source.

        Args:
            decoder: Just entered, with auxiliary streams.

        Returns:
            Stage -> seconds in which it was at work.

        Raises:
            SourceError: The source cannot be read any more, for now.
            TargetError: A segment cannot be written, or the source has no frames.
            BackendError: The engine fails.
        """
        folder = self._work_folder
        self._info = decoder.info
        place = seek_behind(
            decoder,
            folder.finished.get(folder.first_missing - 1),
            self._options.segment_seconds,
        )
        is_complete = place is not None and self._write_from(decoder, place)
        if not is_complete:
            with VideoDecoder(self._source, self._options.decoding, with_auxiliary=True) as decoder:
                self._write_from(decoder, from_start(decoder, self._options.segment_seconds))
        if not folder.finished:
            raise TargetError(f"nothing to write: {self._source} has no frames there")
        folder.record_source_end(tuple(decoder.notices), decoder.damage)
        return self._maker.stage_seconds

    def _write_from(self, decoder: VideoDecoder, place: Place) -> bool:
        """Write what is missing from a place on; False if another decoder has to do it."""
        folder = self._work_folder
        self._auxiliary = decoder.auxiliary
        self._maker = SegmentMaker(
            target=self._target,
            info=self._info,
            backend=self._backend,
            options=self._options,
            segment_path=folder.segment_path,
            template=folder.template_frame,
            on_begin=self._begin_segment,
            on_frame=self._report_frame,
        )
        made = self._maker.make(
            decoder, place.frames, place.splitter, place.before, finished=folder.finished
        )
        with closing(made):
            for segment in made:
                if not place.agrees(segment):
                    return False
                folder.record_segment(segment)
                self._report(self._finished_progress())
        return True

    def _begin_segment(self, template: Frame) -> None:
        """See that a segment can be written."""
        self._work_folder.check_space()
        if not self._is_container_checked:
            check_container(self._maker.new_encoder(), template, self._auxiliary)
            self._is_container_checked = True
        self._finished = self._finished_progress()

    def _report_frame(self, cartoon: Frame, encoder: Encoder) -> None:
        self._end_seconds = end_seconds(cartoon)
        if self.first_frame_at is None:
            self.first_frame_at = time.perf_counter()
        self._report(self._finished, encoder.frame_count, encoder.expected_bytes)

    def _report(self, finished: Progress, new_frames: int = 0, new_bytes: int = 0) -> None:
        if self._on_progress is not None:
            self._on_progress(
                replace(
                    finished,
                    frames=finished.frames + new_frames,
                    video_seconds=self._end_seconds,
                    video_bytes=finished.video_bytes + new_bytes,
                )
            )

    def _finished_progress(self) -> Progress:
        """Return how far the finished segments reach."""
        folder = self._work_folder
        return Progress(
            info=self._info,
            frames=folder.finished_frames,
            video_seconds=folder.finished_seconds,
            kept_seconds=folder.finished_seconds,
            video_bytes=folder.finished_bytes,
            missing_bytes=folder.missing_bytes(self._info.duration_seconds),
        )


@dataclass(frozen=True)
class Place:
    """Where a decoder reads on."""

    before: list[Frame]
    """The last frames before it; none at the start of the source."""
    frames: Iterator[Frame]
    """All frames behind it."""
    splitter: Splitter
    """Numbers the segments of these frames."""
    is_sought: bool = False
    """Whether the decoder did not decode what lies before."""

    def agrees(self, segment: FinishedSegment) -> bool:
        """Whether a segment made from here is as a decoder makes it that reads from the start.

        What FFmpeg puts in the place of damage depends on all that it has decoded.
        """
        return segment.source_is_intact or not self.is_sought


def from_start(decoder: VideoDecoder, segment_seconds: Fraction) -> Place:
    """The start of a source whose decoder was just entered; `segment_seconds` as `seek_behind`."""
    return Place([], decoder.frames(), Splitter(segment_seconds, 0))


def seek_behind(
    decoder: VideoDecoder, before: FinishedSegment | None, segment_seconds: Fraction
) -> Place | None:
    """Find where to read on: behind a finished segment, or at the start where there is none.

    Args:
        decoder: Just entered.
        before: The segment; None for none.
        segment_seconds: Least length of a segment, in seconds.

    Returns:
        The place; None if it was sought and is not certain, so that another decoder must read from
        the start.
    """
    # Behind damage, frames may have been lost that a decoder that starts later gives.
    can_seek = decoder.info.container in EXACT_SEEKERS
    if before is None or not can_seek or not before.source_is_intact:
        return from_start(decoder, segment_seconds)
    decoder.skip_to(Fraction(before.last_source_frames[0][0]))
    frames = decoder.frames()
    last_frames = read_last_frames(before.last_source_frames, frames)
    if last_frames is None:
        return None
    return Place(last_frames, frames, Splitter(segment_seconds, before.number + 1), is_sought=True)
