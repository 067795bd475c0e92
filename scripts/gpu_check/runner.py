"""Run each step in a process of its own, with a time limit.

In: steps and settings. Out: rows, and a folder with the table, its values and the log. A step that
fails, crashes or takes too long costs no more than its own rows.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from gpu_check.report import NOT_RUN, Report, Row, format_table, one_line, read_rows
from gpu_check.rows import row_names
from gpu_check.steps import PARTS, STEPS, Settings, Step

LEAST_SECONDS = 8.0
"""A step with less time than this is not begun: importing PyTorch alone takes most of it."""
_GRACE_SECONDS = 3.0  # between the time that a step is told and the one at which it is killed


@dataclass(frozen=True)
class Environment:
    """How the processes of the steps are started."""

    site: Path | None
    """Folder of unpacked Python packages; None: those that are installed suffice."""

    def variables(self, settings: Settings) -> dict[str, str]:
        """Return the environment variables of a step."""
        scripts = Path(__file__).resolve().parents[1]
        paths = [str(scripts.parent), str(scripts), *([str(self.site)] if self.site else [])]
        before = os.environ.get("PYTHONPATH")
        return os.environ | {
            "PYTHONPATH": os.pathsep.join([*paths, *([before] if before else [])]),
            "PYTHONUNBUFFERED": "1",
            "XDG_CACHE_HOME": str(settings.work / "cache"),  # plans are built, not found
            # Where work is tiny, threads would only wait for each other.
            **({"OMP_NUM_THREADS": "1"} if settings.tiny else {}),
        }


def run_steps(
    steps: list[Step], settings: Settings, minutes: float, environment: Environment
) -> list[Row]:
    """Run steps one after the other, and write the results after each.

    Args:
        steps: Steps in order.
        settings: Settings of all steps; `seconds` is set here.
        minutes: Time for all steps together.
        environment: How processes are started.

    Returns:
        All rows: those of the steps, and what became of the steps that wrote none.
    """
    began = time.monotonic()
    found: dict[str, list[Row]] = {}
    try:
        for number, step in enumerate(steps):
            left = 60 * minutes - (time.monotonic() - began)
            seconds = time_for(step, left, sum(later.seconds for later in steps[number + 1 :]))
            found[step.name] = _run_step(step, settings, seconds, environment)
            rows = _all_rows(found)
            write_results(settings, rows, time.monotonic() - began)
    finally:  # an interruption too leaves a table
        rows = _all_rows(found)
        write_results(settings, rows, time.monotonic() - began)
        if settings.device == "cpu":
            print("The CPU stands in for the GPU: these figures try the script, and mean nothing.")
        print(format_table(rows, PARTS))
    return rows


def write_results(settings: Settings, rows: list[Row], seconds: float) -> None:
    """Write `results.json` and `table.md`."""
    out = settings.out
    values = {
        "device": settings.device,
        "seconds": round(seconds, 1),
        "rows": [asdict(row) for row in rows],
    }
    (out / "results.json").write_text(json.dumps(values, indent=1), encoding="utf-8")
    (out / "table.md").write_text(format_table(rows, PARTS), encoding="utf-8")


def empty_table() -> str:
    """Return the table before anything was measured."""
    return format_table(_all_rows({}), PARTS)


def time_for(step: Step, left: float, reserved: float) -> float:
    """Return how long a step may take, in seconds.

    Args:
        step: The step.
        left: Time left for it and all later steps.
        reserved: Time that the later steps may take in any case.
    """
    return min(left, max(step.seconds, min(step.longest, left - reserved)))


def _run_step(
    step: Step, settings: Settings, seconds: float, environment: Environment
) -> list[Row]:
    """Run one step; return its rows, and a reason for each one that it did not write."""
    expected = row_names(step.module, step.variant)
    if seconds < LEAST_SECONDS:
        return [Row(step.part, name, "skipped: no time left") for name in expected]
    print(f"{step.name}: up to {seconds:.0f} s", flush=True)
    began = time.monotonic()
    jsonl = settings.work / f"{step.name.replace(' ', '_').replace(':', '-')}.jsonl"
    problem = _run_process(step, replace(settings, seconds=seconds), jsonl, environment)
    rows = read_rows(jsonl)
    took = time.monotonic() - began
    print(f"{step.name}: {took:.0f} s{', ' + problem if problem else ''}", flush=True)
    written = {row.name: row for row in rows}
    missing = problem or "skipped: no time left"
    return [written.get(name, Row(step.part, name, missing)) for name in expected]


def _run_process(step: Step, settings: Settings, jsonl: Path, environment: Environment) -> str:
    """Run the process of a step; return why it failed, empty if it did not."""
    command = [
        *(sys.executable, str(Path(__file__).with_name("__main__.py"))),
        *("--step", step.name, "--rows", str(jsonl), "--out", str(settings.out)),
        *("--work", str(settings.work), "--device", settings.device),
        *("--seconds", str(settings.seconds), "--training-minutes", str(settings.training_minutes)),
        *(["--tiny"] if settings.tiny else []),
        *(["--data", str(settings.data)] if settings.data else []),
    ]
    log_path = settings.out / "log.txt"
    with log_path.open("ab") as log:
        log.write(f"\n===== {step.name}\n".encode())
        log.flush()
        start = log.tell()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment.variables(settings),
            start_new_session=True,
        )
        try:
            code = process.wait(settings.seconds + _GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            return f"stopped after {settings.seconds:.0f} s"
        finally:
            _end_group(process)
    if code == 0:
        return ""
    with log_path.open("rb") as log:
        log.seek(start)
        said = log.read().decode(errors="replace").strip().splitlines()
    reason = one_line(said[-1]) if said else "it said nothing"
    if reason.startswith(("ModuleNotFoundError", "ImportError")):
        return f"skipped: {reason}"
    ended = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    return f"failed with {ended}: {reason}"


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End a step and whatever it started, which have a process group of their own."""
    if sys.platform == "win32":
        end = ["taskkill", "/T", "/F", "/PID", str(process.pid)]
        subprocess.run(end, capture_output=True, check=False)
    else:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _all_rows(found: dict[str, list[Row]]) -> list[Row]:
    """Return the rows of all steps in their order; those of steps that were not run are empty."""
    rows = []
    for step in STEPS:
        names = row_names(step.module, step.variant) if step.name not in found else []
        rows += found.get(step.name) or [Row(step.part, name, NOT_RUN) for name in names]
    return rows


def run_in_this_process(step: Step, settings: Settings, jsonl: Path) -> None:
    """Run a step here: what the process of a step does."""
    step.load().run(settings, Report(jsonl, step.part), step.variant)
