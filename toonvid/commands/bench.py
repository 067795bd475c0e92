"""`toonvid bench`: how fast this machine is."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from toonvid.choices import BACKENDS, REQUESTED_PRECISIONS, BackendName, RequestedPrecision
from toonvid.commands.bench_arguments import Size, describe, parse_cores, parse_other, parse_sizes
from toonvid.commands.options import BackendChoice, Device, Precision, Style
from toonvid.engine import DEFAULT_STYLE

if TYPE_CHECKING:
    from toonvid.backends import Backend
    from toonvid.bench.measure import BenchOptions

_SIZES = ("360p", "540p", "720p", "1080p")
_ONE_SIZE = ("720p",)  # where one is enough
_LIVE_SECONDS = 4.0


def bench(
    source: Annotated[
        Path | None,
        typer.Argument(
            help="A film whose beginning is measured on; without one, toonvid draws its own.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    style: Style = DEFAULT_STYLE,
    backend: BackendChoice = "auto",
    device: Device = None,
    precision: Precision = "auto",
    size: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WxH|720p",
            help="Of the film, 720p being 1280x720; several times, or with commas between."
            f"  [default: {','.join(_SIZES)}]",
            show_default=False,
        ),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(
            min=0.1,
            help="Length of the film.  [default: by its size, from 16 at 360p to 1 at 2160p]",
            show_default=False,
        ),
    ] = None,
    rounds: Annotated[
        int, typer.Option(min=1, help="How often each stage is timed; less when it is slow.")
    ] = 3,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="Rates alone: no cold start, no memory, no paced run."),
    ] = False,
    compare_with: Annotated[
        str | None,
        typer.Option(
            metavar="OTHER",
            help="By turns with another style or engine; with settings, as in"
            " 'ink,precision=f32,backend=openvino,at-once=1', where any part may be left out.",
        ),
    ] = None,
    cores: Annotated[
        str | None,
        typer.Option(metavar="1,2,…", help="How much more cores help: rates with so many."),
    ] = None,
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
    """Time each stage by itself, the pipeline as a whole, and the same film with no cartoon made.

    Efficiency is the processor time of the stages by themselves over what the cores could give
    while the pipeline ran; 100% means that they never waited.
    """
    if train:
        _bench_training(preset, content_weights, device, as_json)
        return
    if live:
        from toonvid.commands.bench_live import bench_live

        texts = [text for part in size or _ONE_SIZE for text in part.split(",")]
        bench_live(style, backend, device, precision, texts, seconds or _LIVE_SECONDS, as_json)
        return
    from toonvid.backends import open_backend
    from toonvid.bench.measure import BenchOptions
    from toonvid.engine import find_engine

    engine = find_engine(style)
    words = ["--style", str(engine.card_path), "--backend", backend, "--precision", precision]
    words += ["--device", device] if device else []
    options = BenchOptions(source, seconds, rounds, not quick, None if quick else tuple(words))
    if cores is not None:
        sizes = parse_sizes(size, _ONE_SIZE)
        _bench_cores(parse_cores(cores), sizes, options, tuple(words), as_json)
        return
    other = None if compare_with is None else parse_other(compare_with)
    with open_backend(engine, backend, device, precision) as opened:
        if other is not None:
            sizes = parse_sizes(size, _ONE_SIZE)
            with _open_other(other, style, backend, device, precision) as second:
                _bench_side_by_side(opened, second, compare_with or "", sizes, options, as_json)
        else:
            _bench_sizes(opened, parse_sizes(size, _SIZES), options, as_json)


def _bench_sizes(backend: Backend, sizes: list[Size], options: BenchOptions, as_json: bool) -> None:
    from toonvid.bench.image_time import measure_image_seconds
    from toonvid.bench.measure import measure_size
    from toonvid.bench.peak_arithmetic import measure_peak_multiply_adds
    from toonvid.bench.work_time import core_count, cpu_name, system_load
    from toonvid.commands.bench_tables import progress, show_sizes

    load = system_load()

    with progress() as show:
        show("a large matrix product")
        peak = measure_peak_multiply_adds(backend)
        still = None
        if options.apart is not None:
            show("a still picture")
            still = measure_image_seconds(options.apart)
        found = []
        for size in sizes:
            say = partial(_say_step, show, describe(size))
            found.append(measure_size(backend, size, options, peak, say))
    machine = f"{cpu_name()}, {core_count()} core{'s' * (core_count() > 1)}"
    runs_on = f"{backend.name} on {backend.device}, {backend.precision}"
    if not as_json:
        show_sizes(backend.engine.card.style, runs_on, machine, found, still, load)
        return
    whole = {
        "style": backend.engine.card.style,
        "runs_on": runs_on,
        "processor": cpu_name(),
        "cores": core_count(),
        "load_before": load,
        "still_picture_seconds": still,
        "sizes": [figures.as_json() for figures in found],
    }
    typer.echo(json.dumps(whole))


def _say_step(show: Callable[[str], None], size: str, step: str) -> None:
    show(f"{size}: {step}")


def _bench_side_by_side(
    first: Backend,
    second: Backend,
    other: str,
    sizes: list[Size],
    options: BenchOptions,
    as_json: bool,
) -> None:
    from toonvid.bench.side_by_side import run_side_by_side
    from toonvid.commands.bench_tables import progress, show_side_by_side

    names = (first.engine.card.style, other)
    for size in sizes:
        with progress() as show:
            show(f"{names[0]} and {names[1]} by turns, {describe(size)}")
            found = run_side_by_side(first, second, size, options)
        if as_json:
            low, high = found.spread
            extra = {"ratio": found.ratio, "lowest": low, "highest": high}
            said = {"size": describe(size), "compared": names}
            typer.echo(json.dumps(said | asdict(found) | extra))
        else:
            show_side_by_side(names, describe(size), found)


def _bench_cores(
    counts: list[int],
    sizes: list[Size],
    options: BenchOptions,
    words: tuple[str, ...],
    as_json: bool,
) -> None:
    from dataclasses import replace

    from toonvid.bench.core_scaling import measure_rates_by_cores
    from toonvid.commands.bench_tables import progress, show_cores

    for size in sizes:
        with progress() as show:
            show(f"{describe(size)} with fewer cores")
            rates = measure_rates_by_cores(counts, size, replace(options, apart=words))
        if as_json:
            typer.echo(json.dumps({"size": describe(size), "rates": rates}))
        else:
            show_cores(describe(size), rates)


def _bench_training(
    preset: str, content_weights: Path | None, device: str | None, as_json: bool
) -> None:
    from toonvid.commands.require_trainer import require_trainer

    require_trainer()
    from trainer.device import Machine, find_device_name
    from trainer.presets import find_preset
    from trainer.training.dry_run import measure_training

    machine = Machine(find_device_name(device))
    for trial in measure_training(find_preset(preset), content_weights, machine):
        content = "" if content_weights else ", no content network"
        speed = {"preset": preset, "pictures_per_second": trial.pictures_per_second}
        line = json.dumps(asdict(trial) | speed) if as_json else f"{preset}{content}, "
        typer.echo(line if as_json else line + trial.describe())


@contextmanager
def _open_other(
    other: dict[str, str],
    style: str,
    backend: BackendName,
    device: str | None,
    precision: RequestedPrecision,
) -> Iterator[Backend]:
    """Open what is compared with; what it leaves out is as in the first."""
    from toonvid.backends import open_backend
    from toonvid.bench.side_by_side import OneBatchAtATime
    from toonvid.engine import find_engine

    names: dict[str, BackendName] = {name: name for name in BACKENDS}
    precisions: dict[str, RequestedPrecision] = {name: name for name in REQUESTED_PRECISIONS}
    opened = open_backend(
        find_engine(other.get("style", style)),
        names[other["backend"]] if "backend" in other else backend,
        device,
        precisions[other["precision"]] if "precision" in other else precision,
    )
    with opened:
        yield OneBatchAtATime(opened) if "at-once" in other else opened
