"""`toonvid evaluate`: how good a style is, in figures."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from toonvid.choices import RequestedPrecision
from toonvid.commands.options import BackendChoice, Device
from toonvid.commands.require_trainer import require_trainer

if TYPE_CHECKING:
    from rich.console import Console

    from trainer.evaluation.evaluate import Progress
    from trainer.evaluation.results import Evaluation

# As in `trainer.evaluation.results.EvaluateOptions`, which --help must do without; a test compares them.
_CROPS = 4000
_FRAMES = 120
_SEED = 1


def evaluate(
    engines: Annotated[
        list[str],
        typer.Argument(metavar="ENGINE...", help="Names of styles, or paths of engines."),
    ],
    photos: Annotated[Path, typer.Option(help="Folder of photos that no engine was trained on.")],
    cartoons: Annotated[Path, typer.Option(help="Folder of cartoons to compare with.")],
    content_weights: Annotated[Path, typer.Option(help="ResNet-50 as safetensors.")],
    video: Annotated[
        list[str] | None, typer.Option(metavar="FILE", help="Film for the warping error; repeat.")
    ] = None,
    crops: Annotated[
        int, typer.Option(min=2, help="Crops of the photos, and as many of the cartoons.")
    ] = _CROPS,
    frames: Annotated[int, typer.Option(min=2, help="The most frames of each film.")] = _FRAMES,
    seed: Annotated[int, typer.Option(min=0, help="Decides the crops.")] = _SEED,
    backend: BackendChoice = "auto",
    device: Device = None,
    precision: Annotated[
        RequestedPrecision, typer.Option(help="Arithmetic of the engines.")
    ] = "f32",
    as_json: Annotated[bool, typer.Option("--json", help="Print a line of JSON.")] = False,
) -> None:
    """Judge engines: how near to the cartoons, how true to the photos, how steady on film."""
    require_trainer()
    from rich.console import Console

    from toonvid.backends import open_backend
    from toonvid.commands.figure_tables import film_table, legend, picture_table
    from toonvid.engine import find_engine
    from trainer.evaluation.evaluate import evaluate as judge
    from trainer.evaluation.results import EvaluateOptions

    options = EvaluateOptions(crops, frames, seed)
    found = [find_engine(name) for name in engines]
    err = Console(stderr=True, soft_wrap=True, highlight=False)
    with ExitStack() as stack:
        opened = [
            stack.enter_context(open_backend(engine, backend, device, precision))
            for engine in found
        ]
        show = stack.enter_context(_progress_bars(err))
        evaluation = judge(opened, photos, cartoons, video or [], content_weights, options, show)
    _tell_skipped(err, evaluation)
    if as_json:
        typer.echo(json.dumps(asdict(evaluation)))
        return
    console = Console(highlight=False)
    console.print(picture_table(evaluation))
    if evaluation.films:
        console.print(film_table(evaluation))
    console.print(legend(evaluation), style="dim", markup=False)


@contextmanager
def _progress_bars(console: Console) -> Iterator[Callable[[Progress], None]]:
    """A bar for each film, the cartoons and the photos; none where nobody would see it."""
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    with Bars(console=console, transient=True, disable=not console.is_terminal) as bars:
        tasks: dict[str, TaskID] = {}

        def show(progress: Progress) -> None:
            if progress.stage not in tasks:
                tasks[progress.stage] = bars.add_task(progress.stage)
            bars.update(tasks[progress.stage], completed=progress.done, total=progress.total)

        yield show


def _tell_skipped(console: Console, evaluation: Evaluation) -> None:
    """Name and count what could not be judged."""
    for kind, found in (("photos", evaluation.photos), ("cartoons", evaluation.cartoons)):
        if found.skipped:
            reasons = "; ".join(f"{path}: {reason}" for path, reason in found.skipped.items())
            console.print(
                f"Skipped {len(found.skipped)} of the {kind}: {reasons}",
                style="yellow",
                markup=False,
            )
