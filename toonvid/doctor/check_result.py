"""Check: one thing that was looked at, and what was found."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Literal, TypeAlias

State: TypeAlias = Literal["ok", "missing", "broken"]
Fact: TypeAlias = str | int | list[str]


@dataclass(frozen=True)
class CheckResult:
    """One line of the doctor's."""

    group: str
    """What it belongs to: `processor`, `backends` …"""
    name: str
    """Of what was looked at; the same in every version of the report."""
    state: State
    """`missing`: it is not here, and need not be. `broken`: it is here, and fails."""
    words: str
    """What was found, for a reader."""
    mend: str = ""
    """The command that mends it, or what else to do; empty where there is nothing to do."""
    facts: dict[str, Fact] = field(default_factory=dict)
    """What was found, for a program."""

    def to_json(self) -> dict[str, object]:
        """All of it, as JSON has it."""
        return asdict(self)
