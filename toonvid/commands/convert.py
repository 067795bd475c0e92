"""`toonvid convert`: videos and images in, cartoons out.

Options become values here. Targets are planned in `toonvid.writing.output_paths`, and each source
is converted by `toonvid.resume.segmented`. Messages are in `toonvid.commands.conversion_report`.
"""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from toonvid.choices import DECODERS, DecoderName
from toonvid.commands.arguments import parse_size, parse_time
from toonvid.commands.conversion_report import (
    DAMAGED_SOURCE,
    FAILED,
    NORMAL,
    QUIET,
    VERBOSE,
    ConversionReport,
)
from toonvid.commands.conversion_status import show_status
from toonvid.commands.help import BACKEND_PANEL, ENCODING_PANEL, OUTPUT_PANEL, SOURCE_PANEL
from toonvid.commands.messages import count
from toonvid.commands.options import (
    AsJson,
    BackendChoice,
    Compare,
    Device,
    DrawingQuality,
    Ink,
    KeepColor,
    Overwrite,
    Precision,
    Quiet,
    Saturation,
    Steady,
    Strength,
    Style,
    Tones,
    Verbose,
    listed,
)
from toonvid.engine import DEFAULT_STYLE
from toonvid.errors import ToonvidError
from toonvid.reading.options import DecodeOptions
from toonvid.stylizing.options import StylizeOptions
from toonvid.writing.options import EncodeOptions

if TYPE_CHECKING:
    from toonvid.backends import Backend
    from toonvid.pipeline import ConvertOptions
    from toonvid.writing.output_paths import PlannedConversion

_AUTO = "auto"
_VIDEO_OPTIONS = ("codec", "crf", "preset", "pix_fmt")  # of the encoder of a video
_DECODING, _STYLIZING = DecodeOptions(), StylizeOptions()  # hold the defaults


