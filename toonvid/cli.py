"""The `toonvid` command: registers the commands; the one place where an error meets the user."""

from __future__ import annotations

import signal
import sys
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
from toonvid.commands.live import live
from toonvid.commands.prepare import prepare
from toonvid.commands.styles import styles
from toonvid.commands.train import train
from toonvid.errors import ToonvidError

app = typer.Typer(
    name="toonvid",
    help="Turns any film or picture into a cartoon, and learns new cartoon styles.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(convert)
app.command()(demo)
app.add_typer(styles, name="styles")
app.command()(live)
app.command()(bench)
app.command()(doctor)
app.command()(build)
app.command()(prepare)
app.command()(train)
app.command()(export)
app.command()(evaluate)


class _Ended(BaseException):  # not an Exception: nothing on the way may take it for a failure
    """The process was asked to end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def main() -> NoReturn:
    """Run the command line; the exit code is 0, or what `toonvid.errors` and the signal say."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):  # Windows has no SIGHUP
            signal.signal(getattr(signal, name), _end)
    try:
        app()
        code = 0
    except ToonvidError as error:
        _complain(str(error))
        code = error.exit_code
    except _Ended as ended:
        _complain("stopped; nothing was left half-written")
        code = 128 + ended.number
    sys.exit(code)


def _end(number: int, _: FrameType | None) -> None:
    raise _Ended(number)


def _complain(message: str) -> None:
    from rich.console import Console

    line = " ".join(message.split("\n"))
    Console(stderr=True, soft_wrap=True).print(f"toonvid: {line}", style="red", markup=False)


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
