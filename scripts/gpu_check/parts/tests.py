"""The tests marked `gpu`, by what they need; a missing GPU fails them.

On the CPU, the tests of the simulated GPU run in their place.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

from gpu_check.report import Report, one_line
from gpu_check.rows import TEST_GROUPS
from gpu_check.steps import Settings

_ROOT = Path(__file__).resolve().parents[3]
_MARK = "pytest.mark.gpu"
_FAILURES_SHOWN = 12
_SIMULATED = "backends/tensorrt/test_backend.py"


def run(settings: Settings, report: Report, variant: str) -> None:
    """Run the tests, and write a row for each group."""
    log = settings.work / "test-log.jsonl"
    on_gpu = settings.device == "cuda"
    files = _files_with_gpu_tests() if on_gpu else [f"tests/toonvid/{_SIMULATED}"]
    command = [sys.executable, "-m", "pytest", *files, "-q", "-p", "gpu_check.pytest_log"]
    # Other versions of libraries warn of other things, which is no failure here.
    command += ["-p", "no:cacheprovider", "-W", "default", "-o", "addopts="]
    command += ["--import-mode=importlib", *(["-m", "gpu"] if on_gpu else ["-x"])]
    variables = {"TOONVID_TEST_LOG": str(log), "TOONVID_REQUIRE_GPU": "1" if on_gpu else "0"}
    ended = ""
    try:
        done = subprocess.run(
            command, cwd=_ROOT, env=os.environ | variables, timeout=settings.seconds - 3
        )
        ended = "" if done.returncode in (0, 1) else f"; pytest ended with {done.returncode}"
    except subprocess.TimeoutExpired:
        ended = "; stopped, no time left"
    lines = log.read_text(encoding="utf-8").splitlines() if log.is_file() else []
    results = [json.loads(line) for line in lines]
    for group, file in TEST_GROUPS.items():
        own = [result for result in results if file in result["test"] or not on_gpu]
        _report_group(report, group, own, ended)


def _report_group(report: Report, group: str, results: list[dict[str, str]], ended: str) -> None:
    counts = Counter(result["outcome"] for result in results)
    text = ", ".join(f"{counts[outcome]} {outcome}" for outcome in ("passed", "failed", "skipped"))
    problems = [result for result in results if result["outcome"] != "passed"]
    reasons = [
        f"{result['test'].partition('::')[2]}: {one_line(result['reason'], 160)}"
        for result in sorted(problems, key=lambda result: result["outcome"])
    ]
    shown = "; ".join(reasons[:_FAILURES_SHOWN])
    report.add(group, text + ended + (f": {shown}" if shown else ""), tests=results)


def _files_with_gpu_tests() -> list[str]:
    """List the files with such tests, so that others, which need more packages, are not read."""
    paths = sorted((_ROOT / "tests").rglob("test_*.py"))
    found = [path for path in paths if _MARK in path.read_text(encoding="utf-8")]
    return [str(path.relative_to(_ROOT)) for path in found if "scripts" not in path.parts]
