"""Checks that fail in different ways, for tests of the doctor."""

from __future__ import annotations

import os
import signal
import time

from toonvid.doctor.check_result import CheckResult


def hang() -> list[CheckResult]:
    time.sleep(600)
    return []


def crash() -> list[CheckResult]:
    os.kill(os.getpid(), signal.SIGSEGV)
    return []


def exit_at_once() -> list[CheckResult]:
    os._exit(7)


def fail() -> list[CheckResult]:
    raise OSError("libcudart.so.99: cannot open shared object file")


def print_and_return() -> list[CheckResult]:
    """Print to standard output, where the results go, as C libraries do."""
    os.write(1, b"Could not load library\n")
    print("A warning")
    return [CheckResult("backends", "printing", "ok", "message", facts={"n": 1, "names": ["ä"]})]
