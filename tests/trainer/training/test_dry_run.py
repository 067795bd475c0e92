"""A dry run does one step of each phase, and writes no files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.run_toonvid import run_here

from toonvid.errors import TrainingError
from trainer.config import TrainConfig, change_config
from trainer.device import Machine, find_device_name
from trainer.presets import PRESETS
from trainer.training.dry_run import dry_run, measure_training, without_content_network
from trainer.training.run_folder import Sources


def test_each_phase_is_measured(photos: Path, cartoons: Path, both_phases: TrainConfig) -> None:
    measurements = list(dry_run(both_phases, Sources(photos, cartoons), Machine("cpu")))
    assert [measured.phase for measured in measurements] == ["initialization", "adversarial"]
    assert all(measured.seconds > 0 and measured.peak_bytes is None for measured in measurements)
    assert "without a GPU, its memory cannot be known" in measurements[1].describe()


def test_a_config_that_cannot_run_is_an_error(photos: Path, both_phases: TrainConfig) -> None:
    with pytest.raises(TrainingError, match="needs cartoons"):
        list(dry_run(both_phases, Sources(photos), Machine("cpu")))


def test_the_command_prints_a_line_for_each_phase(
    capsys: pytest.CaptureFixture[str], photos: Path, cartoons: Path, tmp_path: Path
) -> None:
    tiny = ("--set", "width=6", "--set", "blocks=1", "--set", "frame_heights=36", "--crop", "32")
    command = ("train", "--photos", photos, "--cartoons", cartoons, "-o", tmp_path / "run", *tiny)
    ended = run_here(capsys, *command, "--content-weight", "0", "--dry-run", "--device", "cpu")
    assert ended.code == 0, ended.err
    assert "initialization phase: " in ended.out
    assert "adversarial phase: " in ended.out
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", PRESETS)
def test_training_is_measured_without_images(name: str) -> None:
    tiny = ["width=8", "blocks=1", "discriminator_width=4", "crop=32", "batch_size=2"]
    config = change_config(PRESETS[name], [*tiny, "frame_heights=32"])
    measurements = list(measure_training(config, None, Machine("cpu")))
    with_steps = [n for n in ("initialization", "adversarial") if getattr(config, n).steps]
    assert [measured.phase for measured in measurements] == with_steps
    assert not without_content_network(config).needs_content_network


def test_bench_measures_training(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = change_config(PRESETS["lite"], ["width=6", "blocks=1", "crop=32", "batch_size=1"])
    monkeypatch.setitem(PRESETS, "lite", tiny)
    ended = run_here(capsys, "bench", "--train", "--device", "cpu", "--json")
    assert ended.code == 0, ended.err
    lines = [json.loads(line) for line in ended.out.splitlines()]
    assert [line["phase"] for line in lines] == ["initialization", "adversarial"]
    assert all(line["pictures_per_second"] > 0 for line in lines)
    ended = run_here(capsys, "bench", "--train", "--device", "cpu")
    assert "lite, no content network, adversarial phase: " in ended.out


def test_unknown_devices_are_refused() -> None:
    assert find_device_name(None) == "auto"
    assert find_device_name("CUDA") == "cuda"
    with pytest.raises(TrainingError, match="no device 'tpu' to train on; there are: auto, cpu"):
        find_device_name("tpu")
