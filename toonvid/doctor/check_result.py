"""The result of one check, and its form in JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

CheckState: TypeAlias = Literal["ok", "missing", "broken"]
"""`ok`: it works. `missing`: it is absent, which is no fault. `broken`: it is there and fails."""
Fact: TypeAlias = str | int | list[str]


@dataclass(frozen=True)
class CheckResult:
    """What a check found: one line of the doctor's table."""

    group: str
    """Heading under which the check is shown. It does not change between versions."""
    name: str
    """Name of the check, for `--require` and for programs. It does not change between versions."""
    state: CheckState
    message: str
    """What was found, in one line."""
    fix: str = ""
    """A command or an instruction that helps; empty if there is nothing to do."""
    facts: dict[str, Fact] = field(default_factory=dict)
    """What was found, as values for programs."""

    def to_json(self) -> dict[str, object]:
        """Return all fields under the keys of report version 1, which docs/doctor.md describes."""
        return {
            "group": self.group,
            "name": self.name,
            "state": self.state,
            "words": self.message,
            "mend": self.fix,
            "facts": self.facts,
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> CheckResult:
        """Return the result that `to_json` wrote.

        Raises:
            KeyError, TypeError: The values are something else.
        """
        return cls(
            group=values["group"],
            name=values["name"],
            state=values["state"],
            message=values["words"],
            fix=values["mend"],
            facts=values["facts"],
        )
