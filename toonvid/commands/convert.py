"""`toonvid convert`: films and pictures become cartoons."""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from toonvid.choices import DecoderName
from toonvid.commands.arguments import parse_size, parse_time
from toonvid.commands.convert_report import FAILED, NORMAL, QUIET, VERBOSE, Report
from toonvid.commands.job_status import show_job_status
from toonvid.commands.options import (
    BackendChoice,
    Compare,
    Device,
    KeepColor,
    Precision,
    Quiet,
    Strength,
    Style,
)
from toonvid.engine import DEFAULT_STYLE
from toonvid.errors import ToonvidError

if TYPE_CHECKING:
    from toonvid.backends import Backend
    from toonvid.reading.options import DecodeOptions
    from toonvid.stylizing.options import StylizeOptions
    from toonvid.writing.options import EncodeOptions
    from toonvid.writing.output_paths import PlannedConversion

_DAMAGED_SOURCE = 4  # exit code


def convert(
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SOURCE...", help="Films, pictures, folders, URLs, or - for standard input."
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="TARGET",
            help="A file, a folder, a template such as '{stem}.{style}{ext}', or - for Matroska on"
            " standard output.  [default: movie.toon.mp4 beside the source]",
        ),
    ] = None,
    style: Style = DEFAULT_STYLE,
    backend: BackendChoice = "auto",
    device: Device = None,
    precision: Precision = "auto",
    size: Annotated[
        str | None,
        typer.Option(
            metavar="WxH|720p",
            help="Stylize and write at this size: a box to fit, or the short side.",
        ),
    ] = None,
    upscale: Annotated[bool, typer.Option("--upscale", help="Let --size enlarge too.")] = False,
    strength: Strength = 1.0,
    keep_color: KeepColor = False,
    compare: Compare = "none",
    start: Annotated[
        str | None, typer.Option(metavar="TIME", help="Begin here: 90, 1:30, 0:01:30.5.")
    ] = None,
    end: Annotated[str | None, typer.Option(metavar="TIME", help="End here.")] = None,
    max_pixels: Annotated[
        int | None,
        typer.Option(min=1, help="Refuse larger frames.  [default: 134217728]"),
    ] = None,
    decode: Annotated[
        DecoderName, typer.Option(help="What decodes; auto takes NVDEC where it works.")
    ] = "auto",
    stall_seconds: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Give up a pipe, address or network mount that is silent so long; 0: never."
            "  [default: 30]",
        ),
    ] = None,
    codec: Annotated[
        str,
        typer.Option(
            help="Video encoder, as FFmpeg names it: libx265, h264_nvenc. auto takes one in"
            " software, mostly libx264."
        ),
    ] = "auto",
    crf: Annotated[
        int | None, typer.Option(min=0, max=63, help="Quality, lower is finer.  [default: 18]")
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(help="The encoder's speed.  [default: between superfast and veryfast]"),
    ] = None,
    pix_fmt: Annotated[
        str | None, typer.Option(help="Pixel format, as FFmpeg names it.  [default: yuv420p]")
    ] = None,
    no_audio: Annotated[bool, typer.Option("--no-audio", help="Leave audio out.")] = False,
    no_subtitles: Annotated[
        bool, typer.Option("--no-subtitles", help="Leave subtitles out.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", "-y", help="Replace targets that are there.")
    ] = False,
    restart: Annotated[
        bool,
        typer.Option("--restart", help="Throw away what a stopped run has finished; begin anew."),
    ] = False,
    status: Annotated[
        str | None,
        typer.Option(metavar="TARGET", help="Tell how far the conversion to it is; do nothing."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a line of JSON for each source.")
    ] = False,
    quiet: Quiet = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more.")] = False,
) -> None:
    """Turn films and pictures into cartoons, with their sound, subtitles and times.

    What was stopped goes on where it was: give the same command again. In a folder, what is
    finished is left as it is.
    """
    if status is not None:
        show_job_status(status, as_json)
        return
    if not sources:
        raise typer.BadParameter("missing", param_hint="SOURCE...")
    from toonvid.backends import open_backend
    from toonvid.engine import find_engine
    from toonvid.ffmpeg.hardware import choose_decoding
    from toonvid.reading.options import DecodeOptions
    from toonvid.stylizing.options import StylizeOptions
    from toonvid.writing.codec import Codec
    from toonvid.writing.options import EncodeOptions
    from toonvid.writing.output_paths import plan_targets

    begins = None if start is None else parse_time(start)
    ends = None if end is None else parse_time(end)
    if ends is not None and ends <= (begins or 0):
        raise typer.BadParameter("the end lies before the start", param_hint="--end")
    if as_json and output == "-":
        raise typer.BadParameter("standard output holds the film already", param_hint="--json")
    decoding = DecodeOptions(parse_size(size), upscale, begins, ends, decode=decode)
    if max_pixels is not None:
        decoding = replace(decoding, max_pixels=max_pixels)
    if stall_seconds is not None:
        decoding = replace(decoding, stall_seconds=stall_seconds)
    stylizing = StylizeOptions(strength, keep_color, compare)
    encoder = None if codec == "auto" else codec
    if encoder is not None:
        Codec(encoder)  # one that is not here ends all, not each source by itself
    encoding = EncodeOptions(
        encoder, crf, preset, pix_fmt, not no_audio, not no_subtitles, overwrite
    )
    report = Report(QUIET if quiet else VERBOSE if verbose else NORMAL, as_json)
    engine = find_engine(style)
    jobs = plan_targets(sources, output, engine.card.style)
    is_batch = len(jobs) > 1 or any(Path(source).is_dir() for source in sources)
    goes_on = is_batch and not overwrite and not restart
    report.show_decoding(choose_decoding(decode))
    with open_backend(engine, backend, device, precision) as opened:
        report.show_choice(opened)
        codes = [
            _convert_one(
                *(job, opened, (decoding, stylizing, encoding), report),
                *(restart, len(jobs) == 1, goes_on),
            )
            for job in jobs
        ]
    report.show_total(codes)
    if any(codes):
        raise typer.Exit(codes[0] if len(codes) == 1 else FAILED)


def _convert_one(
    job: PlannedConversion,
    backend: Backend,
    options: tuple[DecodeOptions, StylizeOptions, EncodeOptions],
    report: Report,
    restart: bool,
    is_only: bool,
    goes_on: bool,
) -> int:
    """Convert one source and give its exit code; among several, an error does not stop the rest."""
    from toonvid.resume import segmented as segments
    from toonvid.resume.finished_target import is_finished_target

    try:
        if goes_on and is_finished_target(job.source, job.target, backend, options):
            report.show_done(job)
            return 0
        with report.progress(job, options[2]) as show:
            done = segments.convert(
                job.source, job.target, backend, *options, show, restart, _command()
            )
    except ToonvidError as error:
        if is_only:
            report.show_unfinished(job)
            raise
        report.show_failure(job, error)
        report.show_unfinished(job)
        return FAILED
    except BaseException:
        report.show_unfinished(job)
        raise
    report.show_result(done)
    return _DAMAGED_SOURCE if done.damage else 0


def _command() -> str:
    """What the user typed; what goes on must not begin anew."""
    return shlex.join(["toonvid", *(word for word in sys.argv[1:] if word != "--restart")])
