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
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from toonvid import pipeline
from toonvid.backends import Backend
from toonvid.errors import SourceError
from toonvid.pipeline import Conversion, ConvertOptions, Progress
from toonvid.reading.decoder import VideoDecoder
from toonvid.resume.eligibility import why_in_one_go
from toonvid.resume.fingerprint import CONTENT_KEY, SIZE_KEY, Job, fingerprint
from toonvid.resume.join import join
from toonvid.resume.missing_segments import MissingSegments, refuse_trouble
from toonvid.resume.work_folder import WorkFolder, disk_errors
from toonvid.video import VideoInfo
from toonvid.writing.codec import Codec
from toonvid.writing.encoder import Encoder
from toonvid.writing.muxer import Muxer
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
    return _convert_in_segments(
        source=Path(source),
        target=Path(target),
        backend=backend,
        options=options,
        on_progress=on_progress,
    )


def _convert_in_segments(
    source: Path,
    target: Path,
    backend: Backend,
    options: ConvertOptions,
    on_progress: Callable[[Progress], None] | None,
) -> Conversion:
    began = time.perf_counter()
    stage_seconds = dict.fromkeys(("decode", "stylize", "encode"), 0.0)
    first_frame_seconds = 0.0
    with (
        VideoDecoder(source, options.decoding, with_auxiliary=True) as decoder,
        PartFolder(target, options.encoding.overwrite) as part,
    ):
        info = decoder.info
        job = Job.describe(
            source=source,
            backend=backend,
            options=options,
            duration_seconds=info.duration_seconds,
            decoded_by=decoder.decoded_by,
        )
        with WorkFolder(target, job, options.restart) as work_folder:
            resumed_frames = work_folder.finished_frames

            # 1. Write the segments that are missing.
            if work_folder.source_end is None:
                codec = Encoder(target, info, options.encoding).codec
                forecast_bytes = least_target_bytes(int(job.fingerprint[SIZE_KEY]), info, codec)
                work_folder.check_space_for_video(info.duration_seconds, forecast_bytes)
                missing = MissingSegments(
                    source=source,
                    target=target,
                    backend=backend,
                    options=options,
                    work_folder=work_folder,
                    on_progress=on_progress,
                )
                stage_seconds = missing.write(decoder)
                first_frame_seconds = (missing.first_frame_at or began) - began
            # FFmpeg holds the index of a whole video in memory: the join opens its own.
            decoder.close()
            source_end = work_folder.source_end
            assert source_end is not None

            # 2. Join all segments to the target.
            muxer = _join_segments(
                source=source,
                backend=backend,
                options=options,
                job=job,
                work_folder=work_folder,
                part=part,
            )
            is_changed = _is_changed(source, options.decoding.stall_seconds, job)
            with suppress(OSError):  # the target is in its place: that files stay is no failure
                work_folder.remove()

    damage = (source_end.damage, muxer.damage, pipeline.CHANGED * is_changed)
    return Conversion(
        source=str(source),
        target=str(target),
        frames=source_end.frames,
        video_seconds=source_end.end_seconds,
        seconds=time.perf_counter() - began,
        stage_seconds=stage_seconds,
        notices=(*source_end.notices, *muxer.encoder.notices, *muxer.notices),
        damage=", ".join(filter(None, damage)) or None,
        left_out=muxer.left_out,
        first_frame_seconds=first_frame_seconds,
        resumed_frames=resumed_frames,
    )


def _join_segments(
    source: Path,
    backend: Backend,
    options: ConvertOptions,
    job: Job,
    work_folder: WorkFolder,
    part: PartFolder,
) -> Muxer:
    """Put the target in its place; the muxer knows what could not be copied."""
    work_folder.check_space(work_folder.finished_bytes)
    assert work_folder.template_frame is not None
    target, finished = work_folder.target, work_folder.finished
    with (
        VideoDecoder(source, options.decoding, with_auxiliary=True) as decoder,
        disk_errors(target),
        Muxer(
            Encoder(target, decoder.info, options.encoding),
            auxiliary=decoder.auxiliary,
            style=backend.engine.card.style,
            job=job.identity,
            part=part,
        ) as muxer,
    ):
        # Now that it is open: the file that is joined must be the one that the segments are of.
        refuse_replaced(source, options.decoding.stall_seconds, job)
        join(
            decoder=decoder,
            muxer=muxer,
            template=work_folder.template_frame,
            folder=work_folder.folder,
            segments=[finished[number].segment for number in sorted(finished)],
        )
        refuse_trouble(decoder)
        refuse_replaced(source, options.decoding.stall_seconds, job)
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
