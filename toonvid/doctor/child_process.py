"""Checks in processes of their own: a library that hangs or crashes ends that check only.

In: the name of a function that returns check results. Out: its results, or a broken check if the
process does not return them. The process is
`python -m toonvid.doctor.child_process toonvid.doctor.codecs:check_nvidia_codecs`; it writes the
results to its original standard output. Anything that libraries print goes elsewhere.
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

from toonvid.child_python import child_python
from toonvid.doctor.check_result import CheckResult

_SIGNALS = {number.value: number.name for number in signal.Signals}


@dataclass(frozen=True)
class SubprocessCheck:
    """A check that is run in a process of its own when it is called."""

    group: str
    """Group of the result if the process fails."""
    name: str
    """Name of the result if the process fails."""
    function: str
    """Module and function, `toonvid.doctor.codecs:check_nvidia_codecs`. It returns a list of
    results."""
    timeout_seconds: float = 20.0
    """Time after which the process is killed, in seconds."""
    fix: str = ""
    """What helps if the process fails."""

    def __call__(self) -> list[CheckResult]:
        """Run the check and return its results. Never raises for what the check does."""
        command = [*child_python(), "-m", __name__, self.function]
        try:
            done = subprocess.run(
                command, capture_output=True, timeout=self.timeout_seconds, check=False
            )
        except subprocess.TimeoutExpired:
            return [self._broken(f"no answer within {self.timeout_seconds:g} seconds")]
        if done.returncode < 0:
            name = _SIGNALS.get(-done.returncode, str(-done.returncode))
            return [self._broken(f"it crashed the process of this check ({name})")]
        try:
            return [CheckResult.from_json(values) for values in json.loads(done.stdout)]
        except (ValueError, TypeError, KeyError):
            lines = done.stderr.decode(errors="replace").strip().splitlines()
            return [self._broken(lines[-1] if lines else f"exit code {done.returncode}")]

    def _broken(self, message: str) -> CheckResult:
        return CheckResult(self.group, self.name, "broken", message, self.fix)


def main(function_name: str) -> None:
    """Run a check in this process, and write its results as JSON to standard output."""
    output = os.dup(1)
    os.dup2(2, 1)  # C libraries print to descriptor 1, in the middle of the JSON
    module, _, function = function_name.partition(":")
    check = cast("Callable[[], list[CheckResult]]", getattr(import_module(module), function))
    results = [result.to_json() for result in check()]
    with os.fdopen(output, "w", encoding="utf-8") as written:
        json.dump(results, written)
    # Without the libraries' cleanup at exit, which hangs or crashes in some of them.
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
