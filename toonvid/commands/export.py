"""`toonvid export`: a training run in, an engine with its card out.

The engine is written and compared with the generator by `trainer.exporting.export`. An engine of
the same name is replaced without a question only if it comes from the same run.
"""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from toonvid.commands.build import build_where_possible
from toonvid.commands.help import OUTPUT_PANEL
from toonvid.commands.messages import error_console, output_console, say
from toonvid.commands.options import Overwrite
from toonvid.commands.trainer_package import require_trainer, trainer_log
from toonvid.engine import copy_engine, refuse_existing, user_engines
from toonvid.errors import TrainingError

_CARD_PANEL = "Card"


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of the training run.")],
    style: Annotated[
        str, typer.Option(metavar="NAME", help="Name of the style.", rich_help_panel=OUTPUT_PANEL)
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FOLDER",
            help="Folder for the engine.",
            show_default="your own styles",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Photos to calibrate an INT8 engine with; without them, none is made.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None,
    title: Annotated[
        str,
        typer.Option(
            metavar="TEXT",
            help="Title of the style.",
            show_default="made from its name",
            rich_help_panel=_CARD_PANEL,
        ),
    ] = "",
    description: Annotated[
        str,
        typer.Option(
            metavar="TEXT",
            help="One sentence on the style.",
            show_default=False,
            rich_help_panel=_CARD_PANEL,
        ),
    ] = "",
    engine_license: Annotated[
        str,
        typer.Option(
            "--license",
            metavar="TEXT",
            help="License of the engine.",
            rich_help_panel=_CARD_PANEL,
        ),
    ] = "not stated",
    credits: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="JSON list of the training data: name, author, license, url, images.",
            rich_help_panel=_CARD_PANEL,
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Export the generator of a training run as an engine, and compare the two pixel by pixel.

    Examples:
        toonvid export runs/mine --style mine
        toonvid export runs/mine --style mine --calibration photos/ -o engines/
    """
    require_trainer()
    from trainer.exporting.export import EngineText, read_credits
    from trainer.exporting.export import export as export_engine
    from trainer.training.run_folder import Run

    trained = Run(run)
    trained_on = read_credits(credits) if credits else ()
    text = EngineText(style, title, description, engine_license, trained_on)
    folder = output or user_engines()
    if not overwrite and not trained.has_exported(folder / f"{style}.json"):
        refuse_existing(folder, style, "give another --style, or --overwrite to replace it")
    console = output_console()
    with tempfile.TemporaryDirectory() as scratch:
        # Elsewhere first: what fails must leave an older engine as it was.
        engine = export_engine(trained, text, Path(scratch))
        if calibration is not None:
            from trainer.exporting.quantize import add_int8

            with trainer_log(console, logging.WARNING):
                engine = add_int8(engine, calibration)
        try:
            # Before it is copied: an engine that is not noted is taken for another style.
            trained.note_export(engine)
        except TrainingError as error:
            problem = f"to replace this engine later will take --overwrite: {error}"
            say(error_console(), problem, "yellow")
        engine = copy_engine(engine, folder)
    say(console, f"Wrote {' and '.join(engine.card.sha256)} to {engine.folder}")
    build_where_possible(engine, console)
