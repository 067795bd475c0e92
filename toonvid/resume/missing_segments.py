"""Missing segments: the part of a resumable conversion that decodes, stylizes and encodes.

In: a source, and a work folder with the segments that earlier runs have finished. Out: the other
segments, each recorded in the journal once it is safe on disk. The frames go through
`toonvid.pipeline.run_stages`, with a segment file as the sink.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from fractions import Fraction
from itertools import groupby
from pathlib import Path

from toonvid.backends import Backend
from toonvid.errors import SourceError, TargetError
from toonvid.pipeline import ConvertOptions, Progress, Sink, end_seconds, run_stages
from toonvid.reading.decoder import VideoDecoder
from toonvid.resume.boundaries import Splitter, identify, keep_last, read_last_frames
from toonvid.resume.journal_entries import FinishedSegment, frame_kind
from toonvid.resume.segment_file import SegmentWriter
from toonvid.resume.work_folder import WorkFolder, disk_errors
from toonvid.stylizing.steady import WARM_UP_FRAMES
from toonvid.stylizing.stylizer import Stylizer
from toonvid.video import Frame
from toonvid.writing.encoder import Encoder
from toonvid.writing.muxer import check_container

# Frames at a segment's end that must be found again to go on behind it: as many as the state of the
# steady stage is made of.
_LAST_FRAMES = WARM_UP_FRAMES
# FFmpeg's names of containers whose index leads to a key frame that decodes by itself. Others may
# lead to a frame that needs earlier ones, so a source in them is read from its start.
_EXACT_SEEKERS = {"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"}


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
        # Number of a segment -> its last source frames, and whether the source was intact so far.
        # Filled by the stylizing thread when it has passed the segment's end.
        self._ends: dict[int, tuple[list[list[str]], bool]] = {}
        self._frames_before: list[Frame] = []  # last source frames of a finished segment
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
        self._info = decoder.info
        with ExitStack() as stack:
            decoder, frames, splitter = self._seek(decoder, stack)
            self._auxiliary = decoder.auxiliary
            stage_seconds = run_stages(
                decoder=decoder,
                frames=_video_alone(decoder, frames),
                stylize=lambda decoded: self._numbered_cartoons(decoder, decoded, splitter),
                open_sink=self._open_segment,
                on_frame=self._report_frame,
            )
        if not self._work_folder.finished:
            raise TargetError(f"nothing to write: {self._source} has no frames there")
        self._work_folder.record_source_end(tuple(decoder.notices), decoder.damage)
        return stage_seconds

    def _seek(
        self, decoder: VideoDecoder, stack: ExitStack
    ) -> tuple[VideoDecoder, Iterator[Frame], Splitter]:
        """Find where to read on: behind the finished segments if they are found, else the start."""
        first_missing = self._work_folder.first_missing
        before = self._work_folder.finished.get(first_missing - 1)
        segment_seconds = self._options.segment_seconds
        can_seek = self._info.container in _EXACT_SEEKERS
        # Behind damage, frames may have been lost that a decoder that starts later gives.
        if can_seek and before is not None and before.source_is_intact:
            decoder.skip_to(Fraction(before.last_source_frames[0][0]))
            frames = decoder.frames()
            last_frames = read_last_frames(before.last_source_frames, frames)
            if last_frames is not None:
                self._frames_before = last_frames
                return decoder, frames, Splitter(segment_seconds, first_missing)
            decoder = stack.enter_context(
                VideoDecoder(self._source, self._options.decoding, with_auxiliary=True)
            )
        return decoder, decoder.frames(), Splitter(segment_seconds, 0)

    def _numbered_cartoons(
        self, decoder: VideoDecoder, frames: Iterable[Frame], splitter: Splitter
    ) -> Iterator[tuple[int, Frame]]:
        """Yield each cartoon with the number of its segment; finished segments are passed over.

        A batch never holds frames of two segments: a backend may round otherwise in a batch of
        another size, and a run that goes on would then give other bytes.
        """
        stylizing = self._options.stylizing.for_source(decoder.info.is_image)
        stylizer = Stylizer(self._backend, stylizing)
        for number, segment_frames in groupby(frames, key=splitter):
            if number in self._work_folder.finished:
                self._frames_before = list(deque(segment_frames, maxlen=_LAST_FRAMES))
                continue
            stylizer.begin_segment(self._frames_before)
            self._frames_before = []  # the stylizer sees the frames before the next segment itself
            last_frames: deque[Frame] = deque(maxlen=_LAST_FRAMES)
            for cartoon in stylizer.stylize(keep_last(segment_frames, last_frames)):
                yield number, cartoon
            self._ends[number] = (identify(last_frames), decoder.is_whole)

    @contextmanager
    def _open_segment(self, number: int, first: Frame) -> Iterator[Sink]:
        """Open the sink of one segment. Left without an error, the segment is recorded."""
        folder = self._work_folder
        folder.check_space()
        # All encoders are opened for the same kind of frame, or their extradata would differ.
        template = folder.template_frame or first
        if not self._is_container_checked:
            check_container(self._new_encoder(), template, self._auxiliary)
            self._is_container_checked = True
        self._finished = self._finished_progress()
        encoder = self._encoder = self._new_encoder()
        with disk_errors(self._target), SegmentWriter(folder.segment_path(number)) as writer:
            encoder.open(template)
            writer.begin(encoder.time_base, encoder.extradata)
            yield Sink(encoder, writer.write)
            segment = writer.finish()
        last_source_frames, is_intact = self._ends.pop(number)
        folder.record_segment(
            FinishedSegment(
                number=number,
                segment=segment,
                end_seconds=self._end_seconds,
                last_source_frames=last_source_frames,
                source_is_intact=is_intact,
                frame_kind=frame_kind(template),
            )
        )
        self._report(self._finished_progress(), new_frames=0)

    def _new_encoder(self) -> Encoder:
        return Encoder(self._target, self._info, self._options.encoding)

    def _report_frame(self, cartoon: Frame) -> None:
        self._end_seconds = end_seconds(cartoon)
        if self.first_frame_at is None:
            self.first_frame_at = time.perf_counter()
        self._report(self._finished, self._encoder.frame_count)

    def _report(self, finished: Progress, new_frames: int) -> None:
        if self._on_progress is not None:
            new_bytes = self._encoder.expected_bytes if new_frames else 0
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


def _video_alone(decoder: VideoDecoder, frames: Iterator[Frame]) -> Iterator[Frame]:
    """Yield the frames; auxiliary packets are dropped, because the join reads them again.

    They are demuxed all the same, so that the decoder knows the damage in them.
    """
    decoder.auxiliary.packets.discard()
    yield from frames
    refuse_trouble(decoder)


def refuse_trouble(decoder: VideoDecoder) -> None:
    """Refuse to take the frames so far for all there are, if the source cannot be read for now.

    Finished segments wait for the source, which may be on a disk that comes back.

    Raises:
        SourceError: The source cannot be read to its end.
    """
    if decoder.trouble is not None:
        raise SourceError(f"{decoder.source} cannot be read on: {decoder.trouble}")
