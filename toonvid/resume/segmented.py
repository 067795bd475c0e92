"""Resumable conversion: a video in segments, each safe on disk once it is finished, joined at the
end.

In: a source that is a file. Out: a target that is byte for byte the same however often the
conversion was stopped. `convert` is the public door of toonvid. What cannot be resumed is written
in one go by `toonvid.pipeline.convert`; both go through `toonvid.pipeline.run_stages`. What is kept
from run to run is in `toonvid.resume.work_folder`, how segments become one video in
`toonvid.resume.join`.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from fractions import Fraction
from itertools import groupby
from pathlib import Path

from toonvid import pipeline
from toonvid.backends import Backend
from toonvid.errors import SourceError, TargetError
from toonvid.pipeline import Conversion, ConvertOptions, Progress, Sink, end_seconds, run_stages
from toonvid.reading.decoder import VideoDecoder
from toonvid.resume.boundaries import Cutter, digest, read_tail, remembered
from toonvid.resume.disk_space import least_target_bytes
from toonvid.resume.eligibility import why_in_one_go
from toonvid.resume.fingerprint import SIZE_KEY, Job, fingerprint
from toonvid.resume.join import join
from toonvid.resume.journal_entries import FinishedSegment, frame_kind
from toonvid.resume.segment_file import SegmentWriter
from toonvid.resume.work_folder import WorkFolder, disk_errors
from toonvid.stylizing.steady import WARM_UP_FRAMES
from toonvid.stylizing.stylizer import Stylizer
from toonvid.video import Frame
from toonvid.writing.encoder import Encoder
from toonvid.writing.muxer import Muxer, check_container
from toonvid.writing.part_folder import PartFolder

# Frames at a segment's end that must be found again to go on behind it: as many as make the state of
# the steady stage.
_TAIL = WARM_UP_FRAMES
# Containers in which a key frame that is looked for is found, and decodes by itself.
_EXACT_SEEKERS = {"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"}


def convert(
    source: str | Path,
    target: str | Path,
    backend: Backend,
    options: ConvertOptions | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Conversion:
    """Turn a video or image into a cartoon; a video goes on where an earlier run was stopped.

    Example:
        >>> from toonvid import ConvertOptions, EncodeOptions, convert, find_engine, open_backend
        >>> options = ConvertOptions(encoding=EncodeOptions(crf=16, overwrite=True))
        >>> with open_backend(find_engine("ink")) as backend:  # doctest: +SKIP
        ...     done = convert(
        ...         "movie.mp4",
        ...         "movie.toon.mp4",
        ...         backend,
        ...         options,
        ...         on_progress=lambda progress: print(progress.frames, end="\\r"),
        ...     )
        >>> print(f"{done.frames} frames in {done.seconds:.1f} s")  # doctest: +SKIP

    Args:
        source: A video or image, anything that FFmpeg opens, or `-` for standard input.
        target: The file to write, or `-` for Matroska on standard output. Its suffix names the
            container.
        backend: Open; from `toonvid.open_backend`. It can be used for many conversions.
        options: Part, size, strength, codec and more; None for the defaults.
        on_progress: Called on the calling thread after each frame and each segment, with how far
            the conversion has come. What it raises ends the conversion and leaves this function;
            the same call made again goes on behind the last finished segment.

    Returns:
        What was done, by all runs together. A damaged source is no error: all that could be read
        is in the target, and `damage` says what could not.

    Raises:
        JobMismatchError: What is finished was begun with other options, or from another source.
        SourceError: The source cannot be opened or has no video stream.
        TargetError: The target cannot be written, or is there already.
        BackendError: The engine fails. Whatever fails, finished segments stay for the next run.
    """
    options = options or ConvertOptions()
    if why_in_one_go(source, target, options.encoding) is not None:
        job = ""
        if Path(source).is_file():
            job = Job.describe(Path(source), backend, options).identity
        return pipeline.convert(source, target, backend, options, on_progress, job)
    pipeline.refuse_same(Path(source), Path(target))
    run = _SegmentedRun(Path(source), Path(target), backend, options, on_progress)
    return run.convert()


class _SegmentedRun:
    """One run of a conversion in segments; an earlier one may have left some of them."""

    def __init__(
        self,
        source: Path,
        target: Path,
        backend: Backend,
        options: ConvertOptions,
        on_progress: Callable[[Progress], None] | None,
    ) -> None:
        self._source, self._target = source, target
        self._backend = backend
        self._style = backend.engine.card.style
        self._options = options
        self._on_progress = on_progress
        # Number of a segment -> the tail of its frames, and whether the source was in order so far.
        # Filled by the stylizing thread when it has passed the segment's end.
        self._ends: dict[int, tuple[list[list[str]], bool]] = {}
        self._frames_before: list[Frame] = []  # the end of a finished segment that was read again
        self._began = time.perf_counter()
        self._first_frame_seconds = 0.0

    def convert(self) -> Conversion:
        """Write the segments that are missing, and join all."""
        overwrite = self._options.encoding.overwrite
        with self._decoder() as decoder, PartFolder(self._target, overwrite) as part:
            self._info = decoder.info
            job = Job.describe(
                source=self._source,
                backend=self._backend,
                options=self._options,
                duration_seconds=self._info.duration_seconds,
                decoded_by=decoder.decoded_by,
            )
            with WorkFolder(self._target, job, self._options.restart) as self._kept:
                resumed_frames = self._kept.finished_frames
                stage_seconds = dict.fromkeys(("decode", "stylize", "encode"), 0.0)
                if self._kept.source_end is None:
                    self._refuse_small_disk(int(job.fingerprint[SIZE_KEY]))
                    stage_seconds = self._write_segments(decoder)
                decoder.close()  # containers list all packets of a video: once is enough
                source_end = self._kept.source_end
                assert source_end is not None
                muxer = self._join(part, job)
                changed = self._is_changed(job)
                with suppress(OSError):  # the target is in its place
                    self._kept.remove()
        damage = (source_end.damage, muxer.damage, "it was changed while it was read" * changed)
        return Conversion(
            source=str(self._source),
            target=str(self._target),
            frames=source_end.frames,
            video_seconds=source_end.end_seconds,
            seconds=time.perf_counter() - self._began,
            stage_seconds=stage_seconds,
            notices=(*source_end.notices, *muxer.encoder.notices, *muxer.notices),
            damage=", ".join(filter(None, damage)) or None,
            first_frame_seconds=self._first_frame_seconds,
            resumed_frames=resumed_frames,
        )

    def _decoder(self) -> VideoDecoder:
        return VideoDecoder(self._source, self._options.decoding, with_auxiliary=True)

    def _encoder(self) -> Encoder:
        return Encoder(self._target, self._info, self._options.encoding)

    def _refuse_small_disk(self, source_bytes: int) -> None:
        least_bytes = least_target_bytes(source_bytes, self._info, self._encoder().codec)
        self._kept.check_space_for_video(self._info.duration_seconds, least_bytes)

    def _is_changed(self, job: Job) -> bool:
        """Whether the source is not the file any more that the conversion began with."""
        try:
            stall_seconds = self._options.decoding.stall_seconds
            return fingerprint(self._source, stall_seconds) != job.fingerprint
        except SourceError:  # it was taken away
            return True

    def _write_segments(self, decoder: VideoDecoder) -> dict[str, float]:
        """Write what is missing, to the end of the source; return the seconds of each stage."""
        self._is_container_checked = False
        with ExitStack() as stack:
            decoder, unread, cutter = self._seek(decoder, stack)
            stage_seconds = run_stages(
                decoder=decoder,
                frames=_video_alone(decoder, unread),
                stylize=lambda frames: self._numbered_cartoons(decoder, frames, cutter),
                open_sink=self._segment,
                on_frame=self._report_frame,
            )
        if not self._kept.finished:
            raise TargetError(f"nothing to write: {self._source} has no frames there")
        self._kept.record_source_end(tuple(decoder.notices), decoder.damage)
        return stage_seconds

    def _seek(
        self, decoder: VideoDecoder, stack: ExitStack
    ) -> tuple[VideoDecoder, Iterator[Frame], Cutter]:
        """Find where to read on: behind the finished segments if they are found, else the start."""
        first = self._kept.first_missing
        before = self._kept.finished.get(first - 1)
        seconds = self._options.segment_seconds
        if (
            before is not None
            and before.source_is_intact
            and self._info.container in _EXACT_SEEKERS
        ):
            decoder.skip_to(Fraction(before.last_source_frames[0][0]))
            frames = decoder.frames()
            tail = read_tail(before.last_source_frames, frames)
            if tail is not None:
                self._frames_before = tail
                return decoder, frames, Cutter(seconds, first)
            decoder = stack.enter_context(self._decoder())
        return decoder, decoder.frames(), Cutter(seconds, 0)

    def _numbered_cartoons(
        self, decoder: VideoDecoder, frames: Iterable[Frame], cutter: Cutter
    ) -> Iterator[tuple[int, Frame]]:
        """Yield each cartoon with the number of its segment.

        A batch never holds frames of two segments: a backend may round otherwise in a batch of
        another size, and a run that goes on would then give other bytes.
        """
        stylizer = Stylizer(self._backend, self._options.stylizing)
        for number, group in groupby(frames, key=cutter):
            if number in self._kept.finished:
                self._frames_before = list(deque(group, maxlen=_TAIL))
                continue
            stylizer.begin_segment(self._frames_before)
            self._frames_before = []  # from here on the stylizer has seen them itself
            tail: deque[Frame] = deque(maxlen=_TAIL)
            for cartoon in stylizer.stylize(remembered(group, tail)):
                yield number, cartoon
            hashes = [[str(frame.seconds), digest(frame)] for frame in tail]
            self._ends[number] = (hashes, decoder.is_whole)

    @contextmanager
    def _segment(self, number: int, first: Frame) -> Iterator[Sink]:
        """Open the sink for one segment; left without an error, the segment is kept."""
        self._kept.check_space()
        like = self._kept.template_frame or first
        if not self._is_container_checked:
            check_container(self._encoder(), like)
            self._is_container_checked = True
        self._kept_before = self._progress()
        encoder = self._segment_encoder = self._encoder()
        with disk_errors(self._target), SegmentWriter(self._kept.segment_path(number)) as writer:
            encoder.open(like)
            writer.begin(encoder.time_base, encoder.extradata)
            yield Sink(encoder, writer.write)
            segment = writer.finish()
        tail, whole = self._ends.pop(number)
        self._kept.record_segment(
            FinishedSegment(
                number=number,
                segment=segment,
                end_seconds=self._end_seconds,
                last_source_frames=tail,
                source_is_intact=whole,
                frame_kind=frame_kind(like),
            )
        )
        self._report(self._progress(), 0)

    def _report_frame(self, cartoon: Frame) -> None:
        self._end_seconds = end_seconds(cartoon)
        self._first_frame_seconds = self._first_frame_seconds or time.perf_counter() - self._began
        self._report(self._kept_before, self._segment_encoder.frame_count)

    def _report(self, kept: Progress, new_frames: int) -> None:
        if self._on_progress is not None:
            frames = kept.frames + new_frames
            self._on_progress(replace(kept, frames=frames, video_seconds=self._end_seconds))

    def _progress(self) -> Progress:
        """Return how far the finished segments reach."""
        kept = self._kept
        return Progress(
            info=self._info,
            frames=kept.finished_frames,
            video_seconds=kept.finished_seconds,
            kept_seconds=kept.finished_seconds,
            missing_bytes=kept.missing_bytes(self._info.duration_seconds),
        )

    def _join(self, part: PartFolder, job: Job) -> Muxer:
        """Put the target in its place; the muxer knows what could not be copied."""
        kept = self._kept
        kept.check_space(kept.finished_bytes)
        with (
            self._decoder() as decoder,
            disk_errors(self._target),
            Muxer(
                Encoder(self._target, decoder.info, self._options.encoding),
                auxiliary=decoder.auxiliary,
                style=self._style,
                job=job.identity,
                part=part,
            ) as muxer,
        ):
            assert kept.template_frame is not None
            join(
                decoder=decoder,
                muxer=muxer,
                like=kept.template_frame,
                folder=kept.folder,
                segments=[kept.finished[number].segment for number in sorted(kept.finished)],
            )
            _refuse_trouble(decoder)
        return muxer


def _video_alone(decoder: VideoDecoder, frames: Iterator[Frame]) -> Iterator[Frame]:
    """Yield the frames; auxiliary packets are dropped here, because the join reads them again.

    They are read all the same, for the damage in them.

    Raises:
        SourceError: The frames end before their time, on a disk that may come back.
    """
    decoder.auxiliary.packets.discard()
    yield from frames
    _refuse_trouble(decoder)


def _refuse_trouble(decoder: VideoDecoder) -> None:
    """What is finished waits for the source, rather than being taken for all there is."""
    if decoder.trouble is not None:
        raise SourceError(f"{decoder.source} cannot be read on: {decoder.trouble}")
