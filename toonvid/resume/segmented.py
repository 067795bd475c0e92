"""Resumable conversion: a video in segments, each safe on disk once it is finished, joined at the
end.

In: a source that is a file. Out: a target that is byte for byte the same however often the
conversion was stopped. `convert` is the public door of toonvid; `SegmentedConversion` is one
conversion, for `convert` and for runs on several machines (`toonvid.cluster`). What cannot be
resumed is written in one go by `toonvid.pipeline.convert`; both go through the stages of
`toonvid.pipeline`. What is kept from run to run is in `toonvid.resume.work_folder`, how segments
become one video in `toonvid.resume.join`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType

from toonvid import pipeline
from toonvid.backends import Backend
from toonvid.errors import SourceError, TargetError
from toonvid.pipeline import Conversion, ConvertOptions, Progress
from toonvid.reading.decoder import VideoDecoder
from toonvid.resume.eligibility import why_in_one_go
from toonvid.resume.fingerprint import CONTENT_KEY, SIZE_KEY, Job, fingerprint
from toonvid.resume.join import join
from toonvid.resume.missing_segments import MissingSegments
from toonvid.resume.segment_maker import refuse_trouble
from toonvid.resume.work_folder import WorkFolder, disk_errors
from toonvid.stylizing.compare import compose_comparison
from toonvid.stylizing.stylizer import Stylizer
from toonvid.video import Frame, VideoInfo
from toonvid.writing.codec import Codec
from toonvid.writing.encoder import Encoder
from toonvid.writing.muxer import Muxer, check_container
from toonvid.writing.part_folder import PartFolder

# Seven videos of 180p to 720p in the style `ink`: each target took 0.8 to 1.9 times its source, and
# 0.069 to 0.185 bits per pixel.
_LEAST_SHARE_OF_SOURCE = 0.8
_LEAST_BITS_PER_PIXEL = 0.07
_CRF_THAT_HALVES = 6  # x264's rule of thumb: 6 more take half the bits


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
        is in the target but for what `left_out` says, and `damage` says what could not.

    Raises:
        JobMismatchError: What is finished was begun with other options, or from another source.
        SourceError: The source cannot be opened, has no video stream, or was replaced meanwhile.
        TargetError: The target cannot be written, or is there already.
        BackendError: The engine fails. Whatever fails, finished segments stay for the next run.
    """
    options = options or ConvertOptions()
    if why_in_one_go(source, target, options.encoding) is not None:
        job = ""
        if Path(source).is_file():
            job = Job.describe(Path(source), backend, options).identity
        return pipeline.convert(
            source=source,
            target=target,
            backend=backend,
            options=options,
            on_progress=on_progress,
            job=job,
        )
    pipeline.refuse_same(Path(source), Path(target))
    with SegmentedConversion(
        Path(source), Path(target), backend, options, draws_here=True
    ) as conversion:
        conversion.write_missing(on_progress)
        return conversion.join()


