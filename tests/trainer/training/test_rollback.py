"""A run that diverges is rolled back to its last good state, with a lower learning rate."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import trainer.training.train
from toonvid.errors import TrainingError
from trainer.config import TrainConfig
from trainer.training.run_folder import Run, Sources
from trainer.training.state_file import load_newest_state
from trainer.training.step_inputs import StepInputs
from trainer.training.train import train


def make_nan(monkeypatch: pytest.MonkeyPatch, failing_calls: set[int]) -> None:
    """Make losses and gradients NaN in some calls, counted from 1, of the generator's step."""
    original = trainer.training.train.generator_gradients
    calls = 0

    def patched(state: object, inputs: StepInputs, micro_batch: int) -> object:
        nonlocal calls
        calls += 1
        losses, generated = original(state, inputs, micro_batch)
        if calls in failing_calls:
            losses = {name: loss * math.nan for name, loss in losses.items()}
            with torch.no_grad():
                for parameter in state.generator.network.parameters():
                    parameter.grad.fill_(math.nan)
        return losses, generated

    monkeypatch.setattr(trainer.training.train, "generator_gradients", patched)


def lines_of(run: Run) -> list[dict[str, object]]:
    return [json.loads(line) for line in run.stats.read_text().splitlines()]


@pytest.mark.parametrize("call", [1, 4])
def test_a_divergence_is_rolled_back_to_the_last_good_state_at_half_the_learning_rate(
    tmp_path: Path,
    photos: Path,
    cartoons: Path,
    both_phases: TrainConfig,
    monkeypatch: pytest.MonkeyPatch,
    call: int,
) -> None:
    make_nan(monkeypatch, {call})
    run, sources = Run(tmp_path / "run"), Sources(photos, cartoons)
    run.claim("lite", both_phases, sources)
    assert train(run, both_phases, sources).step == both_phases.steps
    (event,) = [line for line in lines_of(run) if "event" in line]
    restored = (call - 1) // both_phases.save_every * both_phases.save_every
    assert event["step"] == restored
    assert f"at step {call}; rolled back to here with 0.5 of the learning rate" in str(
        event["event"]
    )
    steps = [line["step"] for line in lines_of(run) if "event" not in line]
    assert steps == list(range(1, both_phases.steps + 1))
    state = load_newest_state(run.states)
    assert state is not None
    assert state.values["rollbacks"] == 1
    network = state.values["generator"]["network"]
    assert all(value.isfinite().all() for value in network.values())


def test_a_resumed_run_keeps_the_lower_learning_rate(
    tmp_path: Path, photos: Path, config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_nan(monkeypatch, {5})
    run, sources = Run(tmp_path / "run"), Sources(photos)
    run.claim("lite", config, sources)
    train(run, config, sources, should_stop=lambda: "event" in run.stats.read_text())
    state = load_newest_state(run.states)
    assert state is not None and state.step < config.steps
    train(run, config, sources)
    last = lines_of(run)[-1]
    rates = [line["learning_rate"] for line in lines_of(run) if "event" not in line]
    assert last["step"] == config.steps
    assert rates[-1] < rates[3]


def test_a_fourth_divergence_ends_the_run(
    tmp_path: Path, photos: Path, config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_nan(monkeypatch, set(range(3, 99)))
    run, sources = Run(tmp_path / "run"), Sources(photos)
    run.claim("lite", config, sources)
    with pytest.raises(TrainingError, match="became nan at step 3, after 3 rollbacks"):
        train(run, config, sources)
    assert load_newest_state(run.states).step == 2


def test_weights_that_are_not_finite_are_not_saved(
    tmp_path: Path, photos: Path, config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = trainer.training.train.generator_gradients

    def overflow(state: object, inputs: StepInputs, micro_batch: int) -> object:
        result = original(state, inputs, micro_batch)
        next(state.generator.network.parameters()).grad.fill_(math.inf)
        return result

    monkeypatch.setattr(trainer.training.train, "generator_gradients", overflow)
    run, sources = Run(tmp_path / "run"), Sources(photos)
    run.claim("lite", replace(config, log_every=100), sources)
    with pytest.raises(TrainingError, match="no longer finite at step"):
        train(run, replace(config, save_every=1, log_every=100), sources)
    assert load_newest_state(run.states) is None
