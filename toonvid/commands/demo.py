"""`toonvid demo`: see it work without a film at hand."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from toonvid.commands.options import Style
from toonvid.engine import DEFAULT_STYLE

_WIDTH, _HEIGHT, _RATE = 640, 360, 24


def demo(
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="TARGET", help="The film to write.")
    ] = Path("toonvid-demo.mp4"),
    style: Style = DEFAULT_STYLE,
    seconds: Annotated[float, typer.Option(min=0.1, max=600, help="Length of the film.")] = 6.0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", "-y", help="Replace a target that is there.")
    ] = False,
) -> None:
    """Draw a small film and turn it into a cartoon; a line wipes from one to the other."""
    import tempfile
    from fractions import Fraction

    from rich.console import Console

    from toonvid.backends import open_backend
    from toonvid.bench.demo_scene import write_scene
    from toonvid.engine import find_engine
    from toonvid.pipeline import convert
    from toonvid.stylizing.options import StylizeOptions
    from toonvid.writing.options import EncodeOptions

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    engine = find_engine(style)
    with (
        tempfile.TemporaryDirectory(prefix="toonvid-demo-") as folder,
        open_backend(engine) as backend,
    ):
        film = Path(folder) / "scene.mp4"
        console.print(f"Drawing {seconds:g} seconds of a film …", style="dim")
        write_scene(film, _WIDTH, _HEIGHT, Fraction(_RATE), seconds)
        console.print(f"Turning it into a cartoon in the style {engine.card.title} …", style="dim")
        done = convert(
            film,
            output,
            backend,
            stylizing=StylizeOptions(compare="wipe"),
            encoding=EncodeOptions(overwrite=overwrite),
        )
    console.print(
        f"Wrote {output}: {done.frames} frames in {done.seconds:.1f} s."
        " Left of the white line is the film, right of it the cartoon.",
        markup=False,
    )
