"""Resumable conversion: a film in segments, each safe on disk once it is finished, joined at the
end.

What cannot be resumed (`toonvid.resume.eligibility`) is written in one go, by `toonvid.pipeline`. What is
kept from run to run is `toonvid.resume.work_folder`'s, how segments become one film `toonvid.resume.join`'s.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from fractions import Fraction
from itertools import chain, groupby
from pathlib import Path

from toonvid import pipeline
from toonvid.backends import Backend
from toonvid.errors import SourceError, TargetError
from toonvid.pipeline import Conversion, Progress
from toonvid.prefetch import prefetch
from toonvid.reading.decoder import VideoDecoder
from toonvid.reading.options import DecodeOptions
from toonvid.resume.boundaries import Cutter, digest, is_found, remembered
from toonvid.resume.disk_space import least_target_bytes
from toonvid.resume.eligibility import why_in_one_go
from toonvid.resume.fingerprint import SIZE_KEY, Job, fingerprint
from toonvid.resume.join import join
from toonvid.resume.journal_entries import FinishedSegment, frame_kind
from toonvid.resume.segment_file import SegmentWriter
from toonvid.resume.work_folder import WorkFolder, disk_errors
from toonvid.stylizing.options import StylizeOptions
from toonvid.stylizing.stylizer import Stylizer
from toonvid.video import Frame
from toonvid.writing.encoder import VideoEncoder
from toonvid.writing.options import EncodeOptions
from toonvid.writing.part_folder import PartFolder

SEGMENT_SECONDS = Fraction(10)
"""Of film in a segment: the most that a crash can cost."""
_TAIL = 2  # frames at a segment's end that must be found again to go on behind it
# Containers in which a key frame that is looked for is found, and decodes by itself.
_EXACT_SEEKERS = {"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"}


def convert(
    source: str | Path,
    target: str | Path,
    backend: Backend,
    decoding: DecodeOptions | None = None,
    stylizing: StylizeOptions | None = None,
    encoding: EncodeOptions | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    restart: bool = False,
    command: str = "",
    segment_seconds: Fraction = SEGMENT_SECONDS,
) -> Conversion:
    """Turn a source into a cartoon; a film goes on where an earlier run of the same was stopped.

    Args:
        source: A film or picture, anything that FFmpeg opens, or `-` for standard input.
        target: The file to write, or `-` for Matroska on standard output.
        backend: Open; from `toonvid.backends.open_backend`.
        decoding: Part and size of the source.
        stylizing: How much of a cartoon it becomes.
        encoding: How the target is written.
        on_progress: Called after each frame and each segment. What it raises ends the run.
        restart: Whether to throw away what an earlier run has finished.
        command: What the user typed, for `read_job_state`.
        segment_seconds: How much of the film a segment holds.

    Returns:
        What was done, by all runs together. A damaged source is no error: all that could be read
        is in the target.

    Raises:
        JobMismatchError: What is finished was begun with other options, or from another source.
        SourceError, TargetError, BackendError: As `toonvid.pipeline.convert`; but finished segments
            stay for the next run.
    """
    options = (
        decoding or DecodeOptions(),
        stylizing or StylizeOptions(),
        encoding or EncodeOptions(),
    )
    if why_in_one_go(source, target, options[2]) is not None:
        mark = ""
        if Path(source).is_file():
            mark = Job.describe(Path(source), backend, options, segment_seconds).identity
        return pipeline.convert(source, target, backend, *options, on_progress, mark)
    pipeline.refuse_same(Path(source), Path(target))
    work = _Work(Path(source), Path(target), backend, options, segment_seconds, on_progress)
    return work.run(restart, command)


class _Work:
    """One run of a conversion."""

    def __init__(
        self,
        source: Path,
        target: Path,
        backend: Backend,
        options: tuple[DecodeOptions, StylizeOptions, EncodeOptions],
        segment_seconds: Fraction,
        on_progress: Callable[[Progress], None] | None,
    ) -> None:
        self._source, self._target = source, target
        self._backend = backend
        self._options = options
        self._decoding, self._stylizing, self._encoding = options
        self._segment_seconds = segment_seconds
        self._on_progress = on_progress
        self._ends: dict[int, tuple[list[list[str]], bool]] = {}
        self._began = time.perf_counter()
        self._first_frame_seconds = 0.0

    def run(self, restart: bool, command: str) -> Conversion:
        """Write the segments that are missing, and join all."""
        with self._decoder() as decoder, PartFolder(self._target, self._overwrite) as part:
            self._info = decoder.info
            length = self._info.duration_seconds
            job = Job.describe(
                source=self._source,
                backend=self._backend,
                options=self._options,
                segment_seconds=self._segment_seconds,
                command=command,
                duration_seconds=length,
                decoded_by=decoder.decoded_by,
            )
            with WorkFolder(self._target, job, restart) as self._kept:
                resumed = self._kept.finished_frames
                stage_seconds = dict.fromkeys(("decode", "stylize", "encode"), 0.0)
                if self._kept.source_end is None:
                    source_bytes = int(job.fingerprint[SIZE_KEY])
                    self._kept.check_space_for_video(length, self._least_bytes(source_bytes))
                    stage_seconds = self._write_segments(decoder)
                decoder.close()  # containers list all of a film's packets: once is enough
                whole = self._kept.source_end
                assert whole is not None
                joined = self._join(part, job)
                changed = self._is_changed(job)
                with suppress(OSError):  # the target is in its place
                    self._kept.remove()
        damage = (whole.damage, joined.damage, "it was changed while it was read" * changed)
        return Conversion(
            source=str(self._source),
            target=str(self._target),
            frames=whole.frames,
            film_seconds=whole.end_seconds,
            seconds=time.perf_counter() - self._began,
            stage_seconds=stage_seconds,
            notices=(*whole.notices, *joined.notices),
            damage=", ".join(filter(None, damage)) or None,
            first_frame_seconds=self._first_frame_seconds,
            resumed_frames=resumed,
        )

    def _least_bytes(self, source_bytes: int) -> int:
        codec = VideoEncoder(self._target, self._info, self._encoding).codec
        return least_target_bytes(source_bytes, self._info, codec)

    def _is_changed(self, job: Job) -> bool:
        try:
            return fingerprint(self._source, self._decoding.stall_seconds) != job.fingerprint
        except SourceError:  # it was taken away
            return True

    @property
    def _overwrite(self) -> bool:
        return self._encoding.overwrite

    def _decoder(self) -> VideoDecoder:
        return VideoDecoder(self._source, self._decoding, with_auxiliary=True)

    def _write_segments(self, decoder: VideoDecoder) -> dict[str, float]:
        """Write what is missing, to the end of the source; give the seconds of each stage."""
        began = time.perf_counter()
        with ExitStack() as stack:
            decoder, unread, cutter = self._reading(decoder, stack)
            frames = stack.enter_context(
                prefetch(_alone(decoder, unread), pipeline.DEPTH, decoder.interrupt)
            )
            cartoons = stack.enter_context(
                prefetch(self._cartoons(decoder, frames, cutter), pipeline.DEPTH, decoder.interrupt)
            )
            for number, numbered in groupby(cartoons, key=lambda pair: pair[0]):
                self._write_segment(number, (cartoon for _, cartoon in numbered))
        if not self._kept.finished:
            raise TargetError(f"nothing to write: {self._source} has no frames there")
        self._kept.record_source_end(tuple(decoder.notices), decoder.damage)
        return {
            "decode": frames.working_seconds,
            "stylize": cartoons.working_seconds - frames.waiting_seconds,
            "encode": time.perf_counter() - began - cartoons.waiting_seconds,
        }

    def _reading(
        self, decoder: VideoDecoder, stack: ExitStack
    ) -> tuple[VideoDecoder, Iterator[Frame], Cutter]:
        """Where to read on: behind the finished segments if they are found, else at the start."""
        first = self._kept.first_missing
        before = self._kept.finished.get(first - 1)
        if (
            before is not None
            and before.source_is_intact
            and self._info.container in _EXACT_SEEKERS
        ):
            decoder.skip_to(Fraction(before.last_source_frames[0][0]))
            frames = decoder.frames()
            if is_found(before.last_source_frames, frames):
                return decoder, frames, Cutter(self._segment_seconds, first)
            decoder = stack.enter_context(self._decoder())
        return decoder, decoder.frames(), Cutter(self._segment_seconds, 0)

    def _cartoons(
        self, decoder: VideoDecoder, frames: Iterable[Frame], cutter: Cutter
    ) -> Iterator[tuple[int, Frame]]:
        """Yield each cartoon with the number of its segment; no batch crosses into the next."""
        stylizer = Stylizer(self._backend, self._stylizing)
        for number, group in groupby(frames, key=cutter):
            if number in self._kept.finished:
                deque(group, maxlen=0)
                continue
            tail: deque[Frame] = deque(maxlen=_TAIL)
            for cartoon in stylizer.stylize(remembered(group, tail)):
                yield number, cartoon
            marks = [[str(frame.seconds), digest(frame)] for frame in tail]
            self._ends[number] = (marks, decoder.is_whole)

    def _write_segment(self, number: int, cartoons: Iterator[Frame]) -> None:
        self._kept.check_space()
        kept_before = self._progress()
        last = first = next(cartoons)
        like = self._kept.template_frame or first
        with (
            disk_errors(self._target),
            SegmentWriter(self._kept.segment_path(number)) as writer,
        ):
            with VideoEncoder(
                self._target,
                self._info,
                self._encoding,
                style=self._backend.engine.card.style,
                sink=writer.add,
            ) as encoder:
                encoder.start(like)
                writer.begin(encoder.time_base, encoder.extradata)
                for last in chain([first], cartoons):
                    encoder.write(last)
                    self._first_frame_seconds = (
                        self._first_frame_seconds or time.perf_counter() - self._began
                    )
                    self._report(kept_before, encoder.frame_count, _end(last))
            segment = writer.finish()
        tail, whole = self._ends.pop(number)
        self._kept.record_segment(
            FinishedSegment(
                number=number,
                segment=segment,
                end_seconds=_end(last),
                last_source_frames=tail,
                source_is_intact=whole,
                frame_kind=frame_kind(like),
            )
        )
        self._report(self._progress(), 0, _end(last))

    def _progress(self) -> Progress:
        """How far the finished segments reach."""
        kept = self._kept
        missing = kept.missing_bytes(self._info.duration_seconds)
        return Progress(
            self._info, kept.finished_frames, kept.finished_seconds, kept.finished_seconds, missing
        )

    def _report(self, kept: Progress, new_frames: int, film_seconds: float) -> None:
        if self._on_progress is not None:
            frames = kept.frames + new_frames
            self._on_progress(replace(kept, frames=frames, film_seconds=film_seconds))

    def _join(self, part: PartFolder, job: Job) -> VideoEncoder:
        """Put the target in its place; the encoder knows what could not be taken along."""
        kept = self._kept
        kept.check_space(kept.finished_bytes)
        style = self._backend.engine.card.style
        with (
            self._decoder() as decoder,
            disk_errors(self._target),
            VideoEncoder(
                *(self._target, decoder.info, self._encoding, decoder.auxiliary, style, part),
                job=job.identity,
            ) as encoder,
        ):
            assert kept.template_frame is not None
            segments = [kept.finished[number].segment for number in sorted(kept.finished)]
            join(decoder, encoder, kept.template_frame, kept.folder, segments)
            _refuse_trouble(decoder)
        return encoder


def _alone(decoder: VideoDecoder, frames: Iterator[Frame]) -> Iterator[Frame]:
    """The frames; what lies beside them is taken along by the join.

    Raises:
        SourceError: They end before their time, on a disk that may come back.
    """
    for frame in frames:
        decoder.auxiliary.packets.clear()
        yield frame
    _refuse_trouble(decoder)


def _refuse_trouble(decoder: VideoDecoder) -> None:
    """What is finished waits for the source, rather than being taken for all there is."""
    if decoder.trouble is not None:
        raise SourceError(f"{decoder.source} cannot be read on: {decoder.trouble}")


def _end(frame: Frame) -> float:
    return float((frame.pts + frame.duration) * frame.time_base)
