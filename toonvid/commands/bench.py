"""`toonvid bench`: how fast this machine is."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from toonvid.choices import AskedPrecision, BackendName
from toonvid.commands.arguments import parse_size
from toonvid.engine import DEFAULT_STYLE

_REAL_TIME = 24  # frames a second, of a film


def bench(
    style: Annotated[str, typer.Option(help="Name of a style, or path of an engine.")] = (
        DEFAULT_STYLE
    ),
    backend: Annotated[BackendName, typer.Option(help="Library that runs the engine.")] = "auto",
    device: Annotated[str | None, typer.Option(help="Device, as the backend names it.")] = None,
    precision: Annotated[AskedPrecision, typer.Option(help="Arithmetic.")] = "auto",
    size: Annotated[
        str, typer.Option(metavar="WxH|720p", help="Of the film; 720p is 1280x720.")
    ] = "720p",
    seconds: Annotated[float, typer.Option(min=0.1, help="Length of the film.")] = 3.0,
    rounds: Annotated[int, typer.Option(min=1, help="How often each stage is timed.")] = 3,
    live: Annotated[
        bool, typer.Option("--live", help="Measure the delay of a live picture instead.")
    ] = False,
    train: Annotated[
        bool, typer.Option("--train", help="Time a step of each phase of a training instead.")
    ] = False,
    preset: Annotated[str, typer.Option(help="With --train: which training.")] = "lite",
    content_weights: Annotated[
        Path | None,
        typer.Option(help="With --train: weights of the content network; without, no such loss."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a line of JSON.")] = False,
) -> None:
    """Time each stage by itself and the pipeline as a whole, on a film that toonvid draws."""
    if train:
        _bench_training(preset, content_weights, device, as_json)
        return
    if live:
        from toonvid.commands.bench_live import bench_live

        bench_live(style, backend, device, precision, [size], seconds, as_json)
        return
    from rich.console import Console
    from rich.table import Table

    from toonvid.backends import open_backend
    from toonvid.bench import measure
    from toonvid.engine import find_engine

    width, height = _even_size(size)
    with open_backend(find_engine(style), backend, device, precision) as opened:
        found = measure(opened, width, height, seconds, rounds)
        runs_on = f"{opened.name} on {opened.device}, {opened.precision}"
    if as_json:
        extra = {"style": style, "runs_on": runs_on, "slowest_stage": found.slowest_stage}
        typer.echo(json.dumps(asdict(found) | extra))
        return
    table = Table(title=f"{style}, {width}x{height}, {runs_on}")
    table.add_column("stage")
    table.add_column("frames a second", justify="right")
    table.add_column(f"of {_REAL_TIME} a second", justify="right")
    for stage in ("decode", "stylize", "encode", "pipeline"):
        speed: float = getattr(found, stage)
        table.add_row(stage, f"{speed:.1f}", f"{speed / _REAL_TIME:.2f}x")
    console = Console()
    console.print(table)
    console.print(
        f"{found.slowest_stage} is the slowest stage; the pipeline reaches"
        f" {found.pipeline / getattr(found, found.slowest_stage):.0%} of what it does alone.",
        highlight=False,
    )


def _bench_training(
    preset: str, content_weights: Path | None, device: str | None, as_json: bool
) -> None:
    from toonvid.commands.train import require_trainer

    require_trainer()
    from trainer.device import Machine, find_device_name
    from trainer.dry_run import measure_training
    from trainer.presets import find_preset

    machine = Machine(find_device_name(device))
    for trial in measure_training(find_preset(preset), content_weights, machine):
        content = "" if content_weights else ", no content network"
        speed = {"preset": preset, "pictures_per_second": trial.pictures_per_second}
        line = json.dumps(asdict(trial) | speed) if as_json else f"{preset}{content}, "
        typer.echo(line if as_json else line + trial.describe())


def _even_size(text: str) -> tuple[int, int]:
    size = parse_size(text)
    assert size is not None
    width, height = size if isinstance(size, tuple) else (size * 16 / 9, size)
    return max(2, round(width / 2) * 2), max(2, round(height / 2) * 2)
