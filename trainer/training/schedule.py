"""Learning-rate schedule, and what is due after a training step.

In: a config and the index of a step. Out: the learning rate of the step, and whether the run logs,
draws a contact sheet or saves its state after it. Nothing here has a state of its own, so a resumed
run follows the same schedule as an uninterrupted one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from trainer.config import PhaseConfig, TrainConfig

ROLLBACK_FACTOR = 0.5
"""Factor on the learning rate for each rollback after a divergence."""


def learning_rate(phase: PhaseConfig, step: int, rollbacks: int = 0) -> float:
    """Learning rate of a step: linear warmup, then constant, half a cosine or a line to 0.

    Args:
        phase: Config of the phase.
        step: Index of the step in the phase, from 0.
        rollbacks: Number of rollbacks of the run so far.
    """
    warmup = min(1.0, (step + 1) / phase.warmup_steps)
    decay = 1.0
    if phase.learning_rate_schedule == "cosine":
        # The cosine spans the whole phase, warmup included: the warmup is short.
        decay = (1 + math.cos(math.pi * step / phase.steps)) / 2
    elif phase.learning_rate_schedule == "linear":
        # As in CycleGAN: 1 up to half of the phase, then down to 0.
        decay = min(1.0, 2 * (1 - step / phase.steps))
    return phase.learning_rate * warmup * decay * ROLLBACK_FACTOR**rollbacks


@dataclass(frozen=True)
class DueActions:
    """What a run does after a step."""

    log: bool
    """Whether the losses are logged."""
    draw_sheet: bool
    """Whether a contact sheet is drawn."""
    save: bool
    """Whether the training state is saved."""
    save_initialized: bool
    """Whether the step ends the initialization phase and another phase follows: the state is then
    kept for good, for other runs to start from."""


def due_after(config: TrainConfig, steps_done: int, stopping: bool) -> DueActions:
    """Determine what is due after a step.

    Args:
        config: Config of the run.
        steps_done: Number of steps done, this one included.
        stopping: Whether the run stops here; everything is due then, as after the last step.
    """
    ending = stopping or steps_done == config.steps
    return DueActions(
        log=ending or steps_done % config.log_every == 0,
        draw_sheet=ending or steps_done % config.sheet_every == 0,
        save=ending or steps_done % config.save_every == 0,
        save_initialized=steps_done == config.initialization.steps < config.steps,
    )
