"""What each of two processes does for the tests: it trains the runs of a file, one after another.

Started by `support.torchrun`, with a pickled list of `Scenario`.
"""

from __future__ import annotations

import math
import pickle
import sys
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
import torch
from torch import Tensor

import trainer.training.train as training
from toonvid.errors import TrainingError
from trainer.config import TrainConfig
from trainer.data import dataset
from trainer.training.processes import Processes, join_processes
from trainer.training.run_folder import Run, Sources
from trainer.training.state import TrainingState

FAULTY_CALLS = {"nan": 2, "infinite": 5}
"""Fault -> call of the generator's step that has it. In the first calls at float16, gradients
overflow without a fault, until their scale is low enough."""
COLOR_CROPS = 8
"""Crops on which colors are measured: fewer than in earnest, where they take longer than a run."""
TIMEOUT = timedelta(seconds=8)
"""Time that the first process waits for one that hangs."""


@dataclass(frozen=True)
class Scenario:
    """A run of both processes, and what goes wrong in the second one."""

    folder: Path
    config: TrainConfig
    sources: Sources
    stop_after: int | None = None
    """Step after which the second process, and no other, is asked to stop."""
    fault: str | None = None
    """`memory`: more than one image does not fit. `nan`: gradients become NaN, once. `infinite`:
    they become infinite, once."""


def main(file: str) -> None:
    """Train the runs of a file; with `hang` instead, see `wait_in_vain`."""
    if file == "hang":
        wait_in_vain()
        return
    torch.set_num_threads(1)
    with join_processes("cpu") as processes:
        for scenario in pickle.loads(Path(file).read_bytes()):
            train_one(scenario, processes)


def train_one(scenario: Scenario, processes: Processes) -> None:
    """Train a run, and write the weights that this process has at its end."""
    index, states, steps = processes.share.index, [], []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dataset, "COLOR_CROPS", COLOR_CROPS)
        create = training.create_state
        patch.setattr(training, "create_state", lambda *a: states.append(create(*a)) or states[-1])
        if scenario.fault and index == 1:
            patch.setattr(training, "generator_gradients", faulty(scenario.fault))
        run = Run(scenario.folder)
        processes.from_first(lambda: run.claim("lite", scenario.config, scenario.sources))
        training.train(
            run,
            scenario.config,
            scenario.sources,
            on_progress=lambda progress: steps.append(progress.step),
            should_stop=lambda: index == 1 and steps[-1] + 1 == scenario.stop_after,
            processes=processes,
        )
    (state,) = states
    torch.save(dict(state.capture().values), scenario.folder / f"process-{index}.pt")


def faulty(fault: str) -> object:
    """Make a `generator_gradients` with a fault."""
    original, calls = training.generator_gradients, []

    def compute(state: TrainingState, inputs: object, micro_batch: int) -> tuple[object, Tensor]:
        if fault == "memory" and micro_batch > 1:
            raise torch.OutOfMemoryError("out of memory")
        losses, generated = original(state, inputs, micro_batch)
        calls.append(micro_batch)
        if len(calls) == FAULTY_CALLS.get(fault):
            value = math.nan if fault == "nan" else math.inf
            next(state.generator.network.parameters()).grad.fill_(value)
            if fault == "nan":
                losses = {name: loss * value for name, loss in losses.items()}
        return losses, generated

    return compute


def wait_in_vain() -> None:
    """Have the processes differ, then the second sleep where the first waits for it.

    The first prints the errors that it gets.
    """
    with join_processes("cpu", step_timeout=TIMEOUT) as processes:
        try:
            processes.check_equal("numbers", processes.share.index)
        except TrainingError as error:
            if processes.is_first:
                print(f"got: {error}", flush=True)
        if processes.any(not processes.is_first) and processes.is_first:
            try:
                processes.any(False)
            except TrainingError as error:
                print(f"got: {error}", flush=True)
                raise SystemExit(5) from None
        time.sleep(600)


if __name__ == "__main__":
    main(sys.argv[1])
