"""`toonvid prepare`: films and pictures become training folders."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table

from toonvid.commands.options import Quiet
from toonvid.commands.require_trainer import require_own_trainer

if TYPE_CHECKING:
    from trainer.prepare.prepare import Progress, Report

_NAME_WIDTH = 32
_PROBLEMS_SHOWN = 8
_COLUMNS = (  # as the report counts them
    *("sources", "seen", "kept", "small", "blank", "credits", "blurred", "duplicate", "too soon"),
    *("blank crops", "blurred crops", "written"),
)


def prepare(
    sources: Annotated[
        list[str], typer.Argument(metavar="SOURCE...", help="Films, pictures and folders.")
    ],
    target: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="DIR", help="Folder for the pictures; the same one goes on."
        ),
    ],
    size: Annotated[int, typer.Option(min=32, help="Side of the crops in pixels.")] = 288,
    short_sides: Annotated[
        str,
        typer.Option(
            "--short-sides",
            metavar="PIXELS,...",
            help="Short sides that frames are reduced to before they are cut.",
        ),
    ] = "480,720",
    crops: Annotated[int, typer.Option(min=1, help="Crops of a frame at each scale.")] = 2,
    every: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="Least time between two frames.")
    ] = 1.0,
    all_frames: Annotated[
        bool,
        typer.Option("--all-frames", help="Look at all frames of films, not at key frames alone."),
    ] = False,
    max_pictures: Annotated[
        int | None,
        typer.Option("--max", min=1, help="Most pictures of one film, spread over all of it."),
    ] = None,
    max_blur: Annotated[
        float, typer.Option(min=0, max=1, help="Leave out what is more blurred; 1 keeps all.")
    ] = 0.6,
    min_difference: Annotated[
        int,
        typer.Option(
            min=0, max=64, help="Leave out what differs less from another frame; 0 keeps all."
        ),
    ] = 8,
    keep_credits: Annotated[bool, typer.Option("--keep-credits", help="Keep credits.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    quiet: Quiet = False,
) -> None:
    """Cut films and pictures into pictures to train on. The same command again adds what is new."""
    require_own_trainer()
    from trainer.prepare.frame_extraction import PrepareOptions
    from trainer.prepare.prepare import prepare as prepare_folder

    options = PrepareOptions(
        size,
        _parse_sides(short_sides, size),
        crops,
        every,
        all_frames,
        max_pictures,
        max_blur,
        min_difference,
        keep_credits,
    )
    console = Console(stderr=True, soft_wrap=True, highlight=False, quiet=quiet)
    with _progress_bar(console) as show:
        report = prepare_folder(sources, target, options, show)
    if as_json:
        typer.echo(json.dumps(asdict(report)))
    _show_report(console, report)


def _parse_sides(text: str, size: int) -> tuple[int, ...]:
    try:
        sides = tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise typer.BadParameter(
            f"{text!r} is no list of pixels; write 480,720", param_hint="--short-sides"
        ) from error
    if min(sides) < size:
        raise typer.BadParameter(
            f"{min(sides)} is less than the crops' {size}", param_hint="--short-sides"
        )
    return sides


@contextmanager
def _progress_bar(console: Console) -> Iterator[Callable[[Progress], None] | None]:
    """A bar over all sources, where somebody sees it; and what the trainer warns of."""
    handler = RichHandler(console=console, show_time=False, show_path=False)
    logger = logging.getLogger("trainer")
    logger.addHandler(handler)
    try:
        if not console.is_terminal:
            yield None
            return
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[figures]}", markup=False),
            TimeRemainingColumn(),
        )
        with Bar(*columns, console=console, transient=True, disable=console.quiet) as bar:
            task = bar.add_task("", total=None, figures="")

            def show(progress: Progress) -> None:
                name = Path(progress.source).name
                if len(name) > _NAME_WIDTH:
                    name = name[: _NAME_WIDTH - 1] + "…"
                figures = f"{progress.done}/{progress.total} sources, {progress.pictures} pictures"
                bar.update(
                    task,
                    description=name,
                    completed=progress.done + progress.share,
                    total=progress.total,
                    figures=figures,
                )

            yield show
    finally:
        logger.removeHandler(handler)


def _show_report(console: Console, report: Report) -> None:
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
    problems = list(report.problems.values())
    for problem in problems[:_PROBLEMS_SHOWN]:
        console.print(f"skipped: {problem}", style="yellow", markup=False)
    if len(problems) > _PROBLEMS_SHOWN:
        more = len(problems) - _PROBLEMS_SHOWN
        console.print(f"and {more} more, all named in {report.target}/report.json", style="yellow")
    console.print(
        f"Added {report.new_pictures:,} pictures of {report.new_sources:,} new sources to"
        f" {report.target}: {report.pictures:,} in all. Look at some of them: {report.sheet}",
        markup=False,
    )
