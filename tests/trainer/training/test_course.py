"""A run that went wrong goes back to its last good state with a lower rate, and says so."""

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
from trainer.training.phases import Lesson
from trainer.training.run_folder import Run, Sources
from trainer.training.state_file import load_newest_state
from trainer.training.train import train


def spoil(monkeypatch: pytest.MonkeyPatch, calls_to_spoil: set[int]) -> None:
    """Let losses and gradients become NaN at some calls, from 1, of the generator's step."""
    true = trainer.training.train.generator_gradients
    calls = 0

    def spoiled(game: object, lesson: Lesson, micro_batch: int) -> object:
        nonlocal calls
        calls += 1
        terms, generated = true(game, lesson, micro_batch)
        if calls in calls_to_spoil:
            terms = {name: term * math.nan for name, term in terms.items()}
            with torch.no_grad():
                for parameter in game.generator.network.parameters():
                    parameter.grad.fill_(math.nan)
        return terms, generated

    monkeypatch.setattr(trainer.training.train, "generator_gradients", spoiled)


def lines_of(run: Run) -> list[dict[str, object]]:
    return [json.loads(line) for line in run.stats.read_text().splitlines()]


@pytest.mark.parametrize("call", [1, 4])
def test_a_run_goes_on_from_its_last_good_state_with_half_the_rate(
    tmp_path: Path,
    photos: Path,
    cartoons: Path,
    both_phases: TrainConfig,
    monkeypatch: pytest.MonkeyPatch,
    call: int,
) -> None:
    spoil(monkeypatch, {call})
    run, sources = Run(tmp_path / "run"), Sources(photos, cartoons)
    run.claim("lite", both_phases, sources)
    assert train(run, both_phases, sources).step == both_phases.steps
    (event,) = [line for line in lines_of(run) if "event" in line]
    back = (call - 1) // both_phases.save_every * both_phases.save_every
    assert event["step"] == back
    assert f"at step {call}; back to here with 0.5 of the learning rate" in str(event["event"])
    steps = [line["step"] for line in lines_of(run) if "event" not in line]
    assert steps == list(range(1, both_phases.steps + 1))
    state = load_newest_state(run.states)
    assert state is not None
    assert state.values["retreats"] == 1
    network = state.values["generator"]["network"]
    assert all(value.isfinite().all() for value in network.values())


def test_the_lower_rate_is_kept_by_a_resumed_run(
    tmp_path: Path, photos: Path, config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, {5})
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


def test_it_gives_up_after_three_times(
    tmp_path: Path, photos: Path, config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, set(range(3, 99)))
    run, sources = Run(tmp_path / "run"), Sources(photos)
    run.claim("lite", config, sources)
    with pytest.raises(TrainingError, match="became nan at step 3, after going back 3 times"):
        train(run, config, sources)
    assert load_newest_state(run.states).step == 2


def test_weights_that_are_no_numbers_are_not_saved(
    tmp_path: Path, photos: Path, config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    true = trainer.training.train.generator_gradients

    def overflow(game: object, lesson: Lesson, micro_batch: int) -> object:
        made = true(game, lesson, micro_batch)
        next(game.generator.network.parameters()).grad.fill_(math.inf)
        return made

    monkeypatch.setattr(trainer.training.train, "generator_gradients", overflow)
    run, sources = Run(tmp_path / "run"), Sources(photos)
    run.claim("lite", replace(config, log_every=100), sources)
    with pytest.raises(TrainingError, match="no number any more at step"):
        train(run, replace(config, save_every=1, log_every=100), sources)
    assert load_newest_state(run.states) is None


def test_alarms_are_logged(
    tmp_path: Path, photos: Path, config: TrainConfig, caplog: pytest.LogCaptureFixture
) -> None:
    still = replace(config.initialization, learning_rate=1e-12, steps=6)
    run, sources = Run(tmp_path / "run"), Sources(photos)
    config = replace(config, initialization=still)
    run.claim("lite", config, sources)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trainer.training.monitors.EQUAL_LEVELS", 100.0)
        train(run, config, sources)
    assert "the cartoons equal their photos" in caplog.text
    assert any("equal their photos" in str(line.get("event")) for line in lines_of(run))


def test_figures_tell_losses_rate_speed_and_memory(
    tmp_path: Path, photos: Path, cartoons: Path, both_phases: TrainConfig
) -> None:
    run, sources = Run(tmp_path / "run"), Sources(photos, cartoons, heldout=photos)
    run.claim("lite", both_phases, sources)
    train(run, both_phases, sources)
    last = lines_of(run)[-1]
    assert last["phase"] == "adversarial"
    names = {"pixel", "adversarial", "discriminator", "colour", "stability", "learning_rate"}
    assert last.keys() >= names | {"pictures_per_second", "memory_mb", "levels_from_photo"}
    written = b"".join(path.read_bytes() for path in run.tensorboard.iterdir())
    for name in (b"discriminator", b"memory_mb", b"held-out", b"PNG"):
        assert name in written
