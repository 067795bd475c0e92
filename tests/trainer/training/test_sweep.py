"""A sweep trains short runs that differ in one option, and draws a sheet of them."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest

from toonvid.errors import TrainingError
from trainer.config import TrainConfig
from trainer.device import Machine
from trainer.training.run_folder import Sources
from trainer.training.sweep import parse_sweep, run_sweep, write_sweep_sheet


def test_an_option_of_both_phases_is_set_in_both(both_phases: TrainConfig) -> None:
    first, second = parse_sweep("pixel-weight=0.5,4", both_phases, max_steps=2)
    assert (first.name, second.name) == ("pixel-weight=0.5", "pixel-weight=4")
    for run, weight in ((first, 0.5), (second, 4.0)):
        config = run.config
        assert config.initialization.pixel_weight == config.adversarial.pixel_weight == weight
        assert config.initialization.steps == config.adversarial.steps == 2


def test_an_option_of_one_phase_is_set_in_that_one(both_phases: TrainConfig) -> None:
    _, run = parse_sweep("adversarial.pixel_weight=1,9", both_phases, max_steps=9)
    assert run.config.adversarial.pixel_weight == 9
    assert run.config.initialization.pixel_weight == both_phases.initialization.pixel_weight
    assert run.config.steps == both_phases.steps


def test_an_option_may_have_its_old_name(both_phases: TrainConfig) -> None:
    first, _ = parse_sweep("colour-weight=0.5,4", both_phases, max_steps=2)
    assert first.name == "colour-weight=0.5"
    assert first.config.initialization.color_weight == first.config.adversarial.color_weight == 0.5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("content-weight", "write it like content-weight=0.25,1,4"),
        ("content-weight=1", "write it like content-weight=0.25,1,4"),
        ("taste=1,2", "no training option named 'taste'"),
        ("pixel-weight=1,much", "'much' is not a value of it"),
    ],
)
def test_a_wrong_argument_is_an_error(both_phases: TrainConfig, text: str, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        parse_sweep(text, both_phases, max_steps=2)


def test_the_sheet_has_a_row_for_each_value(
    tmp_path: Path, photos: Path, cartoons: Path, both_phases: TrainConfig
) -> None:
    runs = parse_sweep("pixel-weight=0.5,4", both_phases, max_steps=2)
    sources = Sources(photos, cartoons, heldout=photos)
    done = list(run_sweep(runs, "lite", sources, tmp_path, Machine(workers=1)))
    assert [progress.step for _, progress in done] == [4, 4]
    sheet = cv2.imread(str(write_sweep_sheet(runs, tmp_path, photos)))
    rows = len(runs) + 1
    assert sheet.shape == (rows * (360 + 28), 5 * 360, 3)
    weak, strong = (sheet[row * 388 + 28 : (row + 1) * 388] for row in (1, 2))
    assert (weak != strong).any()


def test_finished_runs_are_not_repeated(
    tmp_path: Path, photos: Path, cartoons: Path, both_phases: TrainConfig
) -> None:
    runs = parse_sweep("pixel-weight=0.5,4", both_phases, max_steps=2)
    sources = Sources(photos, cartoons)
    stopped = list(run_sweep(runs, "lite", sources, tmp_path, Machine(), lambda: True))
    assert [(run.name, progress.step) for run, progress in stopped] == [("pixel-weight=0.5", 1)]
    list(run_sweep(runs, "lite", sources, tmp_path, Machine()))
    before = [(tmp_path / run.name / "stats.jsonl").read_text() for run in runs]
    list(run_sweep(runs, "lite", sources, tmp_path, Machine()))
    assert [(tmp_path / run.name / "stats.jsonl").read_text() for run in runs] == before
