"""`toonvid doctor`: a report on what works on this machine, as a table or as JSON.

The checks are run by `toonvid.doctor.examine`.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from toonvid.choices import REQUIRABLE_CHECKS
from toonvid.commands.messages import error_console, print_json, table_console
from toonvid.commands.options import AsJson
from toonvid.errors import DeviceMissingError

if TYPE_CHECKING:
    from toonvid.doctor.check_result import CheckResult
    from toonvid.doctor.examine import DoctorReport

_COLORS = {"ok": "green", "missing": "yellow", "broken": "bold red"}


def doctor(
    require: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help=f"Exit with code 3 unless this works: {', '.join(REQUIRABLE_CHECKS)}."
            " May be repeated.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Report what works on this machine, what is missing or broken, and how to fix it.

    Every check tries the real thing, in a process of its own, so that a crash ends that check only.

    Examples:
        toonvid doctor
        toonvid doctor --require tensorrt --require nvdec
    """
    if unknown := sorted(set(require or ()) - set(REQUIRABLE_CHECKS)):
        known = ", ".join(REQUIRABLE_CHECKS)
        raise typer.BadParameter(f"{unknown[0]!r} is none of {known}", param_hint="--require")
    from toonvid.doctor.examine import examine

    with error_console().status("Checking this machine …"):
        report = examine()
    if as_json:
        print_json(report.to_json(), indent=2)
    else:
        console = table_console()
        console.print(_table(report))
        console.print(_summary(report))
    for name in require or ():
        check = report.find(name)
        if check is None or check.state != "ok":
            message = f": {check.message}" if check else ""
            raise DeviceMissingError(f"{name} is required and cannot be used{message}")


def _table(report: DoctorReport) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for group, checks in groupby(report.checks, key=lambda check: check.group):
        table.add_row(group, "", "", style="bold")
        for check in checks:
            _add_row(table, check)
        table.add_section()
    return table


def _add_row(table: Table, check: CheckResult) -> None:
    message = Text(check.message)
    if check.fix:
        message.append(f"\nfix: {check.fix}", style="cyan")
    table.add_row(Text(check.state, style=_COLORS[check.state]), check.name, message)


def _summary(report: DoctorReport) -> str:
    counts = {state: sum(c.state == state for c in report.checks) for state in _COLORS}
    return ", ".join(f"{number} {state}" for state, number in counts.items())
