"""A run's folder belongs to one config, and is recognized by its record."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from toonvid.errors import TrainingError
from trainer.config import OLD_OPTION_NAMES, TrainConfig, change_config
from trainer.training.run_folder import Run, Sources
from trainer.training.state_file import SavedState, save_state


def test_the_same_config_resumes_a_run(tmp_path: Path, photos: Path, config: TrainConfig) -> None:
    run = Run(tmp_path / "run")
    run.claim("lite", config, Sources(photos))
    save_state(run.states, SavedState(1, {}))
    run.claim("lite", replace(config, save_every=9, sheet_every=9), Sources(photos))
    assert run.record().config == replace(config, save_every=9, sheet_every=9)
    assert run.record().preset == "lite"


def test_options_that_may_change_are_recorded(
    tmp_path: Path, photos: Path, config: TrainConfig
) -> None:
    run = Run(tmp_path / "run")
    run.claim("lite", config, Sources(photos))
    save_state(run.states, SavedState(1, {}))
    run.claim("lite", replace(config, gradient_checkpointing=True), Sources(photos))
    assert run.record().config.gradient_checkpointing


def test_a_run_whose_states_were_removed_begins_again(
    tmp_path: Path, photos: Path, config: TrainConfig
) -> None:
    run = Run(tmp_path / "run")
    run.claim("lite", config, Sources(photos))
    run.states.rmdir()
    run.claim("lite", config, Sources(photos))
    assert run.states.is_dir()


def test_a_run_without_a_state_may_change_its_config(
    tmp_path: Path, photos: Path, config: TrainConfig
) -> None:
    run = Run(tmp_path)
    run.claim("lite", config, Sources(tmp_path / "mistyped"))
    run.claim("lite", replace(config, seed=9), Sources(photos))
    assert run.record().config.seed == 9
    assert run.record().photos == str(photos)


def test_another_config_is_refused_and_the_differences_are_named(
    tmp_path: Path, photos: Path, config: TrainConfig
) -> None:
    run = Run(tmp_path)
    run.claim("lite", config, Sources(photos))
    save_state(run.states, SavedState(1, {}))
    before = (tmp_path / "run.json").read_bytes()
    other = replace(config, seed=9, frame_heights=(48,))
    with pytest.raises(TrainingError, match="a run with another seed, frame_heights: give it"):
        run.claim("lite", other, Sources(photos))
    with pytest.raises(TrainingError, match="a run with another photos: give it"):
        run.claim("lite", config, Sources(tmp_path))
    weights = tmp_path / "weights"
    weights.touch()
    with pytest.raises(TrainingError, match="a run with another content_weights: give it"):
        run.claim("lite", config, Sources(photos, content_weights=weights))
    assert (tmp_path / "run.json").read_bytes() == before


def test_a_run_may_get_more_steps_where_its_learning_rate_does_not_fall(
    tmp_path: Path, photos: Path, both_phases: TrainConfig
) -> None:
    run, sources = Run(tmp_path / "run"), Sources(photos, photos)
    run.claim("lite", both_phases, sources)
    save_state(run.states, SavedState(both_phases.steps, {}))
    assert run.is_finished()
    assert run.record().lengthening_option() == "--adversarial-steps"
    longer = change_config(both_phases, ["adversarial.steps=9"])
    run.claim("lite", longer, sources)
    assert run.record().config == longer
    assert not run.is_finished()
    for setting in ("adversarial.steps=8", "initialization.steps=5"):
        with pytest.raises(TrainingError, match="--start-from takes over the generator"):
            run.claim("lite", change_config(longer, [setting]), sources)
    with pytest.raises(TrainingError, match=r"another adversarial.steps, seed: .*of its own$"):
        run.claim("lite", change_config(longer, ["adversarial.steps=10", "seed=4"]), sources)
    assert run.record().config == longer


def test_a_run_whose_learning_rate_falls_to_0_gets_no_more_steps(
    tmp_path: Path, photos: Path, config: TrainConfig
) -> None:
    run = Run(tmp_path / "run")
    run.claim("lite", config, Sources(photos))
    save_state(run.states, SavedState(config.steps, {}))
    assert config.initialization.learning_rate_schedule == "cosine"
    assert run.record().lengthening_option() is None
    with pytest.raises(TrainingError, match="not where its learning rate falls to 0"):
        longer = change_config(config, ["initialization.steps=9"])
        run.claim("lite", longer, Sources(photos))


def test_a_folder_that_cannot_be_written_is_an_error(
    tmp_path: Path, photos: Path, config: TrainConfig
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TrainingError, match="cannot write to"):
        Run(tmp_path / "file" / "run").claim("lite", config, Sources(photos))


def test_missing_content_weights_are_named(
    tmp_path: Path, photos: Path, config: TrainConfig
) -> None:
    sources = Sources(photos, content_weights=tmp_path / "missing.safetensors")
    with pytest.raises(TrainingError, match=r"cannot read .*missing"):
        Run(tmp_path).claim("lite", config, sources)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"config": {"pace": 1}}'])
def test_a_run_file_of_another_program_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(TrainingError, match=r"run\.json is not a run of this toonvid"):
        Run(tmp_path).record()


def test_a_missing_option_in_a_record_is_not_filled_in(
    tmp_path: Path, photos: Path, config: TrainConfig
) -> None:
    run = Run(tmp_path)
    run.claim("lite", config, Sources(photos))
    record = json.loads((tmp_path / "run.json").read_text())
    del record["config"]["seed"]
    (tmp_path / "run.json").write_text(json.dumps(record))
    with pytest.raises(TrainingError, match="not a run of this toonvid: no seed"):
        run.record()


def test_a_folder_without_a_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="is not a training run"):
        Run(tmp_path).record()


def test_a_record_of_an_earlier_version_is_read(
    tmp_path: Path, photos: Path, config: TrainConfig
) -> None:
    run = Run(tmp_path)
    run.claim("lite", config, Sources(photos))
    save_state(run.states, SavedState(1, {}))
    record = json.loads((tmp_path / "run.json").read_text())
    values = record["config"]
    for old, new in OLD_OPTION_NAMES.items():
        for owner in (values, values["initialization"], values["adversarial"]):
            if new in owner:
                owner[old] = owner.pop(new)
    values |= {"content_target": "abstraction", "discriminator_sees": "colour"}
    values["adversarial"]["fall"] = "none"
    (tmp_path / "run.json").write_text(json.dumps(record))
    assert run.record().config == config
    run.claim("lite", config, Sources(photos))  # the same run: nothing differs
