"""`toonvid evaluate`: figures that compare styles with photos and cartoons.

The figures are computed by `trainer.evaluation.evaluate`, and laid out as tables in
`toonvid.commands.evaluate_tables`.
"""

from __future__ import annotations

import logging
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from toonvid.choices import REQUESTED_PRECISIONS, RequestedPrecision
from toonvid.commands.evaluate_tables import print_evaluation, print_paint, print_skipped
from toonvid.commands.help import BACKEND_PANEL, SOURCE_PANEL
from toonvid.commands.messages import error_console, print_json, table_console
from toonvid.commands.options import (
    AsJson,
    BackendChoice,
    Device,
    Steady,
    complete_style,
    listed,
)
from toonvid.commands.progress import evaluation_bars
from toonvid.commands.trainer_package import require_trainer, trainer_log
from toonvid.stylizing.options import StylizeOptions

# Defaults of `trainer.evaluation.results.EvaluateOptions`. A test compares them: an import here
# would load `trainer` for every command.
_CROPS = 4000
_FRAMES = 120
_SEED = 1
_WHOLE_PHOTOS = 400

_ART_PANEL = "The cartoon classifier"


def evaluate(
    photos: Annotated[
        Path,
        typer.Option(
            metavar="FOLDER",
            help="Photos that no engine was trained on.",
            rich_help_panel=SOURCE_PANEL,
        ),
    ],
    engines: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ENGINE]...",
            help="Names of styles, or paths of engines.",
            autocompletion=complete_style,
        ),
    ] = None,
    pictures: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=PATH",
            help="Pictures that another program made of the photos: a folder, or a path with * in"
            " place of a photo's name, or of its path in --photos. Photos without such a picture"
            " are left out. May be repeated.",
            rich_help_panel=SOURCE_PANEL,
        ),
    ] = None,
    cartoons: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Cartoons to compare with.", rich_help_panel=SOURCE_PANEL
        ),
    ] = None,
    content_weights: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Weights of ResNet-50: those that `toonvid train` downloads, as .pth, or"
            " safetensors.",
            show_default="those that `toonvid train` has downloaded",
            rich_help_panel=SOURCE_PANEL,
        ),
    ] = None,
    video: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE",
            help="Video to measure the warping error on. May be repeated.",
            rich_help_panel=SOURCE_PANEL,
        ),
    ] = None,
    art: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FOLDER",
            help="Art that the classifier learns from, one folder for each hand. May be repeated.",
            rich_help_panel=_ART_PANEL,
        ),
    ] = None,
    art_photos: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FOLDER",
            help="Photos that it tells them from, others than --photos. May be repeated.",
            rich_help_panel=_ART_PANEL,
        ),
    ] = None,
    held_out: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN",
            help="Art that it is tested with instead, such as pepper/e08*. May be repeated.",
            show_default="the last fifth of each folder",
            rich_help_panel=_ART_PANEL,
        ),
    ] = None,
    crops: Annotated[
        int,
        typer.Option(metavar="N", min=2, help="Number of crops of photos and of cartoons."),
    ] = _CROPS,
    whole_photos: Annotated[
        int, typer.Option(metavar="N", min=2, help="Most photos that are stylized whole.")
    ] = _WHOLE_PHOTOS,
    frames: Annotated[
        int, typer.Option(metavar="N", min=2, help="Most frames used of each video.")
    ] = _FRAMES,
    seed: Annotated[
        int, typer.Option(metavar="N", min=0, help="Random seed of the crops.")
    ] = _SEED,
    paint: Annotated[
        bool,
        typer.Option(
            "--paint",
            help="Take --photos for art: draw line art from it, color it with styles that"
            " `toonvid train --preset paint` made, and compare how colorful they are. Nothing else"
            " is measured.",
        ),
    ] = False,
    steady: Steady = StylizeOptions.steady,
    backend: BackendChoice = "auto",
    device: Device = None,
    precision: Annotated[
        RequestedPrecision,
        typer.Option(
            metavar="NAME",
            help=f"Arithmetic of the engines: {listed(REQUESTED_PRECISIONS)}.",
            rich_help_panel=BACKEND_PANEL,
        ),
    ] = "f32",
    as_json: AsJson = False,
) -> None:
    """Measure styles: do they look like art, what do they keep of the photos, do videos flicker.

    Examples:
        toonvid evaluate ink --photos family/ --video party.mp4

        toonvid evaluate ink pepper --photos family/ --cartoons art/ \\
            --content-weights resnet50-0676ba61.pth

        toonvid evaluate ink --photos family/ --pictures other=made/*_other.png
    """
    require_trainer()
    from toonvid.backends import open_backend
    from toonvid.engine import find_engine
    from trainer.evaluation.art import find_art
    from trainer.evaluation.evaluate import EvaluationSources
    from trainer.evaluation.evaluate import evaluate as measure
    from trainer.evaluation.feature_network import find_weights
    from trainer.evaluation.paint import measure_paint
    from trainer.evaluation.programs import EngineProgram, Program, find_pictures
    from trainer.evaluation.results import EvaluateOptions, to_json

    if not engines and not pictures:
        raise typer.BadParameter("name an ENGINE, or give --pictures")
    if bool(art) != bool(art_photos) or (held_out and not art):
        raise typer.BadParameter("--art and --art-photos go together, and --held-out with them")
    if paint and (not engines or pictures or cartoons or video or art):
        raise typer.BadParameter("--paint takes an ENGINE and --photos, and measures nothing else")
    if video and not engines:
        raise typer.BadParameter("--video needs an ENGINE: --pictures have no videos to measure")
    found = [find_engine(name) for name in engines or []]
    made = [find_pictures(text, photos) for text in pictures or []]
    sources = EvaluationSources(
        photos=photos,
        cartoons=cartoons,
        videos=video or [],
        content_weights=content_weights or find_weights(),
        art=find_art(art, art_photos, held_out or [], seed) if art and art_photos else None,
    )
    options = EvaluateOptions(
        crops=crops, frames=frames, seed=seed, whole_photos=whole_photos, steady=steady
    )
    messages = error_console()
    with ExitStack() as stack:
        opened = [
            stack.enter_context(open_backend(engine, backend, device, precision))
            for engine in found
        ]
        if paint:
            drawn = [EngineProgram(each) for each in opened]
            with trainer_log(messages, logging.WARNING):
                figures = measure_paint(drawn, photos, whole_photos)
            print_paint(figures, as_json)
            return
        programs: list[Program] = [*(EngineProgram(each) for each in opened), *made]
        progress = stack.enter_context(evaluation_bars(messages))
        evaluation = measure(programs, sources, options, progress)
    print_skipped(messages, evaluation)
    if as_json:
        print_json(to_json(evaluation))
    else:
        print_evaluation(table_console(), evaluation)
