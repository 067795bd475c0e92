"""A run's folder belongs to one config, and its log holds each step once."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from toonvid.errors import TrainingError
from trainer.config import TrainConfig
from trainer.training.run_folder import Run, Sources
from trainer.training.run_log import RunLog
from trainer.training.state_file import TrainingState, save_state


def test_the_same_config_may_go_on(tmp_path: Path, photos: Path, config: TrainConfig) -> None:
    run = Run(tmp_path / "run")
    run.claim("lite", config, Sources(photos))
    save_state(run.states, TrainingState(1, {}))
    run.claim("lite", replace(config, save_every=9, sheet_every=9), Sources(photos))
    assert run.record().config == config
    assert run.record().preset == "lite"


def test_a_run_that_never_began_may_change_its_config(
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
    save_state(run.states, TrainingState(1, {}))
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


def test_a_folder_that_cannot_be_written_is_an_error(
    tmp_path: Path, photos: Path, config: TrainConfig
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TrainingError, match="cannot write to"):
        Run(tmp_path / "file" / "run").claim("lite", config, Sources(photos))


def test_content_weights_that_are_not_there_are_named(
    tmp_path: Path, photos: Path, config: TrainConfig
) -> None:
    sources = Sources(photos, content_weights=tmp_path / "missing.safetensors")
    with pytest.raises(TrainingError, match=r"cannot read .*missing"):
        Run(tmp_path).claim("lite", config, sources)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"config": {"pace": 1}}'])
def test_a_foreign_run_file_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(TrainingError, match=r"run\.json is not a run of this toonvid"):
        Run(tmp_path).record()


def test_a_run_of_a_toonvid_with_fewer_options_is_not_guessed_at(
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


def test_a_resumed_log_holds_each_step_once(tmp_path: Path) -> None:
    run = Run(tmp_path)
    with closing(RunLog(run, 0)) as log:
        for step in (1, 2, 3):
            log.write(step, "initialization", {"pixel": 1.0})
    with run.stats.open("a") as file:
        file.write('{"step": 4, "pi')  # cut off by a crash
    with closing(RunLog(run, 2)) as log:
        log.write(3, "initialization", {"pixel": 2.0})
    lines = [json.loads(line) for line in run.stats.read_text().splitlines()]
    assert [(line["step"], line["pixel"]) for line in lines] == [(1, 1.0), (2, 1.0), (3, 2.0)]
    assert list(run.tensorboard.iterdir())
