"""The log of a run holds each step once, also after a resume or a rollback."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

from trainer.training.run_folder import Run
from trainer.training.run_log import RunLog


def logged_steps(run: Run) -> list[tuple[int, float]]:
    lines = [json.loads(line) for line in run.stats.read_text().splitlines()]
    return [(line["step"], line["pixel"]) for line in lines]


def test_a_resumed_log_holds_each_step_once(tmp_path: Path) -> None:
    run = Run(tmp_path)
    with closing(RunLog(run, 0)) as log:
        for step in (1, 2, 3):
            log.write(step, "initialization", {"pixel": 1.0})
    with run.stats.open("a") as file:
        file.write('{"step": 4, "pi')  # cut off by a crash
    with closing(RunLog(run, 2)) as log:
        log.write(3, "initialization", {"pixel": 2.0})
    assert logged_steps(run) == [(1, 1.0), (2, 1.0), (3, 2.0)]
    assert list(run.tensorboard.iterdir())


def test_a_log_is_rewound_for_a_rollback(tmp_path: Path) -> None:
    run = Run(tmp_path)
    with closing(RunLog(run, 0)) as log:
        for step in (1, 2, 3):
            log.write(step, "initialization", {"pixel": 1.0})
        log.rewind(1)
        log.write(2, "initialization", {"pixel": 2.0})
    assert logged_steps(run) == [(1, 1.0), (2, 2.0)]
