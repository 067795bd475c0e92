"""Tables of `toonvid bench`, printed on standard output. Nothing is measured here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.table import Table

from toonvid.commands.messages import error_console, output_console, say, table_console

if TYPE_CHECKING:
    from toonvid.bench.live_latency import Latency
    from toonvid.bench.results import SizeResults
    from toonvid.bench.side_by_side import SideBySide

_GIGA, _MEGA = 10**9, 2**20
QUIET_LOAD = 0.5  # load average of a desktop without programs at work
_UNKNOWN = "–"  # noqa: RUF001  (an empty cell, not a minus)


@contextmanager
def measuring() -> Iterator[Callable[[str], None]]:
    """Show on standard error what is being measured, if that is a terminal.

    Yields:
        A callback that takes the name of the measurement that begins.
    """
    with error_console().status("") as status:
        yield lambda name: status.update(f"Measuring {name} …")


def print_sizes(
    title: str, results: list[SizeResults], image_seconds: tuple[float, float] | None
) -> None:
    """Print a column for each size, then a sentence on each one's bottleneck.

    Args:
        title: Style, backend and machine.
        results: One for each size.
        image_seconds: Time of a whole run with a still image, the first time and again; None if
            it was not measured.
    """
    console = table_console()
    table = Table(title=title, title_justify="left")
    table.add_column("frames per second")
    for result in results:
        table.add_column(f"{result.width}x{result.height}", justify="right")
    for name, cell in _ROWS:
        if not name:
            table.add_section()
            continue
        table.add_row(name, *(cell(result) for result in results))
    console.print(table)
    for result in results:
        console.print(f"{result.width}x{result.height}: {result.bottleneck}.")
    if image_seconds is not None:
        first, again = image_seconds
        line = f"A still image of 1280x720, in a new process: {first:.2f} s; again {again:.2f} s."
        console.print(line)


def print_busy_machine(load_before: float | None) -> None:
    """Warn if the machine was busy before the measurements.

    Args:
        load_before: Load average of the last minute; None where the system does not tell it.
    """
    if load_before is not None and load_before > QUIET_LOAD:
        output_console().print(
            f"This machine was busy before the bench began (load {load_before:.1f}): rates and"
            " efficiency are lower than they could be.",
            style="yellow",
        )


def print_side_by_side(names: tuple[str, str], size: str, found: SideBySide) -> None:
    """Print a row for each of two pipelines, and the ratio of their rates with its spread."""
    table = Table(title=f"{size}, by turns")
    table.add_column("pipeline")
    table.add_column("frames per second, turn by turn", justify="right")
    for name, rates in zip(names, (found.first, found.second), strict=True):
        table.add_row(name, "  ".join(f"{rate:.1f}" for rate in rates))
    console = table_console()
    console.print(table)
    low, high = found.spread
    say(
        console,
        f"{names[0]} runs at {found.ratio:.2f} times the rate of {names[1]}"
        f" ({low:.2f} to {high:.2f} from turn to turn).",
    )


def print_cores(size: str, rates: dict[int, float]) -> None:
    """Print a row for each number of CPU cores.

    Args:
        size: Frame size, as it was typed.
        rates: Number of cores -> frames per second.
    """
    table = Table(title=f"{size}, after the first frame")
    for heading in ("cores", "frames per second", "relative to the first row"):
        table.add_column(heading, justify="right")
    first = next(iter(rates.values()))
    for core_count, rate in rates.items():
        table.add_row(str(core_count), f"{rate:.1f}", f"{rate / first:.2f}x")
    table_console().print(table)


def print_latencies(title: str, results: list[Latency]) -> None:
    """Print a row for each frame size of `toonvid bench --live`."""
    table = Table(title=title)
    for heading in ("size", "shown per second", "delay, ms", "95 % within, ms", "dropped"):
        table.add_column(heading, justify="right")
    for result in results:
        table.add_row(
            f"{result.width}x{result.height}",
            f"{result.rate:.1f}",
            f"{result.delay_ms:.0f}",
            f"{result.delay_95_ms:.0f}",
            f"{result.dropped}",
        )
    console = table_console()
    console.print(table)
    console.print(
        "The delay is read from a clock that is drawn into the camera's frames and read from the"
        " cartoon. A real camera and a real screen add their own."
    )


def _rate(name: str) -> Callable[[SizeResults], str]:
    return lambda result: f"{getattr(result, name).rate:.1f}"


def _real_time(result: SizeResults) -> str:
    if result.real_time is None:
        return _UNKNOWN
    return f"{result.real_time.cores_busy(result.cores):.0%}, {result.late_frames} late"


def _seconds(name: str) -> Callable[[SizeResults], str]:
    def cell(result: SizeResults) -> str:
        seconds = getattr(result, name)
        return _UNKNOWN if seconds is None else f"{seconds:.2f} s"

    return cell


def _memory(result: SizeResults) -> str:
    return _UNKNOWN if result.peak_bytes is None else f"{result.peak_bytes / _MEGA:.0f} MiB"


def _peak(result: SizeResults) -> str:
    peak = result.peak_multiply_adds
    return _UNKNOWN if peak is None else f"{peak / _GIGA:.0f}"


# Name of a row, and the text of its cells; an empty name draws a line.
_ROWS: tuple[tuple[str, Callable[[SizeResults], str]], ...] = (
    ("decode alone", _rate("decode")),
    ("stylize alone", _rate("stylize")),
    ("encode alone", _rate("encode")),
    ("pipeline", _rate("pipeline")),
    ("null pipeline: no cartoon", _rate("null")),
    ("", str),
    ("pipeline / null pipeline", lambda result: f"{result.ratio:.2f}"),
    ("efficiency", lambda result: f"{result.efficiency:.0%}"),
    ("CPU during the pipeline", lambda result: f"{result.cores_busy:.0%}"),
    ("CPU at the video's own rate", _real_time),
    ("", str),
    ("first frame, new process", _seconds("cold_first_frame_seconds")),
    ("    the same again", _seconds("kept_first_frame_seconds")),
    ("first frame, engine compiled", _seconds("warm_first_frame_seconds")),
    ("peak memory", _memory),
    ("", str),
    ("10⁹ multiply-adds per second", lambda result: f"{result.multiply_adds / _GIGA:.0f}"),
    ("    of a large matrix product", _peak),
)
