"""`toonvid bench`: measurements of this machine, as a table or as JSON.

The measuring is done in `toonvid.bench` and, with `--train`, in `trainer.training.dry_run`; the
tables are laid out in `toonvid.commands.bench_tables`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from toonvid.choices import BACKENDS, REQUESTED_PRECISIONS, BackendName, RequestedPrecision
from toonvid.commands.arguments import (
    Size,
    even_frame_size,
    format_size,
    parse_cores,
    parse_other,
    parse_size,
    parse_sizes,
)
from toonvid.commands.messages import count, print_json
from toonvid.commands.options import AsJson, BackendChoice, Device, Precision, Style
from toonvid.commands.trainer_package import require_trainer
from toonvid.engine import DEFAULT_STYLE

if TYPE_CHECKING:
    from toonvid.backends import Backend
    from toonvid.bench.measure import BenchOptions

_SIZES = ("360p", "540p", "720p", "1080p")
_ONE_SIZE = ("720p",)  # with --live, --cores and --compare-with
_ROUNDS = 3  # equals BenchOptions.rounds, which cannot be imported without numpy; a test compares
_LIVE_SECONDS = 4.0
_CAMERA_RATE = Fraction(30)  # frames per second, as most webcams give

_VIDEO_PANEL = "Video to measure with"
_INSTEAD_PANEL = "Other measurements"


def bench(
    source: Annotated[
        Path | None,
        typer.Argument(
            metavar="SOURCE",
            help="Video whose beginning is used; without it, toonvid draws a scene.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    size: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SIZE",
            help="Frame size: 640x360, or 720p for 1280x720. Several with commas between.",
            show_default=",".join(_SIZES),
            rich_help_panel=_VIDEO_PANEL,
        ),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            min=0.1,
            help="Length of the video.",
            show_default="by size, from 16 at 360p to 1 at 2160p",
            rich_help_panel=_VIDEO_PANEL,
        ),
    ] = None,
    rounds: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=1,
            help="How often each stage is timed; less often if that takes over a minute.",
            rich_help_panel=_VIDEO_PANEL,
        ),
    ] = _ROUNDS,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick",
            help="Measure frame rates only: no start-up time, memory or real-time load.",
            rich_help_panel=_VIDEO_PANEL,
        ),
    ] = False,
    style: Style = DEFAULT_STYLE,
    compare_with: Annotated[
        str | None,
        typer.Option(
            metavar="OTHER",
            help="Measure by turns with another style or engine, with settings such as"
            " 'ink,precision=f32,at-once=1'. Parts may be left out.",
            rich_help_panel=_INSTEAD_PANEL,
        ),
    ] = None,
    cores: Annotated[
        str | None,
        typer.Option(
            metavar="N,N",
            help="Measure the frame rate with each of these numbers of CPU cores.",
            rich_help_panel=_INSTEAD_PANEL,
        ),
    ] = None,
    live: Annotated[
        bool,
        typer.Option(
            "--live", help="Measure the delay of `toonvid live`.", rich_help_panel=_INSTEAD_PANEL
        ),
    ] = False,
    train: Annotated[
        bool,
        typer.Option(
            "--train",
            help="Time a training step of each phase, without any data.",
            rich_help_panel=_INSTEAD_PANEL,
        ),
    ] = False,
    preset: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="With --train: training preset.", rich_help_panel=_INSTEAD_PANEL
        ),
    ] = "lite",
    content_weights: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="With --train: weights of the content network. Without them, the content loss is"
            " left out.",
            rich_help_panel=_INSTEAD_PANEL,
        ),
    ] = None,
    backend: BackendChoice = "auto",
    device: Device = None,
    precision: Precision = "auto",
    as_json: AsJson = False,
) -> None:
    """Measure how fast this machine is: each stage alone, the whole pipeline, memory, start-up.

    The null pipeline decodes and encodes the same video without stylizing it. Efficiency is the CPU
    time of the stages measured alone, over what the cores could give while the pipeline ran; at
    100% they never waited.

    Examples:
        toonvid bench
        toonvid bench movie.mp4 --size 720p --compare-with pepper
        toonvid bench --live --size 720p
        toonvid bench --train --preset lite
    """
    if train:
        _bench_training(preset, content_weights, device, as_json)
        return
    asked = _Asked(style, backend, device, precision)
    if live:
        sizes = [parse_size(text) for text in ",".join(size or _ONE_SIZE).split(",")]
        _bench_live(asked, sizes, seconds or _LIVE_SECONDS, as_json)
        return
    from toonvid.bench.measure import BenchOptions

    arguments = asked.arguments()
    options = BenchOptions(
        source=source,
        seconds=seconds,
        rounds=rounds,
        real_time=not quick,
        convert_arguments=None if quick else arguments,
    )
    if cores is not None:
        counts, sizes = parse_cores(cores), parse_sizes(size, _ONE_SIZE)
        _bench_cores(counts, sizes, replace(options, convert_arguments=arguments), as_json)
        return
    other = None if compare_with is None else parse_other(compare_with)
    with asked.open() as opened:
        if other is None:
            _bench_sizes(opened, parse_sizes(size, _SIZES), options, as_json)
            return
        sizes = parse_sizes(size, _ONE_SIZE)
        with _open_other(other, asked) as second:
            names = (opened.engine.card.style, compare_with or "")
            _bench_side_by_side(opened, second, names=names, sizes=sizes, options=options,
                                as_json=as_json)  # fmt: skip


@dataclass(frozen=True)
class _Asked:
    """What the command line says about the engine and how it is run."""

    style: str
    backend: BackendName
    device: str | None
    precision: RequestedPrecision

    def open(self) -> Backend:
        """Open the engine."""
        from toonvid.backends import open_backend
        from toonvid.engine import find_engine

        return open_backend(find_engine(self.style), self.backend, self.device, self.precision)

    def arguments(self) -> tuple[str, ...]:
        """Options of a `toonvid convert` that runs the same, in a process of its own."""
        from toonvid.engine import find_engine

        card_path = find_engine(self.style).card_path
        arguments = ["--style", str(card_path), "--backend", self.backend]
        arguments += ["--precision", self.precision]
        return tuple(arguments + (["--device", self.device] if self.device else []))


def _bench_sizes(backend: Backend, sizes: list[Size], options: BenchOptions, as_json: bool) -> None:
    from toonvid.bench.image_time import measure_image_seconds
    from toonvid.bench.measure import measure_size
    from toonvid.bench.peak_arithmetic import measure_peak_multiply_adds
    from toonvid.bench.work_time import core_count, cpu_name, system_load
    from toonvid.commands.bench_tables import measuring, print_busy_machine, print_sizes

    load = system_load()
    with measuring() as show:
        show("a large matrix product")
        peak = measure_peak_multiply_adds(backend)
        image_seconds = None
        if options.convert_arguments is not None:
            show("a still image")
            image_seconds = measure_image_seconds(options.convert_arguments)
        results = []
        for size in sizes:
            on_step = partial(_show_step, show, format_size(size))
            results.append(measure_size(backend, size, options, peak, on_step))
    runs_on = _describe(backend)
    if not as_json:
        machine = f"{cpu_name()}, {count(core_count(), 'core')}"
        title = f"{backend.engine.card.style}, {runs_on}\n{machine}"
        print_sizes(title, results, image_seconds)
        print_busy_machine(load)
        return
    record = {
        "style": backend.engine.card.style,
        "runs_on": runs_on,
        "processor": cpu_name(),
        "cores": core_count(),
        "load_before": load,
        "still_picture_seconds": image_seconds and image_seconds[0],
        "still_picture_kept_seconds": image_seconds and image_seconds[1],
        "sizes": [result.to_json() for result in results],
    }
    print_json(record)


def _show_step(show: Callable[[str], None], size: str, step: str) -> None:
    show(f"{size}: {step}")


def _bench_side_by_side(
    first: Backend,
    second: Backend,
    *,
    names: tuple[str, str],
    sizes: list[Size],
    options: BenchOptions,
    as_json: bool,
) -> None:
    from toonvid.bench.side_by_side import run_side_by_side
    from toonvid.commands.bench_tables import measuring, print_side_by_side

    for size in sizes:
        with measuring() as show:
            show(f"{names[0]} and {names[1]} by turns, {format_size(size)}")
            found = run_side_by_side(first, second, size, options)
        if as_json:
            low, high = found.spread
            ratios = {"ratio": found.ratio, "lowest": low, "highest": high}
            record = {"size": format_size(size), "compared": names}
            print_json(record | asdict(found) | ratios)
        else:
            print_side_by_side(names, format_size(size), found)


def _bench_cores(
    counts: list[int], sizes: list[Size], options: BenchOptions, as_json: bool
) -> None:
    from toonvid.bench.core_scaling import measure_rates_by_cores
    from toonvid.commands.bench_tables import measuring, print_cores

    for size in sizes:
        with measuring() as show:
            show(f"{format_size(size)} with fewer cores")
            rates = measure_rates_by_cores(counts, size, options)
        if as_json:
            print_json({"size": format_size(size), "rates": rates})
        else:
            print_cores(format_size(size), rates)


def _bench_live(asked: _Asked, sizes: list[Size], seconds: float, as_json: bool) -> None:
    """Run `toonvid live` on a drawn camera in each size, and print frame rate and delay."""
    from toonvid.bench.live_latency import measure_latency
    from toonvid.commands.bench_tables import print_latencies

    with asked.open() as opened:
        runs_on = _describe(opened)
        results = [
            measure_latency(opened, *even_frame_size(size), _CAMERA_RATE, seconds) for size in sizes
        ]
    if not as_json:
        title = f"{asked.style} live, a camera of {_CAMERA_RATE} frames per second, {runs_on}"
        print_latencies(title, results)
        return
    for result in results:
        print_json({"style": asked.style, "runs_on": runs_on} | asdict(result))


def _bench_training(
    preset: str, content_weights: Path | None, device: str | None, as_json: bool
) -> None:
    require_trainer()
    from trainer.device import Machine, find_device_name
    from trainer.presets import find_preset
    from trainer.training.dry_run import measure_training

    machine = Machine(find_device_name(device))
    title = preset if content_weights else f"{preset}, no content network"
    for trial in measure_training(find_preset(preset), content_weights, machine):
        if as_json:
            speed = {"preset": preset, "pictures_per_second": trial.images_per_second}
            print_json(trial.json_values() | speed)
        else:
            typer.echo(f"{title}, {trial.describe()}")


@contextmanager
def _open_other(other: dict[str, str], asked: _Asked) -> Iterator[Backend]:
    """Open what is compared with.

    Args:
        other: Its settings, from `parse_other`.
        asked: Settings of the first, which hold where `other` names none.
    """
    from toonvid.bench.side_by_side import OneBatchAtATime

    # Maps from plain strings, for the type checker: parse_other has checked the names.
    names: dict[str, BackendName] = {name: name for name in BACKENDS}
    precisions: dict[str, RequestedPrecision] = {name: name for name in REQUESTED_PRECISIONS}
    second = replace(
        asked,
        style=other.get("style", asked.style),
        backend=names[other.get("backend", asked.backend)],
        precision=precisions[other.get("precision", asked.precision)],
    )
    with second.open() as opened:
        yield OneBatchAtATime(opened) if "at-once" in other else opened


def _describe(backend: Backend) -> str:
    return f"{backend.name} on {backend.device}, {backend.precision}"
