"""Pytest plugin: writes the result of each test as a line of JSON as soon as it ends.

In: the environment variable TOONVID_TEST_LOG, a file. A report at the end of pytest's run would be
lost when the run is stopped.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Write a result: that of the test itself, or of a setup or teardown that did not pass."""
    if report.when != "call" and report.passed:
        return
    if report.passed or report.skipped:
        reason = "" if report.passed else str(report.longrepr[2])  # type: ignore[index]
    else:
        crash = getattr(report.longrepr, "reprcrash", None)
        reason = crash.message if crash else str(report.longrepr)
    values = {"test": report.nodeid, "outcome": report.outcome, "reason": reason}
    with Path(os.environ["TOONVID_TEST_LOG"]).open("a", encoding="utf-8") as file:
        file.write(json.dumps(values) + "\n")
