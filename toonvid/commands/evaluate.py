"""`toonvid evaluate`: figures that compare styles with photos and cartoons.

The figures are computed by `trainer.evaluation.evaluate`; they are laid out as tables here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from toonvid.choices import REQUESTED_PRECISIONS, RequestedPrecision
from toonvid.commands.help import BACKEND_PANEL, SOURCE_PANEL
from toonvid.commands.messages import error_console, say
from toonvid.commands.options import AsJson, BackendChoice, Device, complete_style, listed
from toonvid.commands.progress import evaluation_bars
from toonvid.commands.trainer_package import require_trainer

if TYPE_CHECKING:
    from trainer.evaluation.fid_kid import KernelDistance
    from trainer.evaluation.results import Evaluation

# Defaults of `trainer.evaluation.results.EvaluateOptions`. A test compares them: an import here
# would load `trainer` for every command.
_CROPS = 4000
_FRAMES = 120
_SEED = 1

_TO_CARTOONS, _SHARE, _TO_PHOTOS = "  to the cartoons", "  share of the photos'", "  to the photos"

_Row: TypeAlias = tuple[str, list[str], str, str]
"""Name of a figure, its value for each engine, for the photos and for the cartoons."""


def evaluate(
    engines: Annotated[
        list[str],
        typer.Argument(
            metavar="ENGINE",
            help="Names of styles, or paths of engines.",
            autocompletion=complete_style,
        ),
    ],
    photos: Annotated[
        Path,
        typer.Option(
            metavar="FOLDER",
            help="Photos that no engine was trained on.",
            rich_help_panel=SOURCE_PANEL,
        ),
    ],
    cartoons: Annotated[
        Path,
        typer.Option(
            metavar="FOLDER", help="Cartoons to compare with.", rich_help_panel=SOURCE_PANEL
        ),
    ],
    content_weights: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="Weights of ResNet-50, as safetensors.",
            rich_help_panel=SOURCE_PANEL,
        ),
    ],
    video: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE",
            help="Video to measure the warping error on. May be repeated.",
            rich_help_panel=SOURCE_PANEL,
        ),
    ] = None,
    crops: Annotated[
        int,
        typer.Option(metavar="N", min=2, help="Number of crops of photos and of cartoons."),
    ] = _CROPS,
    frames: Annotated[
        int, typer.Option(metavar="N", min=2, help="Most frames used of each video.")
    ] = _FRAMES,
    seed: Annotated[
        int, typer.Option(metavar="N", min=0, help="Random seed of the crops.")
    ] = _SEED,
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
    """Measure styles: distance to the cartoons, content kept of the photos, flicker on videos.

    Examples:
        toonvid evaluate ink pepper --photos family/ --cartoons art/ \\
            --content-weights resnet50.safetensors --video party.mp4
    """
    require_trainer()
    from toonvid.backends import open_backend
    from toonvid.engine import find_engine
    from trainer.evaluation.evaluate import evaluate as measure
    from trainer.evaluation.results import EvaluateOptions, to_json

    found = [find_engine(name) for name in engines]
    messages = error_console()
    with ExitStack() as stack:
        opened = [
            stack.enter_context(open_backend(engine, backend, device, precision))
            for engine in found
        ]
        evaluation = measure(
            opened,
            photos,
            cartoons,
            video or [],
            content_weights,
            EvaluateOptions(crops=crops, frames=frames, seed=seed),
            stack.enter_context(evaluation_bars(messages)),
        )
    _print_skipped(messages, evaluation)
    if as_json:
        typer.echo(json.dumps(to_json(evaluation)))
        return
    console = Console(highlight=False)
    console.print(_image_table(evaluation))
    if evaluation.videos:
        console.print(_video_table(evaluation))
    console.print(_legend(evaluation), style="dim", markup=False)


def _print_skipped(console: Console, evaluation: Evaluation) -> None:
    """Count and name the images that could not be read."""
    for kind, found in (("photos", evaluation.photos), ("cartoons", evaluation.cartoons)):
        if found.skipped:
            reasons = "; ".join(f"{path}: {reason}" for path, reason in found.skipped.items())
            say(console, f"Skipped {len(found.skipped)} of the {kind}: {reasons}", "yellow")


def _image_table(evaluation: Evaluation) -> Table:
    """Lay out the figures of the crops: a column for each engine, then photos and cartoons."""
    photos, cartoons = evaluation.photos, evaluation.cartoons
    table = Table(
        title=f"{photos.crops:,} crops of {photos.images:,} photos,"
        f" {cartoons.crops:,} of {cartoons.images:,} cartoons",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("")
    for heading in (*(engine.style for engine in evaluation.engines), "photos", "cartoons"):
        table.add_column(heading, justify="right")
    for rows in (_distance_rows, _content_rows, _surface_rows):
        for name, values, of_photos, of_cartoons in rows(evaluation):
            table.add_row(name, *values, of_photos, of_cartoons)
        table.add_section()
    return table


def _video_table(evaluation: Evaluation) -> Table:
    """Lay out the warping errors: a row for each video."""
    table = Table(
        title="Warping error (root mean square, levels) and its ratio to the source's",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("video")
    for heading in ("frames", "source", *(engine.style for engine in evaluation.engines)):
        table.add_column(heading, justify="right")
    for video in evaluation.videos:
        cells = [
            f"{error:.2f}" if ratio is None else f"{error:.2f} ({ratio:.2f}x)"
            for error, ratio in zip(video.cartoons, video.ratios, strict=True)
        ]
        table.add_row(video.video, str(video.frames), f"{video.source:.2f}", *cells)
    return table


def _legend(evaluation: Evaluation) -> str:
    """Say with what the distances may be compared."""
    line = (
        f"Distances compare only with others through {evaluation.feature_net}, over as many crops"
        " of the same images; ± is the standard error."
    )
    if evaluation.unrelated_similarity is None:
        return line
    unrelated = f"{evaluation.unrelated_similarity:.3f}"
    return f"{line} The content similarity of photos of different things is {unrelated}."


def _distance_rows(evaluation: Evaluation) -> Iterator[_Row]:
    engines, own, net = evaluation.engines, evaluation.photos_to_cartoons, evaluation.feature_net
    yield f"KID x 1000 ({net})", ["" for _ in engines], "", ""
    kernels = [_kernel(engine.to_cartoons.kernel) for engine in engines]
    yield _TO_CARTOONS, kernels, _kernel(own.kernel), ""
    yield _SHARE, [_percent(engine.kernel_share) for engine in engines], _percent(1), ""
    kernels = [_kernel(engine.to_photos.kernel) for engine in engines]
    yield _TO_PHOTOS, kernels, "", _kernel(own.kernel)
    yield f"Frechet distance ({net})", ["" for _ in engines], "", ""
    frechets = [f"{engine.to_cartoons.frechet:.1f}" for engine in engines]
    yield _TO_CARTOONS, frechets, f"{own.frechet:.1f}", ""
    yield _SHARE, [_percent(engine.frechet_share) for engine in engines], _percent(1), ""
    frechets = [f"{engine.to_photos.frechet:.1f}" for engine in engines]
    yield _TO_PHOTOS, frechets, "", f"{own.frechet:.1f}"


def _content_rows(evaluation: Evaluation) -> Iterator[_Row]:
    engines = evaluation.engines
    similarities = [f"{engine.content_similarity:.3f}" for engine in engines]
    yield f"content similarity ({evaluation.feature_net})", similarities, "", ""
    changes = [
        f"{engine.change:.1f}" + (" [red]equals its input[/]" if engine.equals_input else "")
        for engine in engines
    ]
    yield "change of the photo (levels)", changes, "", ""


def _surface_rows(evaluation: Evaluation) -> Iterator[_Row]:
    surfaces = [engine.surface for engine in evaluation.engines]
    surfaces += [evaluation.photos.surface, evaluation.cartoons.surface]
    *flat, photos, cartoons = [_percent(surface.flat_patch_share) for surface in surfaces]
    yield "flat-patch share", flat, photos, cartoons
    *sharp, photos, cartoons = [f"{surface.line_sharpness:.1f}" for surface in surfaces]
    yield "line sharpness (levels per pixel)", sharp, photos, cartoons


def _kernel(distance: KernelDistance) -> str:
    spread = "" if distance.spread is None else f" ± {1000 * distance.spread:.1f}"
    return f"{1000 * distance.value:.1f}{spread}"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.0f} %"
