"""The `toonvid` command: registers its commands, and turns errors and signals into exit codes.

This is the only place that catches `ToonvidError`.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterable
from importlib import import_module
from types import FrameType
from typing import Annotated, NoReturn

import typer

from toonvid._version import __version__
from toonvid.commands.help import (
    CARTOONS_PANEL,
    MACHINE_PANEL,
    TRAINING_PANEL,
    PlainCommand,
    PlainGroup,
    split_docstring,
)
from toonvid.commands.interrupt import Ended
from toonvid.commands.messages import error_console, say
from toonvid.errors import ToonvidError, without_secrets

# Command -> its panel in the help page. The function of a command has its name, and is in the
# module `toonvid.commands.NAME`.
_PANELS = {
    "convert": CARTOONS_PANEL,
    "demo": CARTOONS_PANEL,
    "live": CARTOONS_PANEL,
    "styles": CARTOONS_PANEL,
    "prepare": TRAINING_PANEL,
    "train": TRAINING_PANEL,
    "export": TRAINING_PANEL,
    "evaluate": TRAINING_PANEL,
    "bench": MACHINE_PANEL,
    "doctor": MACHINE_PANEL,
    "build": MACHINE_PANEL,
}


def app() -> None:
    """Run the command that the command line names."""
    # Loading all commands, and letting Typer inspect their options, takes 50 ms more than one.
    named = [word for word in sys.argv[1:2] if word in _PANELS]
    if named and _PANELS[named[0]] == CARTOONS_PANEL:
        # On import NumPy starts a thread on each core for matrix products, of which making cartoons
        # has none. That takes 50 ms of CPU time.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    _build_app(named or _PANELS)()


def _build_app(names: Iterable[str]) -> typer.Typer:
    """Build the command line with some of the commands."""
    built = typer.Typer(
        name="toonvid",
        cls=PlainGroup,
        help="Turn videos, images and webcams into cartoons, and train new cartoon styles.",
        epilog="Each command has a help page with examples: toonvid convert --help",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    built.callback()(_options)
    for name in names:
        command = getattr(import_module(f"toonvid.commands.{name}"), name)
        panel = _PANELS[name]
        if isinstance(command, typer.Typer):
            built.add_typer(command, name=name, rich_help_panel=panel)
            continue
        text, epilog = split_docstring(command.__doc__)
        built.command(cls=PlainCommand, help=text, epilog=epilog, rich_help_panel=panel)(command)
    return built


def main() -> NoReturn:
    """Run the command line. Exit codes are 0, those of `toonvid.errors`, or 128 plus the signal."""
    # OpenVINO's converter of models takes 30 ms to import and is not used here; OpenVINO goes on
    # without it. Not in `toonvid.backends`: programs that import that may want the converter.
    sys.modules.setdefault("openvino.tools.ovc", None)  # type: ignore[arg-type]
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):  # Windows has no SIGHUP
            signal.signal(getattr(signal, name), _end)
    try:
        app()
        code = 0
    except ToonvidError as error:
        _print_error(str(error))
        code = error.exit_code
    except OSError as error:
        if error.filename is None:
            raise
        # Such as a name that the file system does not take.
        _print_error(without_secrets(f"{error.filename}: {error.strerror}"))
        code = 1
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


def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Options of the program itself."""
