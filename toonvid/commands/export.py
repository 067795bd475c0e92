"""`toonvid export`: make an engine of a training run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from toonvid.commands.require_trainer import require_trainer
from toonvid.engine import user_engines


def export(
    run: Annotated[Path, typer.Argument(help="The training run's folder.")],
    style: Annotated[str, typer.Option(help="Name of the style.")],
    target: Annotated[
        Path | None,
        typer.Option("--target", "-o", help="Folder for the engine; the user's own if not given."),
    ] = None,
    title: Annotated[
        str, typer.Option(help="Title on the card; made from the style if not given.")
    ] = "",
    description: Annotated[str, typer.Option(help="A sentence for the card.")] = "",
    licence: Annotated[str, typer.Option(help="Licence of the engine.")] = "not stated",
    credits: Annotated[
        Path | None,
        typer.Option(help="JSON list of the data sets: name, author, licence, url, pictures."),
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option(help="Folder of photos: makes an INT8 engine too, calibrated with them."),
    ] = None,
) -> None:
    """Export the generator of a run, compared number by number with the engine."""
    require_trainer()
    from rich.console import Console

    from toonvid.commands.build import build_where_possible
    from trainer.exporting.export import EngineText, read_credits
    from trainer.exporting.export import export as export_engine
    from trainer.training.run_folder import Run

    trained_on = read_credits(credits) if credits else ()
    text = EngineText(style, title, description, licence, trained_on)
    engine = export_engine(Run(run), text, target or user_engines())
    if calibration is not None:
        from trainer.exporting.quantize import add_int8

        engine = add_int8(engine, calibration)
    names = " and ".join(engine.card.sha256)
    console = Console()
    console.print(f"Wrote {names} to {engine.folder}", markup=False, soft_wrap=True)
    build_where_possible(engine, console)
