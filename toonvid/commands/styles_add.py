"""`toonvid styles add`: an engine with its card is copied; anybody else's file becomes an engine.

Questions are here, messages in `toonvid.commands.import_report`; the work is done by
`toonvid.importing`.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from toonvid.choices import (
    COLOR_ORDERS,
    FAMILIES,
    VALUE_RANGES,
    ColorOrder,
    FamilyName,
    ValueRange,
)
from toonvid.commands.help import OUTPUT_PANEL, SOURCE_PANEL, STYLE_PANEL
from toonvid.commands.import_report import show_added, show_candidate, show_notice
from toonvid.commands.messages import output_console, say
from toonvid.commands.options import Overwrite, listed
from toonvid.engine import (
    Engine,
    copy_engine,
    read_engine,
    refuse_existing,
    user_engines,
)
from toonvid.errors import EngineError

if TYPE_CHECKING:
    from toonvid.importing.candidate import Candidate
    from toonvid.video import Pixels

T = TypeVar("T", bound=str)

_SCENE_SIZE = (384, 216)  # (width, height) in pixels of the scene on a sheet
_SCENE_SECONDS = 2.0


def add(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="An engine (.onnx or .json, with its card), any cartoonizer's .onnx, or a .tflite"
            " or SavedModel.",
        ),
    ],
    family: Annotated[
        FamilyName | None,
        typer.Option(
            "--as",
            metavar="FAMILY",
            help=f"What kind of network it is: {listed(FAMILIES)}.",
            rich_help_panel=SOURCE_PANEL,
        ),
    ] = None,
    order: Annotated[
        ColorOrder | None,
        typer.Option(
            metavar="ORDER",
            help=f"Order of its color channels: {listed(COLOR_ORDERS)}.",
            rich_help_panel=SOURCE_PANEL,
        ),
    ] = None,
    value_range: Annotated[
        ValueRange | None,
        typer.Option(
            "--range",
            metavar="RANGE",
            help=f"Range of the values that it takes: {listed(VALUE_RANGES)}.",
            rich_help_panel=SOURCE_PANEL,
        ),
    ] = None,
    output_range: Annotated[
        ValueRange | None,
        typer.Option(
            metavar="RANGE",
            help="Range of the values that it gives, if it is another one.",
            rich_help_panel=SOURCE_PANEL,
        ),
    ] = None,
    multiple_of: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            max=256,
            help="Pixels of which the sides of its frames must be multiples.",
            rich_help_panel=SOURCE_PANEL,
        ),
    ] = None,
    sheet: Annotated[
        Path | None,
        typer.Option(
            metavar="TARGET",
            help="Write a picture of all orders and ranges side by side, to choose by eye.",
            rich_help_panel=SOURCE_PANEL,
        ),
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Image or video whose first frame is on the sheet.",
            show_default="toonvid's own scene",
            rich_help_panel=SOURCE_PANEL,
        ),
    ] = None,
    name: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Name of the new style.",
            show_default="made from the file's",
            rich_help_panel=STYLE_PANEL,
        ),
    ] = "",
    title: Annotated[
        str,
        typer.Option(metavar="TEXT", help="Title for its card.", rich_help_panel=STYLE_PANEL),
    ] = "",
    license: Annotated[
        str,
        typer.Option(
            metavar="TEXT",
            help="License of its weights, for its card.",
            show_default="not stated",
            rich_help_panel=STYLE_PANEL,
        ),
    ] = "",
    calibration: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Also make an int8 file, calibrated with the images in this folder.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Add a style: an engine with its card, or another program's cartoonizer.

    Another program's network is wrapped, checked on a frame, and kept only if its cartoon is one.

    Examples:
        toonvid styles add mine.onnx
        toonvid styles add Hayao.onnx --as animeganv2
        toonvid styles add strange.onnx --sheet choices.png
        toonvid styles add strange.onnx --order bgr --range 0..1 --name strange
    """
    choices = (family, order, value_range, output_range, multiple_of, sheet, picture, calibration)
    is_described = any((*choices, name, title, license))
    engine = _read_engine(path, is_described)
    if engine is not None:
        if is_described:
            raise typer.BadParameter(
                f"{path} has a card of toonvid, and is copied as it is: leave out all options but"
                " --overwrite"
            )
        _add_engine(engine, overwrite)
        return
    if picture is not None and sheet is None:
        raise typer.BadParameter("is shown on a sheet: give --sheet too", param_hint="--picture")
    if find_spec("onnx") is None:
        raise EngineError(
            f"{path} has no card of toonvid; other programs' files need: pip install"
            " 'toonvid[import]'"
        )
    from toonvid.importing.families import FAMILIES as known_families
    from toonvid.importing.import_style import ImportOptions, import_style, style_name
    from toonvid.importing.read_candidate import read_candidate
    from toonvid.importing.trial_run import try_in_subprocess

    if sheet is not None:
        from toonvid.writing.contact_sheet import check_target

        for source in filter(None, (path, picture)):
            check_target(sheet, source, overwrite)
    folder = user_engines()
    style = name or style_name(path)
    if not overwrite:
        refuse_existing(folder, style, "give another --name, or --overwrite to replace it")
    try_in_subprocess(path)
    candidate = read_candidate(path)
    show_candidate(candidate)
    if sheet is not None:
        _write_sheet(candidate, sheet, _first_frame(picture), overwrite)
    known = known_families[family] if family else None
    reading, missing = candidate.guess_reading(known, order, value_range, output_range)
    if reading is None:
        if sheet is not None and not _can_ask():
            say(output_console(), f"Nothing was added yet: give {_options(missing)}, or --as.")
            return
        order = order or (known.order if known else None)
        advice = _advice(candidate)
        order = order or _ask("order", COLOR_ORDERS, path, advice)
        if "range" in missing:
            value_range = _ask("range", VALUE_RANGES, path, advice)
        reading, _ = candidate.guess_reading(known, order, value_range, output_range)
        assert reading is not None
    options = ImportOptions(
        family=family,
        name=style,
        title=title,
        license=license,
        multiple_of=multiple_of,
        calibration=calibration,
    )
    added = import_style(candidate, reading, options, folder, show_notice)
    show_added(added, candidate, reading)


