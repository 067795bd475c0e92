"""`toonvid doctor`: what this machine can do, what is missing and what is broken."""

from __future__ import annotations

import json
from itertools import groupby
from typing import TYPE_CHECKING, Annotated

import typer

from toonvid.choices import REQUIRABLE_CHECKS
from toonvid.errors import DeviceMissingError

if TYPE_CHECKING:
    from rich.table import Table

    from toonvid.doctor.check_result import CheckResult
    from toonvid.doctor.examine import DoctorReport

_STYLES = {"ok": "green", "missing": "yellow", "broken": "bold red"}


def doctor(
    require: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help=f"Exit with 3 unless it can be used: {', '.join(REQUIRABLE_CHECKS)}."
            " May be repeated.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Tell what this machine can do, what is missing and what is broken, and how to mend it.

    All of it is tried, in processes of their own: what crashes takes nothing else with it.
    """
    if unknown := sorted(set(require or ()) - set(REQUIRABLE_CHECKS)):
        known = ", ".join(REQUIRABLE_CHECKS)
        raise typer.BadParameter(f"{unknown[0]!r} is none of {known}", param_hint="--require")
    from rich.console import Console

    from toonvid.doctor.examine import examine

    with Console(stderr=True).status("Looking at this machine …"):
        report = examine()
    if as_json:
        typer.echo(json.dumps(report.to_json(), indent=2))
    else:
        console = Console(highlight=False)
        console.print(_table(report))
        console.print(_summary(report), markup=False)
    for name in require or ():
        check = report.find(name)
        if check is None or check.state != "ok":
            words = f": {check.words}" if check else ""
            raise DeviceMissingError(f"{name} is required and cannot be used{words}")


def _table(report: DoctorReport) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for group, checks in groupby(report.checks, key=lambda check: check.group):
        table.add_row(group, "", "", style="bold")
        for check in checks:
            _add(table, check)
        table.add_section()
    return table


def _add(table: Table, check: CheckResult) -> None:
    from rich.text import Text

    words = Text(check.words)
    if check.mend:
        words.append(f"\nmend: {check.mend}", style="cyan")
    table.add_row(Text(check.state, style=_STYLES[check.state]), check.name, words)


def _summary(report: DoctorReport) -> str:
    counts = {state: sum(c.state == state for c in report.checks) for state in _STYLES}
    return ", ".join(f"{count} {state}" for state, count in counts.items())