def convert(
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SOURCE", help="Videos, images, folders, URLs, or - for standard input."
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="TARGET",
            help="A file, a folder, a template such as '{stem}.{style}{ext}', or - for Matroska on"
            " standard output.",
            show_default="movie.toon.mp4 beside movie.mp4",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None,
    overwrite: Overwrite = False,
    restart: Annotated[
        bool,
        typer.Option(
            "--restart",
            help="Discard the finished part of a stopped conversion and begin again.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = False,
    status: Annotated[
        str | None,
        typer.Option(
            metavar="TARGET",
            help="Print how far the conversion to this target is, and convert nothing.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Try some seconds of each video, say how long it would take and how large the"
            " target would be, and write nothing.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = False,
    style: Style = DEFAULT_STYLE,
    strength: Strength = _STYLIZING.strength,
    ink: Ink = _STYLIZING.ink,
    tones: Tones = _STYLIZING.tones,
    saturation: Saturation = _STYLIZING.saturation,
    steady: Steady = _STYLIZING.steady,
    keep_color: KeepColor = _STYLIZING.keep_color,
    quality: DrawingQuality = _STYLIZING.quality,
    compare: Compare = _STYLIZING.compare,
    size: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="Stylize and write at this size: 1280x720 is a box to fit, 720p the short side.",
            show_default="size of the source",
            rich_help_panel=SOURCE_PANEL,
        ),
    ] = None,
    upscale: Annotated[
        bool,
        typer.Option(
            "--upscale", help="Let --size enlarge frames too.", rich_help_panel=SOURCE_PANEL
        ),
    ] = _DECODING.upscale,
    start: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Begin at this time: 90, 1:30 or 0:01:30.5.",
            rich_help_panel=SOURCE_PANEL,
        ),
    ] = None,
    end: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="End before this time.", rich_help_panel=SOURCE_PANEL),
    ] = None,
    decode: Annotated[
        DecoderName,
        typer.Option(
            metavar="NAME",
            help=f"Decoder: {listed(DECODERS)}. auto uses NVDEC where it works.",
            rich_help_panel=SOURCE_PANEL,
        ),
    ] = _DECODING.decode,
    max_pixels: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=1,
            help="Refuse sources whose frames have more pixels.",
            rich_help_panel=SOURCE_PANEL,
        ),
    ] = _DECODING.max_pixels,
    stall_seconds: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            min=0,
            help="Give up a pipe, address or network mount that stays silent so long; 0: never.",
            rich_help_panel=SOURCE_PANEL,
        ),
    ] = _DECODING.stall_seconds,
    codec: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Video encoder, as FFmpeg names it: libx265, h264_nvenc. auto takes a software"
            " encoder, for most containers libx264.",
            rich_help_panel=ENCODING_PANEL,
        ),
    ] = _AUTO,
    crf: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=0,
            max=63,
            help="Constant quality; lower is better and larger.",
            show_default="18 for libx264",
            rich_help_panel=ENCODING_PANEL,
        ),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The encoder's own preset, speed against size.",
            show_default="between superfast and veryfast for libx264",
            rich_help_panel=ENCODING_PANEL,
        ),
    ] = None,
    pix_fmt: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Pixel format, as FFmpeg names it.",
            show_default="yuv420p for most encoders",
            rich_help_panel=ENCODING_PANEL,
        ),
    ] = None,
    no_audio: Annotated[
        bool,
        typer.Option("--no-audio", help="Leave audio out.", rich_help_panel=ENCODING_PANEL),
    ] = False,
    no_subtitles: Annotated[
        bool,
        typer.Option("--no-subtitles", help="Leave subtitles out.", rich_help_panel=ENCODING_PANEL),
    ] = False,
    backend: BackendChoice = "auto",
    device: Device = None,
    precision: Precision = "auto",
    cluster: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Let a Ray cluster make the segments: auto for the one of this machine, local to"
            " start one here, or HOST:PORT. Needs toonvid\\[cluster]; see docs/cluster.md.",
            show_default="this process alone",
            rich_help_panel=BACKEND_PANEL,
        ),
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Turn videos and images into cartoons, with their audio, subtitles and frame times.

    The same command resumes a conversion that was stopped. Of a folder, it skips the sources that
    are finished.

    Examples:
        toonvid convert movie.mp4
        toonvid convert holiday/ -o cartoons/ --style pepper
        toonvid convert movie.mp4 --start 1:00 --end 1:30 --compare wipe
        toonvid convert library/ -o cartoons/ --cluster auto
        toonvid convert --status movie.toon.mp4
    """
    if status is not None:
        show_status(status, as_json)
        return
    if not sources:
        raise typer.BadParameter("missing", param_hint="SOURCE...")
    if as_json and output == "-":
        raise typer.BadParameter("standard output holds the video already", param_hint="--json")
    begin = None if start is None else parse_time(start)
    finish = None if end is None else parse_time(end)
    if finish is not None and finish <= (begin or 0):
        raise typer.BadParameter("the end lies before the start", param_hint="--end")
    decoding = DecodeOptions(
        size=None if size is None else parse_size(size),
        upscale=upscale,
        start=begin,
        end=finish,
        max_pixels=max_pixels,
        stall_seconds=stall_seconds,
        decode=decode,
    )
    encoding = EncodeOptions(
        codec=None if codec == _AUTO else codec,
        crf=crf,
        preset=preset,
        pix_fmt=pix_fmt,
        audio=not no_audio,
        subtitles=not no_subtitles,
        overwrite=overwrite,
    )
    stylizing = StylizeOptions(
        strength, keep_color, compare, steady, ink, tones, saturation, quality
    )
    from toonvid.backends import open_backend
    from toonvid.engine import find_engine
    from toonvid.ffmpeg.hardware import choose_decoding
    from toonvid.pipeline import ConvertOptions
    from toonvid.writing.codec import Codec
    from toonvid.writing.output_paths import plan_targets

    if encoding.codec is not None:
        Codec(encoding.codec)  # a missing codec is one error, not one for each source
    report = ConversionReport(QUIET if quiet else VERBOSE if verbose else NORMAL, as_json)
    engine = find_engine(style)
    engine.card.control_values(stylizing.controls)  # one error, not one for each source
    jobs = plan_targets(sources, output, engine.card.style)
    is_batch = len(jobs) > 1 or any(Path(source).is_dir() for source in sources)
    report.show_decoding(choose_decoding(decode))
    with open_backend(engine, backend, device, precision) as opened:
        report.show_backend(opened)
        run = _Run(
            backend=opened,
            options=ConvertOptions(
                decoding=decoding,
                stylizing=stylizing,
                encoding=encoding,
                restart=restart,
                command=_command_to_resume(),
            ),
            report=report,
            is_single=len(jobs) == 1,
            drops_video_options=_mixes_images_and_videos(jobs),
            skips_finished=is_batch and not overwrite and not restart,
            resumes=not overwrite and not restart,
        )
        if run.drops_video_options and (names := _video_options(encoding)):
            report.show_note(f"images are written without {', '.join(names)}, meant for videos")
        if cluster is not None and not dry_run:
            exit_codes = _convert_on_cluster(cluster, jobs, run)
        else:
            exit_codes = []
            for number, job in enumerate(jobs, start=1):
                report.show_position(number, len(jobs), job)
                exit_codes.append((_forecast_one if dry_run else _convert_one)(job, run))
    report.show_total(exit_codes)
    if any(exit_codes):
        raise typer.Exit(exit_codes[0] if len(exit_codes) == 1 else FAILED)


@dataclass(frozen=True)
class _Run:
    """What the conversions of one command have in common."""

    backend: Backend
    options: ConvertOptions
    report: ConversionReport
    is_single: bool
    """Whether there is one source only, whose error ends the command."""
    drops_video_options: bool
    """Whether images are written without the encoder's options, because there are videos too."""
    skips_finished: bool
    """Whether sources are skipped whose targets an earlier run has finished."""
    resumes: bool
    """Whether the command may be one that was killed."""

    def options_for(self, job: PlannedConversion) -> ConvertOptions:
        """Options for one of the conversions."""
        if not self.drops_video_options or not _is_image(job):
            return self.options
        without: dict[str, Any] = dict.fromkeys(_VIDEO_OPTIONS)
        return replace(self.options, encoding=replace(self.options.encoding, **without))


