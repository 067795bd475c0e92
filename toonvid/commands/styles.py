"""`toonvid styles`: list, show, verify and try engines; `add` is in `toonvid.commands.styles_add`.

Engines are found and read by `toonvid.engine`.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from toonvid.commands.arguments import parse_time
from toonvid.commands.help import OUTPUT_PANEL, PlainCommand, PlainGroup, split_docstring
from toonvid.commands.messages import error_console, output_console, printable, say, table_console
from toonvid.commands.options import Overwrite, complete_style
from toonvid.commands.styles_add import add
from toonvid.engine import (
    Engine,
    engine_folders,
    find_engine,
    find_engines,
    list_engines,
    read_engine,
)
from toonvid.errors import BackendError, EngineError, SourceError

if TYPE_CHECKING:
    from toonvid.video import Frame

_SHEET_TILE_WIDTH = 960  # pixels, the largest width of one image of a contact sheet


def list_styles(context: typer.Context) -> None:
    """List, show, verify, try and add styles. Without a command, list them.

    Examples:
        toonvid styles
        toonvid styles show ink
        toonvid styles try movie.mp4 --at 1:00
        toonvid styles add mine.onnx
    """
    if context.invoked_subcommand is not None:
        return
    table = Table()
    table.add_column("style")
    table.add_column("title")
    table.add_column("size", justify="right")
    table.add_column("multiply-adds per pixel", justify="right")
    table.add_column("license")
    table.add_column("precisions")
    engines, problems = find_engines()
    for engine in engines:
        card = engine.card
        try:
            size_bytes = sum((engine.folder / name).stat().st_size for name in card.sha256)
        except OSError as error:
            problems.append(f"{card.style}: cannot read {error.filename}: {error.strerror}")
            continue
        table.add_row(
            card.style,
            card.title,
            f"{size_bytes / 1e6:.1f} MB",
            f"{card.multiply_adds_per_pixel:,}",
            card.license,
            _precisions(engine),
        )
    table_console().print(table)
    for problem in problems:
        say(error_console(), problem, "yellow")


def show(
    style: Annotated[
        str,
        typer.Argument(
            metavar="STYLE",
            help="Name of a style, or path of an engine.",
            autocompletion=complete_style,
        ),
    ],
) -> None:
    """Print the card of a style: description, controls, license, training data, figures, files.

    Examples:
        toonvid styles show ink
    """
    engine = find_engine(style)
    card = engine.card
    lines = [
        f" ({card.style}, step {card.training_step:,})",
        card.description,
        "",
        f"parameters: {card.parameters:,}",
        f"multiply-adds per pixel: {card.multiply_adds_per_pixel:,}",
        f"license: {card.license}",
        *(
            f"control: --{name} from {control.range_text}, default {control.default:g}"
            for name, control in card.controls.items()
        ),
        f"recipe: {card.recipe}",
        *(f"trained on: {s.name}, {s.author}, {s.license}" for s in card.trained_on),
        *(f"{name}: {value:g}" for name, value in card.metrics.items()),
        *(f"{name}: sha256 {digest}" for name, digest in card.sha256.items()),
        f"folder: {engine.folder}",
    ]
    output_console().print(
        Text(printable(card.title), "bold").append(printable("\n".join(lines)), "not bold")
    )


def verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="STYLE",
            help="Styles; all of them when none is named.",
            autocompletion=complete_style,
        ),
    ] = None,
) -> None:
    """Check that the files of styles are the ones that their cards describe.

    Examples:
        toonvid styles verify
    """
    console = output_console()
    has_failed = False
    for card_path in _card_paths(names or []):
        try:
            engine = read_engine(card_path)
            engine.check_files()
            say(console, f"{engine.card.style}: {_precisions(engine)} good")
        except EngineError as error:
            has_failed = True
            say(console, f"{card_path.stem}: {error}", "red")
    if has_failed:
        raise typer.Exit(1)


def try_styles(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="A video or an image.")],
    at: Annotated[
        str, typer.Option(metavar="TIME", help="Time of the frame: 90, 1:30 or 0:01:30.5.")
    ] = "0",
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="TARGET",
            help="The contact sheet to write.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = Path("styles.png"),
    overwrite: Overwrite = False,
) -> None:
    """Write one frame of a video in every style, with the names of the styles, on one contact
    sheet.

    Examples:
        toonvid styles try movie.mp4 --at 1:00
    """
    from toonvid.backends import open_backend
    from toonvid.stylizing.options import StylizeOptions
    from toonvid.stylizing.stylizer import Stylizer
    from toonvid.writing.contact_sheet import check_target, contact_sheet, labelled, write_image

    check_target(output, source, overwrite)
    frame = _frame_at(source, parse_time(at))
    images, names = [frame.pixels], ["the source"]
    has_failed = False
    for engine in list_engines():
        try:
            with open_backend(engine) as backend:
                stylizer = Stylizer(backend, StylizeOptions(quality="best"))
                images += [cartoon.pixels for cartoon in stylizer.stylize([frame])]
        except (EngineError, BackendError) as error:  # of one style; the others are shown
            has_failed = True
            say(error_console(), f"left out {engine.card.style}: {error}", "yellow")
            continue
        names.append(engine.card.style)
    columns = 2 if len(images) < 5 else 3
    tiles = [labelled(image, name) for image, name in zip(images, names, strict=True)]
    write_image(output, contact_sheet(tiles, columns), overwrite)
    say(output_console(), f"Wrote {output}: {', '.join(names)}, row by row from the left.")
    if has_failed:
        raise typer.Exit(1)


def _precisions(engine: Engine) -> str:
    return " ".join(engine.card.precisions) or "OpenVINO alone"


def _card_paths(names: list[str]) -> list[Path]:
    if names:
        return [find_engine(name).card_path for name in names]
    return [card for folder in engine_folders() for card in sorted(folder.glob("*.json"))]


def _frame_at(source: str, at: Fraction) -> Frame:
    """Decode the first frame at or after a time in seconds."""
    from toonvid.reading.decoder import VideoDecoder
    from toonvid.reading.options import DecodeOptions

    options = DecodeOptions(size=(_SHEET_TILE_WIDTH, _SHEET_TILE_WIDTH), start=at or None)
    with VideoDecoder(source, options) as decoder:
        frame = next(decoder.frames(), None)
    if frame is None:
        raise SourceError(f"{source} has no frame at {float(at):g} seconds")
    return frame


_HELP, _EPILOG = split_docstring(list_styles.__doc__)
styles = typer.Typer(
    cls=PlainGroup,
    help=_HELP,
    epilog=_EPILOG,
    callback=list_styles,
    invoke_without_command=True,
)
"""The group of commands, for `toonvid.cli`."""

for _name, _command in (("show", show), ("verify", verify), ("try", try_styles), ("add", add)):
    _text, _examples = split_docstring(_command.__doc__)
    styles.command(_name, cls=PlainCommand, help=_text, epilog=_examples)(_command)
