"""Rows that the steps write, and the table made of them.

In: results of a step, one row each, as lines of JSON. Out: the table in Markdown. A row is written
as soon as it is known, so that a step that is killed leaves what it had.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

NOT_RUN = "not run yet"
"""Cell of a row that nobody has measured."""


@dataclass(frozen=True)
class Row:
    """One row of the table."""

    part: int
    """Number of the part, as in `steps.PARTS`."""
    name: str
    """What was measured."""
    result: str
    """The result in words, or why there is none."""
    values: dict[str, object] = field(default_factory=dict)
    """The same as numbers, with the unit in each name."""


class Report:
    """Where a step writes its rows."""

    def __init__(self, path: Path, part: int) -> None:
        """Append to a file.

        Args:
            path: File of JSON lines.
            part: Number of the part that all rows belong to.
        """
        self._path = path
        self._part = part

    def add(self, name: str, result: str, **values: object) -> None:
        """Write one row."""
        row = Row(self._part, name, result, values)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(row)) + "\n")


def read_rows(path: Path) -> list[Row]:
    """Read the rows that a step has written.

    Of rows with the same name, the last one counts: a step may add to what it has measured. A last
    line that was cut off is left out.
    """
    rows: dict[str, Row] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            row = Row(**json.loads(line))
        except (ValueError, TypeError):
            break
        rows[row.name] = row
    return list(rows.values())


def one_line(error: object, limit: int = 300) -> str:
    """Return the text of an error as one line of at most `limit` characters."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= limit else text[: limit - 1] + "…"


def format_table(rows: list[Row], titles: dict[int, str]) -> str:
    """Return a table in Markdown, with the parts in the order of their numbers.

    Args:
        rows: Its rows.
        titles: Number of a part -> its title.
    """
    lines = ["| part | measured | result |", "|---|---|---|"]
    for row in sorted(rows, key=lambda row: row.part):  # stable: rows of a part keep their order
        cells = (f"{row.part} {titles[row.part]}", row.name, row.result)
        lines.append("| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |")
    return "\n".join(lines) + "\n"
