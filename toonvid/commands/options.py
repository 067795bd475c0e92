"""Options that several commands have in common: the same word means the same everywhere."""

from __future__ import annotations

from typing import Annotated

import typer

from toonvid.choices import BackendName, Comparison, RequestedPrecision

Style = Annotated[str, typer.Option(help="Name of a style, or path of an engine.")]
BackendChoice = Annotated[BackendName, typer.Option(help="Library that runs the engine.")]
Device = Annotated[
    str | None, typer.Option(help="Device, as the backend names it: CPU, GPU.1, cuda.")
]
Precision = Annotated[
    RequestedPrecision, typer.Option(help="Arithmetic; auto takes the fastest at hand.")
]
Strength = Annotated[float, typer.Option(min=0, max=1, help="Share of cartoon in the picture.")]
KeepColor = Annotated[bool, typer.Option("--keep-color", help="Keep the source's own colours.")]
Compare = Annotated[Comparison, typer.Option(help="Show the source beside its cartoon.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")]
