"""`toonvid demo`: a short drawn video and its cartoon, for machines without a video at hand."""

from __future__ import annotations

import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Annotated

import typer

from toonvid.commands.help import OUTPUT_PANEL
from toonvid.commands.messages import count, error_console, say
from toonvid.commands.options import Overwrite, Style
from toonvid.commands.progress import task_bar
from toonvid.engine import DEFAULT_STYLE
from toonvid.stylizing.options import StylizeOptions
from toonvid.writing.options import EncodeOptions

_TARGET = Path("toonvid-demo.mp4")
_WIDTH, _HEIGHT, _RATE = 640, 360, Fraction(24)  # pixels; frames per second


def demo(
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="TARGET",
            help="The video to write.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = _TARGET,
    overwrite: Overwrite = False,
    style: Style = DEFAULT_STYLE,
    seconds: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.1, max=600, help="Length of the video.")
    ] = 6.0,
) -> None:
    """Draw a short video, and write it with its cartoon: a line wipes from one to the other.

    Examples:
        toonvid demo
        toonvid demo --style pepper -o demo.mp4
    """
    from toonvid.backends import open_backend
    from toonvid.bench.demo_scene import write_scene
    from toonvid.engine import find_engine
    from toonvid.pipeline import ConvertOptions, convert
    from toonvid.writing.provenance import has_provenance_tag

    console = error_console()
    # A second demo may replace the first, and nothing else.
    is_own = output == _TARGET and output.is_file() and has_provenance_tag(output)
    engine = find_engine(style)
    with (
        tempfile.TemporaryDirectory(prefix="toonvid-demo-") as folder,
        open_backend(engine) as backend,
    ):
        scene = Path(folder) / "scene.mp4"
        say(console, f"Drawing {seconds:g} seconds of video …", "dim")
        with task_bar(console, "Drawing", seconds) as show:
            write_scene(scene, _WIDTH, _HEIGHT, _RATE, seconds, show)
        say(console, f"Turning it into a cartoon in the style {engine.card.title} …", "dim")
        with task_bar(console, "Converting", seconds) as show:
            done = convert(
                scene,
                output,
                backend,
                ConvertOptions(
                    stylizing=StylizeOptions(compare="wipe"),
                    encoding=EncodeOptions(overwrite=overwrite or is_own),
                ),
                on_progress=lambda progress: show(progress.video_seconds),
            )
    say(
        console,
        f"Wrote {output}: {count(done.frames, 'frame')} in {done.seconds:.1f} s."
        " The source is left of the white line, the cartoon right of it.",
    )
