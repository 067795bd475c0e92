"""How `toonvid bench` shows what it found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from toonvid.bench.results import SizeResults
    from toonvid.bench.side_by_side import SideBySide

_GIGA, _MEGA = 10**9, 2**20
_QUIET_LOAD = 0.5  # what a desktop does by itself
_UNKNOWN = "–"  # noqa: RUF001  (an empty cell, not a minus)


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """Say on standard error what is being measured, where somebody sees it."""
    console = Console(stderr=True, highlight=False)
    with console.status("") as status:
        yield lambda what: status.update(f"Measuring {what} …")


def show_sizes(
    style: str,
    runs_on: str,
    machine: str,
    found: list[SizeResults],
    still_picture_seconds: float | None,
    load_before: float | None,
) -> None:
    """A column for each size, then a sentence on each one's bottleneck."""
    console = Console(highlight=False)
    table = Table(title=f"{style}, {runs_on}\n{machine}", title_justify="left")
    table.add_column("frames a second")
    for figures in found:
        table.add_column(f"{figures.width}x{figures.height}", justify="right")
    for name, cell in _ROWS:
        if not name:
            table.add_section()
            continue
        table.add_row(name, *(cell(figures) for figures in found))
    console.print(table)
    for figures in found:
        console.print(f"{figures.width}x{figures.height}: {figures.bottleneck}.")
    if still_picture_seconds is not None:
        console.print(f"A still picture of 1280x720, whole: {still_picture_seconds:.2f} s.")
    if load_before is not None and load_before > _QUIET_LOAD:
        console.print(
            f"This machine was busy before the bench began (load {load_before:.1f}): rates and"
            " efficiency are lower than they could be.",
            style="yellow",
        )


def show_side_by_side(names: tuple[str, str], size: str, found: SideBySide) -> None:
    """A row for each, and the ratio with its spread."""
    console = Console(highlight=False)
    table = Table(title=f"{size}, by turns")
    table.add_column("pipeline")
    table.add_column("frames a second, turn by turn", justify="right")
    for name, rates in zip(names, (found.first, found.second), strict=True):
        table.add_row(name, "  ".join(f"{rate:.1f}" for rate in rates))
    console.print(table)
    low, high = found.spread
    console.print(
        f"{names[0]} runs at {found.ratio:.2f} times the rate of {names[1]}"
        f" ({low:.2f} to {high:.2f} from turn to turn).",
        markup=False,
    )


def show_cores(size: str, rates: dict[int, float]) -> None:
    """A row for each number of cores."""
    table = Table(title=f"{size}, after the first frame")
    for column in ("cores", "frames a second", "of the first row's"):
        table.add_column(column, justify="right")
    first = next(iter(rates.values()))
    for count, rate in rates.items():
        table.add_row(str(count), f"{rate:.1f}", f"{rate / first:.2f}x")
    Console(highlight=False).print(table)


def _rate(name: str) -> Callable[[SizeResults], str]:
    return lambda figures: f"{getattr(figures, name).rate:.1f}"


def _paced(figures: SizeResults) -> str:
    if figures.paced is None:
        return _UNKNOWN
    return f"{figures.paced.cores_busy(figures.cores):.0%}, {figures.late_frames} late"


def _cold(figures: SizeResults) -> str:
    seconds = figures.cold_first_frame_seconds
    return _UNKNOWN if seconds is None else f"{seconds:.2f} s"


def _memory(figures: SizeResults) -> str:
    return _UNKNOWN if figures.peak_bytes is None else f"{figures.peak_bytes / _MEGA:.0f} MiB"


def _peak(figures: SizeResults) -> str:
    peak = figures.peak_multiply_adds
    return _UNKNOWN if peak is None else f"{peak / _GIGA:.0f}"


# What a row is called, and what stands in it; an empty name draws a line.
_ROWS: tuple[tuple[str, Callable[[SizeResults], str]], ...] = (
    ("decode alone", _rate("decode")),
    ("stylize alone", _rate("stylize")),
    ("encode alone", _rate("encode")),
    ("pipeline", _rate("pipeline")),
    ("null pipeline: no cartoon", _rate("null")),
    ("", str),
    ("pipeline / null pipeline", lambda figures: f"{figures.ratio:.2f}"),
    ("efficiency", lambda figures: f"{figures.efficiency:.0%}"),
    ("processor during the pipeline", lambda figures: f"{figures.cores_busy:.0%}"),
    ("processor at the film's own rate", _paced),
    ("", str),
    ("first frame, new process", _cold),
    ("first frame, engine compiled", lambda figures: f"{figures.warm_first_frame_seconds:.2f} s"),
    ("memory, at most", _memory),
    ("", str),
    ("10⁹ multiply-adds a second", lambda figures: f"{figures.multiply_adds / _GIGA:.0f}"),
    ("    of a large matrix product", _peak),
)