def _video_options(encoding: EncodeOptions) -> list[str]:
    """Return those of the encoder's options that were given, as they are typed."""
    given = [name for name in _VIDEO_OPTIONS if getattr(encoding, name) is not None]
    return [f"--{name.replace('_', '-')}" for name in given]


def _mixes_images_and_videos(jobs: list[PlannedConversion]) -> bool:
    return any(map(_is_image, jobs)) and not all(map(_is_image, jobs))


def _is_image(job: PlannedConversion) -> bool:
    """Whether the target is an image, still or animated."""
    from toonvid.writing.containers import IMAGE_CODECS

    return Path(job.target).suffix.lower() in {*IMAGE_CODECS, ".gif"}


def _forecast_one(job: PlannedConversion, run: _Run) -> int:
    """Forecast the conversion of one source and give its exit code."""
    from toonvid.bench.forecast import NoForecastError, forecast
    from toonvid.writing.output_paths import IMAGE_SUFFIXES

    try:
        expected = forecast(job.source, job.target, run.backend, run.options_for(job))
    except ToonvidError as error:
        if run.is_single:
            raise
        is_image = Path(job.source).suffix.lower() in IMAGE_SUFFIXES
        if is_image and isinstance(error, NoForecastError):
            run.report.show_note(str(error))  # one image more or less
            return 0
        run.report.show_failure(job, error)
        return FAILED
    run.report.show_forecast(job, expected)
    return 0


def _convert_one(job: PlannedConversion, run: _Run) -> int:
    """Convert one source and give its exit code; among several, an error does not stop the rest."""
    from toonvid.resume.segmented import convert as convert_file

    report, done = run.report, None
    try:
        if _is_finished_before(job, run):
            return 0
        options = run.options_for(job)
        with report.progress(job, options) as show:
            done = convert_file(job.source, job.target, run.backend, options, on_progress=show)
    except ToonvidError as error:
        if run.is_single:
            report.show_unfinished(job)
            raise
        report.show_failure(job, error)
        report.show_unfinished(job)
        return FAILED
    except BaseException:
        if done is None:
            report.show_unfinished(job)
        else:  # a signal that came when all was written
            report.show_result(done)
        raise
    report.show_result(done)
    return DAMAGED_SOURCE if done.damage or done.left_out else 0


def _is_finished_before(job: PlannedConversion, run: _Run) -> bool:
    """Whether an earlier run has finished a target, which is then reported."""
    from toonvid.resume.finished_target import has_leftovers, is_finished_target

    # A run that was killed after its target was in place has left its folder beside it.
    is_known = run.skips_finished or (run.resumes and has_leftovers(job.target))
    if not is_known or not is_finished_target(
        job.source, job.target, run.backend, run.options_for(job)
    ):
        return False
    run.report.show_finished_before(job, run.is_single)
    return True


def _convert_on_cluster(address: str, jobs: list[PlannedConversion], run: _Run) -> list[int]:
    """Convert on a cluster what can be made in segments, then the rest here."""
    from toonvid.commands.convert_on_cluster import convert_on_cluster
    from toonvid.resume.eligibility import why_in_one_go

    exit_codes = []
    in_segments, in_one_go = [], []
    for job in jobs:
        if why_in_one_go(job.source, job.target, run.options.encoding) is not None:
            in_one_go.append(job)
            continue
        try:
            is_finished = _is_finished_before(job, run)
        except ToonvidError as error:
            if run.is_single:
                raise
            run.report.show_failure(job, error)
            exit_codes.append(FAILED)
            continue
        if is_finished:
            exit_codes.append(0)
        else:
            in_segments.append(job)
    if in_segments:
        exit_codes += convert_on_cluster(
            address, in_segments, run.backend, run.options, run.report, run.is_single
        )
    if in_one_go:
        sources = "it is" if run.is_single else f"{count(len(in_one_go), 'source')} are"
        run.report.show_note(f"{sources} not made in segments, and converted by this machine alone")
    return exit_codes + [_convert_one(job, run) for job in in_one_go]


def _command_to_resume() -> str:
    """Quote the command as typed, without `--restart`, which would discard what is finished."""
    return shlex.join(["toonvid", *(word for word in sys.argv[1:] if word != "--restart")])
