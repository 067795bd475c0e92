"""`toonvid prepare`: videos and images in, a folder of training images out.

The work is done by `trainer.prepare`, which needs no PyTorch.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from toonvid.commands.help import OUTPUT_PANEL
from toonvid.commands.messages import count, error_console, print_json, say
from toonvid.commands.options import AsJson, Quiet
from toonvid.commands.progress import preparation_bar
from toonvid.commands.trainer_package import require_own_trainer

if TYPE_CHECKING:
    from trainer.prepare.report import PrepareReport

_PROBLEMS_SHOWN = 8
_COLUMNS = (  # in the order of the table; names as the report has them
    "sources",
    "seen",
    "kept",
    "small",
    "blank",
    "credits",
    "blurred",
    "duplicate",
    "too soon",
    "blank crops",
    "blurred crops",
    "written",
)

_FRAMES_PANEL = "Frames"
_CROPS_PANEL = "Crops"


def prepare(
    sources: Annotated[
        list[str], typer.Argument(metavar="SOURCE", help="Videos, images and folders.")
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="FOLDER",
            help="Folder for the images. An existing one is added to.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ],
    size: Annotated[
        int,
        typer.Option(
            metavar="PIXELS", min=32, help="Side of the crops.", rich_help_panel=_CROPS_PANEL
        ),
    ] = 288,
    short_sides: Annotated[
        str,
        typer.Option(
            "--short-sides",
            metavar="PIXELS,...",
            help="Short sides that frames are scaled down to before they are cropped.",
            rich_help_panel=_CROPS_PANEL,
        ),
    ] = "480,720",
    crops: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=1,
            help="Number of crops per frame and short side.",
            rich_help_panel=_CROPS_PANEL,
        ),
    ] = 2,
    every: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            min=0,
            help="Least time between two frames of a video.",
            rich_help_panel=_FRAMES_PANEL,
        ),
    ] = 1.0,
    all_frames: Annotated[
        bool,
        typer.Option(
            "--all-frames",
            help="Consider all frames of a video, not only its key frames.",
            rich_help_panel=_FRAMES_PANEL,
        ),
    ] = False,
    max_images: Annotated[
        int | None,
        typer.Option(
            "--max",
            metavar="N",
            min=1,
            help="Most images per video, spread over its whole length.",
            rich_help_panel=_FRAMES_PANEL,
        ),
    ] = None,
    max_blur: Annotated[
        float,
        typer.Option(
            metavar="BLUR",
            min=0,
            max=1,
            help="Leave out frames and crops with more blur. Sharp images have 0.15 to 0.45, images"
            " blurred by a Gaussian of 2 pixels 0.5 to 0.75; 1 keeps all.",
            rich_help_panel=_FRAMES_PANEL,
        ),
    ] = 0.6,
    min_difference: Annotated[
        int,
        typer.Option(
            metavar="BITS",
            min=0,
            max=64,
            help="Leave out frames that differ less from another; 0 keeps all.",
            rich_help_panel=_FRAMES_PANEL,
        ),
    ] = 8,
    keep_credits: Annotated[
        bool,
        typer.Option(
            "--keep-credits",
            help="Keep frames with opening or closing credits.",
            rich_help_panel=_FRAMES_PANEL,
        ),
    ] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Cut videos and images into training images. The same command again adds what is new.

    Examples:
        toonvid prepare movie.mkv -o cartoons/
        toonvid prepare photos/ -o prepared/ --size 256 --crops 1
    """
    require_own_trainer()
    from trainer.prepare.frame_extraction import PrepareOptions
    from trainer.prepare.prepare import prepare as prepare_folder

    options = PrepareOptions(
        size=size,
        short_sides=_parse_short_sides(short_sides, size),
        crops=crops,
        every_seconds=every,
        all_frames=all_frames,
        max_pictures=max_images,
        max_blur=max_blur,
        min_difference=min_difference,
        keep_credits=keep_credits,
    )
    console = error_console(quiet)
    with preparation_bar(console) as show:
        report = prepare_folder(sources, output, options, show)
    if as_json:
        print_json(asdict(report))
    _print_report(console, report)


def _parse_short_sides(text: str, size: int) -> tuple[int, ...]:
    try:
        sides = tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise typer.BadParameter(
            f"{text!r} is not a list of pixels; write 480,720", param_hint="--short-sides"
        ) from error
    if min(sides) < size:
        raise typer.BadParameter(
            f"{min(sides)} is less than the crops' {size}", param_hint="--short-sides"
        )
    return sides


def _print_report(console: Console, report: PrepareReport) -> None:
    """Print how many frames and crops were kept or left out, and which sources had problems."""
    table = Table(title="Frames and crops of all runs")
    used = [name for name in _COLUMNS if any(name in counts for counts in report.sources.values())]
    table.add_column("source", overflow="fold")
    for name in used:
        table.add_column(name, justify="right")
    for root, counts in report.sources.items():
        table.add_row(root, *(f"{counts.get(name, 0):,}" for name in used))
    if len(report.sources) > 1:
        totals = [sum(c.get(name, 0) for c in report.sources.values()) for name in used]
        table.add_section()
        table.add_row("all", *(f"{total:,}" for total in totals))
    console.print(table)
    problems = report.problem_lines()
    for problem in problems[:_PROBLEMS_SHOWN]:
        say(console, problem, "yellow")
    if len(problems) > _PROBLEMS_SHOWN:
        more = len(problems) - _PROBLEMS_SHOWN
        say(console, f"and {more} more, all of them in {report.target}/report.json", "yellow")
    sheet = f" Some of them: {report.sheet}" if report.sheet else ""
    say(
        console,
        f"Added {count(report.new_pictures, 'image')} of {count(report.new_sources, 'new source')}"
        f" to {report.target}: {report.pictures:,} in all.{sheet}",
    )
