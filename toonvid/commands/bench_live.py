"""`toonvid bench --live`: how late a live picture is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from fractions import Fraction

import typer

from toonvid.choices import BackendName, RequestedPrecision
from toonvid.commands.arguments import parse_size

_CAMERA_RATE = Fraction(30)  # pictures a second, as most webcams give


def bench_live(
    style: str,
    backend: BackendName,
    device: str | None,
    precision: RequestedPrecision,
    sizes: Sequence[str],
    seconds: float,
    as_json: bool,
) -> None:
    """Run `toonvid live` on a drawn camera in each size, and print rate and delay."""
    from rich.console import Console
    from rich.table import Table

    from toonvid.backends import open_backend
    from toonvid.bench.live_latency import measure_latency
    from toonvid.engine import find_engine

    boxes = [_even_box(size) for size in sizes]
    with open_backend(find_engine(style), backend, device, precision) as opened:
        runs_on = f"{opened.name} on {opened.device}, {opened.precision}"
        found = [measure_latency(opened, *box, _CAMERA_RATE, seconds) for box in boxes]
    if as_json:
        for latency in found:
            typer.echo(json.dumps({"style": style, "runs_on": runs_on} | asdict(latency)))
        return
    table = Table(title=f"{style} live, a camera of {_CAMERA_RATE} a second, {runs_on}")
    for heading in ("size", "shown a second", "delay, ms", "95 % within, ms", "dropped"):
        table.add_column(heading, justify="right")
    for latency in found:
        table.add_row(
            f"{latency.width}x{latency.height}",
            f"{latency.rate:.1f}",
            f"{latency.delay_ms:.0f}",
            f"{latency.delay_95_ms:.0f}",
            f"{latency.dropped}",
        )
    console = Console()
    console.print(table)
    console.print(
        "Delay by a clock that is drawn into the camera's picture and read from the cartoon. A real"
        " camera and a real screen add their own.",
        highlight=False,
    )


def _even_box(text: str) -> tuple[int, int]:
    """Width and height; a short side is that of a wide picture."""
    size = parse_size(text)
    assert size is not None
    width, height = size if isinstance(size, tuple) else (size * 16 / 9, size)
    return max(2, round(width / 2) * 2), max(2, round(height / 2) * 2)