def _read_engine(path: Path, is_described: bool) -> Engine | None:
    """Read the engine that a file is one of; None if it is another program's.

    Such a file may have a .json of its own beside it, which is no card.
    """
    if path.suffix == ".json":
        return read_engine(path)
    has_json = path.with_name(f"{path.name.split('.')[0]}.json").is_file()
    if path.suffix != ".onnx" or not has_json:
        return None
    try:
        return read_engine(path)
    except EngineError:
        if is_described:
            return None
        raise


def _add_engine(engine: Engine, overwrite: bool) -> None:
    folder = user_engines()
    if not overwrite:
        refuse_existing(folder, engine.card.style, "--overwrite replaces it")
    engine.check_files()
    copy_engine(engine, folder)
    say(output_console(), f"Added {engine.card.style} to {folder}")


def _write_sheet(candidate: Candidate, target: Path, picture: Pixels, overwrite: bool) -> None:
    from toonvid.importing.sheet import draw_sheet
    from toonvid.writing.contact_sheet import write_image

    drawn = draw_sheet(
        candidate.network,
        candidate.layout,
        candidate.sizes,
        candidate.facts.output_range,
        picture,
    )
    write_image(target, drawn, overwrite)
    ranges = ", ".join(VALUE_RANGES)
    say(
        output_console(),
        f"Wrote {target}: upper row RGB, lower row BGR; in each the source, then {ranges}.",
    )


def _first_frame(picture: Path | None) -> Pixels:
    if picture is None:
        from toonvid.bench.demo_scene import draw_scene

        return draw_scene(*_SCENE_SIZE, _SCENE_SECONDS)
    from toonvid.reading.decoder import VideoDecoder
    from toonvid.reading.options import DecodeOptions

    with VideoDecoder(str(picture), DecodeOptions()) as decoder:
        frame = next(decoder.frames(), None)
    if frame is None:
        raise typer.BadParameter(f"{picture} has no frame", param_hint="--picture")
    return frame.pixels


def _can_ask() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def _advice(candidate: Candidate) -> str:
    """Name the family whose input has the same name, if there is one."""
    from toonvid.importing.families import likely_family

    family = likely_family(candidate.facts.input_name)
    return f" (its input is named as in --as {family})" if family else ""


def _ask(what: str, values: tuple[T, ...], path: Path, advice: str) -> T:
    """Ask for a value that the graph does not say; where nobody can answer, name the option."""
    if not _can_ask():
        raise typer.BadParameter(
            f"{path.name} does not say its {what}: give --{what} {listed(values)}, or --as FAMILY"
            f"{advice}; --sheet choices.png shows them side by side",
            param_hint=f"--{what}",
        )
    while True:
        question = f"{path.name} does not say its {what}{advice}: {listed(values)}"
        answer: str = typer.prompt(question)
        for value in values:
            if answer.strip().lower() == value:
                return value


def _options(missing: list[str]) -> str:
    return " and ".join(f"--{name}" for name in missing)
