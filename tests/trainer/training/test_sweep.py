"""Short runs side by side."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest

from toonvid.errors import TrainingError
from trainer.config import TrainConfig
from trainer.device import Machine
from trainer.training.run_folder import Sources
from trainer.training.sweep import parse_probes, run_probes, write_probe_sheet


def test_option_of_both_phases_is_set_in_both(both_phases: TrainConfig) -> None:
    first, second = parse_probes("pixel-weight=0.5,4", both_phases, most_steps=2)
    assert (first.name, second.name) == ("pixel-weight=0.5", "pixel-weight=4")
    for probe, weight in ((first, 0.5), (second, 4.0)):
        config = probe.config
        assert config.initialization.pixel_weight == config.adversarial.pixel_weight == weight
        assert config.initialization.steps == config.adversarial.steps == 2


def test_option_of_one_phase_leaves_the_other(both_phases: TrainConfig) -> None:
    _, probe = parse_probes("adversarial.pixel_weight=1,9", both_phases, most_steps=9)
    assert probe.config.adversarial.pixel_weight == 9
    assert probe.config.initialization.pixel_weight == both_phases.initialization.pixel_weight
    assert probe.config.steps == both_phases.steps


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("content-weight", "write it like content-weight=0.25,1,4"),
        ("content-weight=1", "write it like content-weight=0.25,1,4"),
        ("taste=1,2", "no training option named 'taste'"),
        ("pixel-weight=1,much", "'much' is not a value of it"),
    ],
)
def test_bad_probes_are_one_line(both_phases: TrainConfig, text: str, line: str) -> None:
    with pytest.raises(TrainingError, match=line):
        parse_probes(text, both_phases, most_steps=2)


def test_sheet_has_a_row_for_each_value(
    tmp_path: Path, photos: Path, cartoons: Path, both_phases: TrainConfig
) -> None:
    probes = parse_probes("pixel-weight=0.5,4", both_phases, most_steps=2)
    sources = Sources(photos, cartoons, heldout=photos)
    done = list(run_probes(probes, "lite", sources, tmp_path, Machine(workers=1)))
    assert [progress.step for _, progress in done] == [4, 4]
    sheet = cv2.imread(str(write_probe_sheet(probes, tmp_path, photos)))
    rows = len(probes) + 1
    assert sheet.shape == (rows * (360 + 28), 5 * 360, 3)
    weak, strong = (sheet[row * 388 + 28 : (row + 1) * 388] for row in (1, 2))
    assert (weak != strong).any()


def test_finished_probes_are_not_done_again(
    tmp_path: Path, photos: Path, cartoons: Path, both_phases: TrainConfig
) -> None:
    probes = parse_probes("pixel-weight=0.5,4", both_phases, most_steps=2)
    sources = Sources(photos, cartoons)
    stopped = list(run_probes(probes, "lite", sources, tmp_path, Machine(), lambda: True))
    assert [(p.name, progress.step) for p, progress in stopped] == [("pixel-weight=0.5", 1)]
    list(run_probes(probes, "lite", sources, tmp_path, Machine()))
    before = [(tmp_path / p.name / "stats.jsonl").read_text() for p in probes]
    list(run_probes(probes, "lite", sources, tmp_path, Machine()))
    assert [(tmp_path / p.name / "stats.jsonl").read_text() for p in probes] == before
