"""The `toonvid` command: registers the commands, and turns errors and signals into exit codes.

This is the only place that catches `ToonvidError`.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Annotated, NoReturn

import typer

from toonvid._version import __version__
from toonvid.commands.bench import bench
from toonvid.commands.build import build
from toonvid.commands.convert import convert
from toonvid.commands.demo import demo
from toonvid.commands.doctor import doctor
from toonvid.commands.evaluate import evaluate
from toonvid.commands.export import export
from toonvid.commands.help import (
    CARTOONS_PANEL,
    MACHINE_PANEL,
    TRAINING_PANEL,
    PlainCommand,
    PlainGroup,
    split_docstring,
)
from toonvid.commands.interrupt import Ended
from toonvid.commands.live import live
from toonvid.commands.messages import error_console, say
from toonvid.commands.prepare import prepare
from toonvid.commands.styles import styles
from toonvid.commands.train import train
from toonvid.errors import ToonvidError

app = typer.Typer(
    name="toonvid",
    cls=PlainGroup,
    help="Turn videos, images and webcams into cartoons, and train new cartoon styles.",
    epilog="Each command has a help page with examples: toonvid convert --help",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _register(panel: str, *commands: Callable[..., None]) -> None:
    for command in commands:
        text, epilog = split_docstring(command.__doc__)
        app.command(cls=PlainCommand, help=text, epilog=epilog, rich_help_panel=panel)(command)


_register(CARTOONS_PANEL, convert, demo, live)
app.add_typer(styles, name="styles", rich_help_panel=CARTOONS_PANEL)
_register(TRAINING_PANEL, prepare, train, export, evaluate)
_register(MACHINE_PANEL, bench, doctor, build)


def main() -> NoReturn:
    """Run the command line. Exit codes are 0, those of `toonvid.errors`, or 128 plus the signal."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):  # Windows has no SIGHUP
            signal.signal(getattr(signal, name), _end)
    try:
        app()
        code = 0
    except ToonvidError as error:
        _print_error(str(error))
        code = error.exit_code
    except Ended as ended:
        for number in (signal.SIGINT, signal.SIGTERM):  # it ends already
            signal.signal(number, signal.SIG_IGN)
        _print_error("stopped; nothing was left half-written")
        code = 128 + ended.number
        _exit_beside_threads(code)
    sys.exit(code)


def _exit_beside_threads(code: int) -> None:
    """End the process at once if threads are still at work; return if there are none.

    A second signal does not wait for them. Python would end them wherever they next want its lock,
    which is inside ONNX Runtime or FFmpeg, and C++ answers by aborting the process.
    """
    if threading.active_count() > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _end(number: int, _: FrameType | None) -> None:
    raise Ended(number)


def _print_error(message: str) -> None:
    line = " ".join(message.split("\n"))
    say(error_console(), f"toonvid: {line}", "red")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"toonvid {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Options of the program itself."""
