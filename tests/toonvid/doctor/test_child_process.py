"""Checks in processes of their own: what hangs or crashes is a broken result."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.doctor import only
from support.failing_checks import __file__ as failing_checks_file

from toonvid.doctor.check_result import CheckResult
from toonvid.doctor.child_process import SubprocessCheck


@pytest.mark.parametrize(
    ("place", "seconds", "words"),
    [
        ("hang", 1.0, "no answer within 1 seconds"),
        ("crash", 20.0, "it crashed the process of this check (SIGSEGV)"),
        ("exit_at_once", 20.0, "exit code 7"),
        ("fail", 20.0, "OSError: libcudart.so.99: cannot open shared object file"),
        ("nowhere", 20.0, "AttributeError: module 'failing_checks' has no attribute 'nowhere'"),
    ],
)
def test_a_check_that_does_not_return_is_broken(
    place: str, seconds: float, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = os.pathsep.join(
        [str(Path(failing_checks_file).parent), os.environ.get("PYTHONPATH", "")]
    )
    monkeypatch.setenv("PYTHONPATH", path)
    check = SubprocessCheck("backends", "thing", f"failing_checks:{place}", seconds, "mend it")
    assert check() == [CheckResult("backends", "thing", "broken", words, "mend it")]


def test_output_of_libraries_is_not_taken_for_results(monkeypatch: pytest.MonkeyPatch) -> None:
    path = os.pathsep.join(
        [str(Path(failing_checks_file).parent), os.environ.get("PYTHONPATH", "")]
    )
    monkeypatch.setenv("PYTHONPATH", path)
    found = only(SubprocessCheck("backends", "thing", "failing_checks:print_and_return")())
    assert found == CheckResult(
        "backends", "printing", "ok", "message", facts={"n": 1, "names": ["ä"]}
    )
