"""Networks are warm-started from other runs, and exported from the EMA."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from toonvid.errors import TrainingError
from trainer.config import TrainConfig, change_config
from trainer.presets import PRESETS
from trainer.training.run_folder import Run, Sources
from trainer.training.state import create_state, load_trained_generator
from trainer.training.state_file import SavedState, load_newest_state, save_state
from trainer.training.train import train


def test_a_run_can_be_warm_started_from_another(
    tmp_path: Path, photos: Path, cartoons: Path, trained: Run, both_phases: TrainConfig
) -> None:
    config = change_config(
        both_phases, ["initialization.steps=0", "adversarial.warmup_steps=1000000"]
    )
    run, sources = Run(tmp_path / "run"), Sources(photos, cartoons, start_from=trained.folder)
    run.claim("lite", config, sources)
    train(run, config, sources)
    ours, _ = load_trained_generator(run.states, config)
    theirs, _ = load_trained_generator(trained.states, config)
    torch.testing.assert_close(ours.enter.weight, theirs.enter.weight, atol=1e-6, rtol=0)
    newest = max(trained.states.glob("state-*.pt"))
    assert run.record().start_sha256 == hashlib.sha256(newest.read_bytes()).hexdigest()


def test_a_generator_of_another_size_is_refused(
    tmp_path: Path, photos: Path, trained: Run, config: TrainConfig
) -> None:
    run, sources = Run(tmp_path / "run"), Sources(photos, start_from=trained.folder)
    run.claim("lite", config, sources)
    with pytest.raises(TrainingError, match="has another generator than this run's config"):
        train(run, replace(config, width=12), sources)


def test_weights_statistics_and_the_ema_have_to_be_finite(photos: Path) -> None:
    tiny = ("width=8", "blocks=1", "discriminator_width=4", "adversarial.content_weight=0")
    config = change_config(
        PRESETS["paper"],
        [*tiny, "initialization.pixel_weight=1", "initialization.content_weight=0"],
    )
    state = create_state(config, None, torch.device("cpu"))
    assert state.has_finite_weights()
    assert state.discriminator
    for network in (state.generator.network, state.discriminator.network, state.ema):
        statistics = dict(network.named_buffers())
        variance = next(name for name in statistics if name.endswith("running_var"))
        for values in (next(network.parameters()).data, statistics[variance]):
            kept = values.clone()
            values.fill_(torch.nan)
            assert not state.has_finite_weights()
            values.copy_(kept)
    assert state.has_finite_weights()


def test_the_exported_weights_are_the_ema(trained: Run, config: TrainConfig) -> None:
    generator, step = load_trained_generator(trained.states, config)
    assert step == config.steps
    state = load_newest_state(trained.states)
    assert state is not None
    torch.testing.assert_close(
        generator.enter.weight, state.values["ema"]["module.enter.weight"], atol=0, rtol=0
    )
    trained_weight = state.values["generator"]["network"]["enter.weight"]
    assert not torch.equal(generator.enter.weight, trained_weight)


def test_a_run_without_a_training_state_has_no_generator(
    tmp_path: Path, photos: Path, config: TrainConfig
) -> None:
    Run(tmp_path).claim("lite", config, Sources(photos))
    with pytest.raises(TrainingError, match="has no training state yet"):
        load_trained_generator(Run(tmp_path).states, config)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"ema": 5},
        {"ema": {}, "generator": {"network": 5, "scaler": None, "optimizer": None}},
        {"generator": [], "memory": None, "random": "x", "rollbacks": None},
    ],
)
def test_a_whole_state_of_another_run_ends_with_one_line(
    values: dict[str, object], tmp_path: Path, photos: Path, config: TrainConfig
) -> None:
    run = Run(tmp_path / "run")
    run.claim("lite", config, Sources(photos))
    run.states.mkdir(parents=True, exist_ok=True)
    save_state(run.states, SavedState(1, values))  # type: ignore[arg-type]
    with pytest.raises(TrainingError, match="does not fit the run's config") as refused:
        train(run, config, Sources(photos))
    assert "\n" not in str(refused.value)
    with pytest.raises(TrainingError, match="is one of another generator than the run's"):
        load_trained_generator(run.states, config)
