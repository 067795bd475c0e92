"""Looks in processes of their own: a library that hangs or crashes takes nothing else with it.

Such a process is `python -m toonvid.doctor.child_process toonvid.doctor.codecs:check_nvidia_codecs`. What libraries
print goes nowhere; the checks leave by the standard output that the process began with.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import cast

from toonvid.doctor.check_result import CheckResult

_SIGNALS = {number.value: number.name for number in signal.Signals}


@dataclass(frozen=True)
class SubprocessCheck:
    """Something to look at apart."""

    group: str
    """Of its check where it does not come back."""
    name: str
    """Likewise."""
    place: str
    """Module and function in it, `toonvid.doctor.codecs:check_nvidia_codecs`; it gives a list of checks."""
    seconds: float = 20.0
    """After which it is given up."""
    mend: str = ""
    """What to do where it does not come back."""

    def __call__(self) -> list[CheckResult]:
        """Look."""
        command = [sys.executable, "-m", __name__, self.place]
        try:
            done = subprocess.run(command, capture_output=True, timeout=self.seconds, check=False)
        except subprocess.TimeoutExpired:
            return [self._broken(f"it did not answer within {self.seconds:g} seconds")]
        if done.returncode < 0:
            name = _SIGNALS.get(-done.returncode, str(-done.returncode))
            return [self._broken(f"it crashed the process that tried it ({name})")]
        try:
            return [CheckResult(**values) for values in json.loads(done.stdout)]
        except (ValueError, TypeError):
            lines = done.stderr.decode(errors="replace").strip().splitlines()
            return [self._broken(lines[-1] if lines else f"exit code {done.returncode}")]

    def _broken(self, words: str) -> CheckResult:
        return CheckResult(self.group, self.name, "broken", words, self.mend)


def main(place: str) -> None:
    """Look in this process, and write the checks as JSON."""
    out = os.dup(1)
    os.dup2(2, 1)  # what C libraries print there would be in the middle of the JSON
    module, _, function = place.partition(":")
    # The function's type is what `Look.place` asks for.
    check = cast("Callable[[], list[CheckResult]]", getattr(import_module(module), function))
    results = [result.to_json() for result in check()]
    with os.fdopen(out, "w", encoding="utf-8") as written:
        json.dump(results, written)
    os._exit(0)  # without the libraries' own farewells, some of which hang or crash


if __name__ == "__main__":
    main(sys.argv[1])
