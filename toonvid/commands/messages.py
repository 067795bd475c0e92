"""Text that several commands print: consoles, counts, durations, and the backend in use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from toonvid.backends import Backend

_NAME_WIDTH = 32  # characters of a file name beside a progress bar


def error_console(quiet: bool = False) -> Console:
    """Open standard error, where messages go so that standard output holds results only."""
    return Console(stderr=True, soft_wrap=True, highlight=False, quiet=quiet)


def output_console() -> Console:
    """Open standard output for results that people read. Lines are not broken."""
    return Console(soft_wrap=True, highlight=False)


def say(console: Console, text: str, style: str | None = None) -> None:
    """Print text as it is: brackets in file names are not markup, and lines are not broken."""
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


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
