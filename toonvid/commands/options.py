"""Options that several commands share, so that a name means the same everywhere.

Defaults come from the option dataclasses of the packages that do the work, and completion of style
names is here. Nothing here imports numpy, FFmpeg or a backend: `toonvid --help` must be quick.
"""

from __future__ import annotations

from typing import Annotated

import typer

from toonvid.choices import (
    BACKENDS,
    COMPARISONS,
    QUALITIES,
    REQUESTED_PRECISIONS,
    BackendName,
    Comparison,
    Quality,
    RequestedPrecision,
)
from toonvid.commands.help import BACKEND_PANEL, MESSAGES_PANEL, OUTPUT_PANEL, STYLE_PANEL
from toonvid.engine import list_engines


def listed(names: tuple[str, ...]) -> str:
    """Join names as a sentence does: `a, b or c`."""
    return f"{', '.join(names[:-1])} or {names[-1]}"


def complete_style(incomplete: str) -> list[tuple[str, str]]:
    """Complete the name of a style, for the shell.

    Args:
        incomplete: The beginning of the name, as typed so far.

    Returns:
        Name and title of each style that begins so.
    """
    cards = [engine.card for engine in list_engines()]
    return [(card.style, card.title) for card in cards if card.style.startswith(incomplete)]


Style = Annotated[
    str,
    typer.Option(
        metavar="STYLE",
        help="Name of a style, or path of an engine. `toonvid styles` lists the names.",
        autocompletion=complete_style,
        rich_help_panel=STYLE_PANEL,
    ),
]
Steady = Annotated[
    float,
    typer.Option(
        metavar="SHARE",
        min=0,
        max=1,
        help="Keep this share of the last cartoon where the source has not changed, against"
        " flicker; 0 is off.",
        rich_help_panel=STYLE_PANEL,
    ),
]
Strength = Annotated[
    float,
    typer.Option(
        metavar="SHARE",
        min=0,
        max=1,
        help="Share of the cartoon in the output; the rest is the source.",
        rich_help_panel=STYLE_PANEL,
    ),
]
KeepColor = Annotated[
    bool,
    typer.Option(
        "--keep-color",
        help="Keep the source's colors; take only light and dark from the cartoon.",
        rich_help_panel=STYLE_PANEL,
    ),
]
Ink = Annotated[
    float | None,
    typer.Option(
        metavar="N",
        help="Strength of the lines, in styles that have this control; 0 draws none."
        " `toonvid styles show STYLE` prints controls and ranges.",
        show_default="as the style",
        rich_help_panel=STYLE_PANEL,
    ),
]
Tones = Annotated[
    float | None,
    typer.Option(
        metavar="N",
        help="Number of tonal steps from black to white, in styles that have this control.",
        show_default="as the style",
        rich_help_panel=STYLE_PANEL,
    ),
]
Saturation = Annotated[
    float | None,
    typer.Option(
        metavar="N",
        help="Factor on how colorful the cartoon is, in styles that have this control; 0 is black"
        " and white.",
        show_default="as the style",
        rich_help_panel=STYLE_PANEL,
    ),
]
DrawingQuality = Annotated[
    Quality,
    typer.Option(
        "--quality",
        metavar="NAME",
        help=f"How large frames are drawn: {listed(QUALITIES)}. best draws small ones larger, for"
        " finer lines; fast draws large ones smaller. auto is best for images, and normal for"
        " videos; live, it is fast where the machine is too slow for normal.",
        rich_help_panel=STYLE_PANEL,
    ),
]
Compare = Annotated[
    Comparison,
    typer.Option(
        metavar="LAYOUT",
        help=f"Show the source beside the cartoon: {listed(COMPARISONS)}.",
        rich_help_panel=STYLE_PANEL,
    ),
]
BackendChoice = Annotated[
    BackendName,
    typer.Option(
        metavar="NAME",
        help=f"Library that runs the engine: {listed(BACKENDS)}.",
        rich_help_panel=BACKEND_PANEL,
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Device, as the backend names it: CPU, GPU.1, cuda.",
        rich_help_panel=BACKEND_PANEL,
    ),
]
Precision = Annotated[
    RequestedPrecision,
    typer.Option(
        metavar="NAME",
        help=f"Arithmetic: {listed(REQUESTED_PRECISIONS)}. auto is the fastest one here.",
        rich_help_panel=BACKEND_PANEL,
    ),
]
Overwrite = Annotated[
    bool,
    typer.Option(
        "--overwrite",
        "-y",
        help="Replace files that exist.",
        rich_help_panel=OUTPUT_PANEL,
    ),
]
AsJson = Annotated[
    bool,
    typer.Option(
        "--json",
        help="Print the result as JSON on standard output.",
        rich_help_panel=MESSAGES_PANEL,
    ),
]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="Print nothing but errors.", rich_help_panel=MESSAGES_PANEL),
]
Verbose = Annotated[
    bool,
    typer.Option(
        "--verbose",
        "-v",
        help="Print more, the license of the style too.",
        rich_help_panel=MESSAGES_PANEL,
    ),
]