class SegmentedConversion:
    """One conversion in segments: its lock, its work folder, and the join. A context manager.

    Segments are written by `write_missing`, or made elsewhere and put into `work_folder`.
    """

    work_folder: WorkFolder
    """Segments and journal. Set on entry."""
    info: VideoInfo
    """Description of the source. Set on entry."""
    job: Job
    """Which conversion it is. Set on entry."""
    resumed_frames: int
    """Frames that earlier runs have finished. Set on entry."""

    def __init__(
        self,
        source: Path,
        target: Path,
        backend: Backend,
        options: ConvertOptions,
        draws_here: bool = False,
    ) -> None:
        """Remember what to convert; nothing is opened before entry.

        Args:
            source: File to convert.
            target: File to write.
            backend: Open.
            options: How the source is converted.
            draws_here: Whether the backend will be used, and gets ready while the source is opened.
        """
        self._draws_here = draws_here
        self.source, self.target = source, target
        self.backend, self.options = backend, options
        self._stage_seconds: dict[str, float] = {}
        self._first_frame_seconds: float | None = None

    def __enter__(self) -> SegmentedConversion:
        """Lock the target, and read what earlier runs have finished.

        Raises:
            As `convert`.
        """
        self._began = time.perf_counter()
        source, target, options = self.source, self.target, self.options
        with ExitStack() as stack:
            stylizer = Stylizer(self.backend, options.stylizing.for_source(is_image=False))
            self._decoder = stack.enter_context(
                VideoDecoder(
                    source,
                    options.decoding,
                    with_auxiliary=True,
                    on_size=stylizer.prepare if self._draws_here else None,
                )
            )
            self._part = stack.enter_context(PartFolder(target, options.encoding.overwrite))
            self.info = self._decoder.info
            self.job = Job.describe(
                source=source,
                backend=self.backend,
                options=options,
                duration_seconds=self.info.duration_seconds,
                decoded_by=self._decoder.decoded_by,
            )
            self.work_folder = stack.enter_context(WorkFolder(target, self.job, options.restart))
            self.resumed_frames = self.work_folder.finished_frames
            if self.work_folder.source_end is None:
                codec = Encoder(target, self.info, options.encoding).codec
                source_bytes = int(self.job.fingerprint[SIZE_KEY])
                forecast_bytes = least_target_bytes(source_bytes, self.info, codec)
                self.work_folder.check_space_for_video(self.info.duration_seconds, forecast_bytes)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def write_missing(self, on_progress: Callable[[Progress], None] | None = None) -> None:
        """Write the segments that are missing, on this machine."""
        if self.work_folder.source_end is not None:
            return
        missing = MissingSegments(
            source=self.source,
            target=self.target,
            backend=self.backend,
            options=self.options,
            work_folder=self.work_folder,
            on_progress=on_progress,
        )
        stage_seconds = missing.write(self._decoder)
        if missing.first_frame_at is not None:  # else the source's end alone was missing
            self._stage_seconds = stage_seconds
            self._first_frame_seconds = missing.first_frame_at - self._began

    def first_cartoon(self) -> Frame:
        """Read the first frame; return a frame of the kind of its cartoon, with other pixels.

        Called instead of `write_missing`. Refuses targets that cannot hold the source's streams.

        Raises:
            TargetError: The source has no frames, or the container does not take its streams.
        """
        first = next(self._decoder.frames(), None)
        if first is None:
            raise TargetError(f"nothing to write: {self.source} has no frames there")
        template = compose_comparison(first, first, self.options.stylizing.compare)
        encoder = Encoder(self.target, self.info, self.options.encoding)
        check_container(encoder, template, self._decoder.auxiliary)
        return template

    def join(self) -> Conversion:
        """Join all segments to the target."""
        # FFmpeg holds the index of a whole video in memory: the join opens its own.
        self._decoder.close()
        source_end = self.work_folder.source_end
        assert source_end is not None
        muxer = self._join_segments()
        is_changed = _is_changed(self.source, self.options.decoding.stall_seconds, self.job)
        with suppress(OSError):  # the target is in its place: that files stay is no failure
            self.work_folder.remove()
        damage = (source_end.damage, muxer.damage, pipeline.CHANGED * is_changed)
        return Conversion(
            source=str(self.source),
            target=str(self.target),
            frames=source_end.frames,
            video_seconds=source_end.end_seconds,
            seconds=time.perf_counter() - self._began,
            stage_seconds=self._stage_seconds,
            notices=tuple(
                dict.fromkeys((*source_end.notices, *muxer.encoder.notices, *muxer.notices))
            ),
            damage=", ".join(filter(None, damage)) or None,
            left_out=muxer.left_out,
            first_frame_seconds=self._first_frame_seconds,
            resumed_frames=self.resumed_frames,
        )

    def _join_segments(self) -> Muxer:
        """Put the target in its place; the muxer knows what could not be copied."""
        folder = self.work_folder
        folder.check_space(folder.finished_bytes)
        assert folder.template_frame is not None
        stall_seconds = self.options.decoding.stall_seconds
        with (
            VideoDecoder(self.source, self.options.decoding, with_auxiliary=True) as decoder,
            disk_errors(self.target),
            Muxer(
                Encoder(self.target, decoder.info, self.options.encoding),
                auxiliary=decoder.auxiliary,
                style=self.backend.engine.card.style,
                job=self.job.identity,
                part=self._part,
            ) as muxer,
        ):
            # Now that it is open: the file that is joined must be the one that the segments are of.
            refuse_replaced(self.source, stall_seconds, self.job)
            join(
                decoder=decoder,
                muxer=muxer,
                template=folder.template_frame,
                folder=folder.folder,
                segments=[folder.finished[n].segment for n in sorted(folder.finished)],
            )
            refuse_trouble(decoder)
            refuse_replaced(self.source, stall_seconds, self.job)
        return muxer


def refuse_replaced(source: Path, stall_seconds: float, job: Job) -> None:
    """Refuse to join segments of one source with the audio of another.

    Raises:
        SourceError: Another file lies in the source's place, or it was rewritten.
    """
    found = _found_fingerprint(source, stall_seconds)
    if found is None:
        return  # deleted: what is open can be read on
    if any(found[key] != job.fingerprint[key] for key in (SIZE_KEY, CONTENT_KEY)):
        raise SourceError(
            f"{source} was replaced while it was read; what is finished is kept: put the first"
            " file back and run the command again, or begin anew with --restart"
        )


def _is_changed(source: Path, stall_seconds: float, job: Job) -> bool:
    """Whether the source is no longer the file that the conversion began with."""
    return _found_fingerprint(source, stall_seconds) != job.fingerprint


def _found_fingerprint(source: Path, stall_seconds: float) -> dict[str, str] | None:
    """Return the fingerprint of a file now; None when it was deleted, or its disk is gone."""
    try:
        return fingerprint(source, stall_seconds)
    except SourceError:
        return None


def least_target_bytes(source_bytes: int, info: VideoInfo, codec: Codec) -> int:
    """Forecast the least size of a target, before anything of it is written.

    A wrong forecast must not stop a conversion that would fit: the lower of two is taken. Once a
    segment is finished, `toonvid.resume.work_folder` estimates from its size.

    Args:
        source_bytes: Size of the whole source.
        info: What is known of the part that is converted.
        codec: Codec of the target.

    Returns:
        A size in bytes; 0 when nothing can be told.
    """
    if info.frame_count is None:
        return 0
    bits = _LEAST_BITS_PER_PIXEL * info.width * info.height * info.frame_count
    coarser = max(0, codec.crf_over_default) / _CRF_THAT_HALVES
    return int(min(_LEAST_SHARE_OF_SOURCE * source_bytes, bits / 8) / 2**coarser)
