"""The learning rate follows its schedule, and actions are due at their intervals."""

from __future__ import annotations

from dataclasses import replace

import pytest

from trainer.config import TrainConfig
from trainer.training.schedule import DueActions, due_after, learning_rate


def test_the_learning_rate_rises_and_then_decays_to_zero(config: TrainConfig) -> None:
    phase = replace(config.initialization, steps=100, warmup_steps=10, learning_rate=1.0)
    rates = [learning_rate(phase, step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] > 0.95
    assert rates[9:] == sorted(rates[9:], reverse=True)
    assert rates[-1] < 0.001
    assert learning_rate(replace(phase, learning_rate_schedule="constant"), 99) == 1.0
    linear = replace(phase, learning_rate_schedule="linear", warmup_steps=1)
    assert [learning_rate(linear, step) for step in (0, 50, 75)] == [1.0, 1.0, 0.5]
    assert learning_rate(linear, 99) == pytest.approx(0.02)
    assert learning_rate(phase, 9, rollbacks=2) == rates[9] / 4


def test_actions_are_due_at_their_intervals(both_phases: TrainConfig) -> None:
    config = replace(both_phases, log_every=2, sheet_every=4, save_every=3)
    nothing = DueActions(log=False, draw_sheet=False, save=False, save_initialized=False)
    assert due_after(config, 1, stopping=False) == nothing
    assert due_after(config, 2, stopping=False) == replace(nothing, log=True)
    assert due_after(config, 3, stopping=False) == replace(
        nothing, save=True, save_initialized=True
    )
    assert due_after(config, 4, stopping=False) == replace(nothing, log=True, draw_sheet=True)


def test_everything_is_due_at_the_end_and_when_a_run_is_stopped(both_phases: TrainConfig) -> None:
    config = replace(both_phases, log_every=99, sheet_every=99, save_every=99)
    everything = DueActions(log=True, draw_sheet=True, save=True, save_initialized=False)
    assert due_after(config, config.steps, stopping=False) == everything
    assert due_after(config, 2, stopping=True) == everything
