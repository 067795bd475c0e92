"""Text that several commands print: consoles, JSON, counts, durations, and the backend in use.

All that toonvid prints goes through the consoles and `print_json` below. Text may come from file
names, metadata, cards and addresses of strangers: no character of it controls the terminal, no
bracket in it is markup, and no password of an address is shown.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable
from typing import IO, TYPE_CHECKING, Any

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from toonvid.errors import without_secrets

if TYPE_CHECKING:
    from toonvid.backends import Backend
    from toonvid.engine import Engine

_NAME_WIDTH = 32  # characters of a file name beside a progress bar


# C0 and C1 controls but tab and line feed, marks and overrides of the writing direction, which show
# a name otherwise than it is, and single surrogates: bytes of a name that are not UTF-8.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def printable(text: str) -> str:
    """Return text without characters that control a terminal: ESC becomes `\\x1b`."""
    return _UNPRINTABLE.sub(lambda found: _escape(ord(found[0])), text)


def _escape(code: int) -> str:
    if 0xDC80 <= code <= 0xDCFF:  # how Python keeps a byte that is not UTF-8
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


class SafeConsole(Console):
    """A console that prints text as it is: nothing in it is markup or controls the terminal."""

    def __init__(
        self,
        file: IO[str] | None = None,
        stderr: bool = False,
        soft_wrap: bool = False,
        quiet: bool = False,
    ) -> None:
        """Open a stream; see `rich.console.Console`."""
        super().__init__(
            file=file,
            stderr=stderr,
            soft_wrap=soft_wrap,
            quiet=quiet,
            markup=False,
            emoji=False,
            highlight=False,
        )

    def render_str(self, text: str, **options: Any) -> Text:
        """Turn a string into text; tables measure their columns with it."""
        return super().render_str(printable(text), **options)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Turn anything that can be printed, tables and bars too, into pieces of text."""
        for text, style, control in super().render(renderable, options):
            # Rich's own control codes, and the end of a line that the next one replaces.
            is_own = control is not None or text == "\r"
            yield Segment(text if is_own else printable(text), style, control)


class PrintableFormatter(logging.Formatter):
    """Formats log messages as consoles print text."""

    def format(self, record: logging.LogRecord) -> str:
        """Format one message."""
        return printable(without_secrets(super().format(record)))


def error_console(quiet: bool = False) -> Console:
    """Open standard error, where messages go so that standard output holds results only."""
    return SafeConsole(stderr=True, soft_wrap=True, quiet=quiet)


def output_console() -> Console:
    """Open standard output for results that people read. Lines are not broken."""
    return SafeConsole(soft_wrap=True)


def table_console() -> Console:
    """Open standard output for tables, and for text that is broken at the terminal's width."""
    return SafeConsole()


def print_json(record: object, indent: int | None = None) -> None:
    """Print one JSON value on standard output, without passwords of addresses in it."""
    typer.echo(json.dumps(_without_secrets(record), indent=indent))


def _without_secrets(value: object) -> object:
    if isinstance(value, str):
        return without_secrets(value)
    if isinstance(value, dict):
        return {key: _without_secrets(item) for key, item in value.items()}
    return [_without_secrets(item) for item in value] if isinstance(value, list | tuple) else value


def say(console: Console, text: str, style: str | None = None) -> None:
    """Print text whose lines are not broken, and whose addresses show no passwords."""
    console.print(without_secrets(text), style=style, soft_wrap=True)


def count(number: int, noun: str) -> str:
    """Format a number with its noun: `1 frame`, `2,000 frames`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def format_duration(seconds: float) -> str:
    """Format seconds as `1:02:03`, or as `2:03` below an hour."""
    hours, rest = divmod(round(seconds), 3600)
    minutes, rest = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def shorten(name: str, width: int = _NAME_WIDTH) -> str:
    """Cut a text to a width in characters, with an ellipsis at its end."""
    return name if len(name) <= width else name[: max(0, width - 1)] + "…"


def describe_backend(backend: Backend) -> str:
    """Describe what runs the engine, and why it was chosen where there was a choice."""
    reason = f" ({backend.reason})" if backend.reason else ""
    return (
        f"{backend.engine.card.title}: {backend.name} on {backend.device},"
        f" {backend.precision}{reason}"
    )


def describe_license(engine: Engine) -> str:
    """Describe the license of a style, and where an imported one comes from."""
    card = engine.card
    return f"License of style {card.style}: {card.license}" + (
        f" ({card.recipe})" if card.is_imported else ""
    )
