"""`toonvid styles`: list, show, verify, try and add engines."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from toonvid.commands.arguments import parse_time
from toonvid.engine import (
    Engine,
    engine_folders,
    find_engine,
    list_engines,
    read_engine,
    user_engines,
)
from toonvid.errors import EngineError, TargetError

if TYPE_CHECKING:
    from toonvid.video import Frame

styles = typer.Typer(help="List, show, verify, try and add styles.", invoke_without_command=True)

_SHEET_TILE_WIDTH = 960  # pixels, the most that one picture of a contact sheet is wide


@styles.callback()
def list_all(context: typer.Context) -> None:
    """List the styles that are here."""
    if context.invoked_subcommand is not None:
        return
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for name, justify in (
        ("style", "left"),
        ("title", "left"),
        ("size", "right"),
        ("multiply-adds a pixel", "right"),
        ("licence", "left"),
        ("precisions", "left"),
    ):
        table.add_column(name, justify="right" if justify == "right" else "left")
    for engine in list_engines():
        card = engine.card
        size = sum((engine.folder / name).stat().st_size for name in card.sha256)
        table.add_row(
            card.style,
            card.title,
            f"{size / 1e6:.1f} MB",
            f"{card.multiply_adds_per_pixel:,}",
            card.license,
            " ".join(card.precisions),
        )
    Console().print(table)


@styles.command()
def show(style: Annotated[str, typer.Argument(help="Name of a style, or path.")]) -> None:
    """Print all that is known about a style."""
    from rich.console import Console

    engine = find_engine(style)
    card = engine.card
    lines = [
        f"[bold]{card.title}[/] ({card.style}, step {card.training_step:,})",
        card.description,
        "",
        f"parameters: {card.parameters:,}",
        f"multiply-adds a pixel: {card.multiply_adds_per_pixel:,}",
        f"licence: {card.license}",
        f"recipe: {card.recipe}",
        *(f"trained on: {s.name}, {s.author}, {s.license}" for s in card.trained_on),
        *(f"{name}: {value:g}" for name, value in card.metrics.items()),
        *(f"{name}: sha256 {digest}" for name, digest in card.sha256.items()),
        f"in: {engine.folder}",
    ]
    Console(highlight=False, soft_wrap=True).print("\n".join(lines))


@styles.command()
def verify(
    names: Annotated[
        list[str] | None, typer.Argument(help="Styles; all when none is named.")
    ] = None,
) -> None:
    """Check that the files of engines are those that their cards describe."""
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    failed = False
    for card_path in _cards(names or []):
        try:
            engine = read_engine(card_path)
            for precision in engine.card.precisions:
                engine.path(precision)
            console.print(f"{engine.card.style}: {' '.join(engine.card.precisions)} good")
        except EngineError as error:
            failed = True
            console.print(f"{card_path.stem}: {error}", style="red", markup=False)
    if failed:
        raise typer.Exit(1)


@styles.command(name="try")
def try_all(
    film: Annotated[str, typer.Argument(metavar="FILM", help="A film or picture.")],
    at: Annotated[str, typer.Option(metavar="TIME", help="Which frame: 90, 1:30.")] = "0",
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="TARGET", help="The contact sheet.")
    ] = Path("styles.png"),
    overwrite: Annotated[
        bool, typer.Option("--overwrite", "-y", help="Replace a sheet that is there.")
    ] = False,
) -> None:
    """Write one frame of a film in every style, on one sheet."""
    from rich.console import Console

    from toonvid.backends import open_backend
    from toonvid.stylizing.stylizer import Stylizer
    from toonvid.writing.contact_sheet import contact_sheet, write_image

    frame = _frame_at(film, parse_time(at))
    pictures, names = [frame.pixels], ["the source"]
    for engine in list_engines():
        with open_backend(engine) as backend:
            pictures += [cartoon.pixels for cartoon in Stylizer(backend).stylize([frame])]
        names.append(engine.card.style)
    columns = 2 if len(pictures) < 5 else 3
    write_image(output, contact_sheet(pictures, columns), overwrite)
    Console(highlight=False, soft_wrap=True).print(
        f"Wrote {output}: {', '.join(names)}, from left to right and down.", markup=False
    )


@styles.command()
def add(
    path: Annotated[Path, typer.Argument(help="The engine's .onnx or .json.")],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", "-y", help="Replace a style that is there.")
    ] = False,
) -> None:
    """Copy an engine and its card into your own styles."""
    from rich.console import Console

    engine = read_engine(path)
    folder = user_engines()
    if (folder / engine.card_path.name).exists() and not overwrite:
        raise TargetError(f"{folder} has a style {engine.card.style} (--overwrite replaces it)")
    try:
        _copy(engine, folder)
    except OSError as error:
        raise TargetError(f"cannot write to {folder}: {error.strerror}") from error
    Console(highlight=False, soft_wrap=True).print(
        f"Added {engine.card.style} to {folder}", markup=False
    )


def _cards(names: list[str]) -> list[Path]:
    if names:
        return [find_engine(name).card_path for name in names]
    return [card for folder in engine_folders() for card in sorted(folder.glob("*.json"))]


def _frame_at(film: str, at: Fraction) -> Frame:
    from toonvid.errors import SourceError
    from toonvid.reading.decoder import VideoDecoder
    from toonvid.reading.options import DecodeOptions

    options = DecodeOptions(size=(_SHEET_TILE_WIDTH, _SHEET_TILE_WIDTH), start=at or None)
    with VideoDecoder(film, options) as decoder:
        frame = next(decoder.frames(), None)
    if frame is None:
        raise SourceError(f"{film} has no frame at {float(at):g} seconds")
    return frame


def _copy(engine: Engine, folder: Path) -> None:
    """The card goes last: without it the files are no engine yet."""
    from toonvid.files import write_atomically

    folder.mkdir(parents=True, exist_ok=True)
    sources = [engine.path(precision) for precision in engine.card.precisions]
    for source in [*sources, engine.card_path]:
        write_atomically(folder / source.name, source.read_bytes())
