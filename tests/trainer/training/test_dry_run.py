"""A dry run does one step of each phase, and writes no files."""

from __future__ import annotations

import json
import re
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


def test_a_phase_takes_its_steps_times_the_median_of_their_kind(
    photos: Path, config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = change_config(
        config, ["initialization.steps=100", "initialization.pixel_only_steps=60"]
    )
    asked: list[int] = []

    def durations(state: object, step: int, batch: object) -> list[float]:
        asked.append(step)
        return [9.0, 2.0, 2.5] if step == 99 else [1.0]

    monkeypatch.setattr("trainer.training.dry_run.time_steps", durations)
    (measured,) = dry_run(config, Sources(photos), Machine("cpu"))
    assert asked == [99, 0]  # a full step, and one with the pixel losses alone
    assert measured.seconds == 2.5
    assert (measured.steps, measured.measured_steps) == (100, 3)
    assert measured.phase_seconds == 40 * 2.5 + 60 * 1.0


def test_slow_steps_are_measured_less_often(
    photos: Path, config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[float] = []
    monkeypatch.setattr("trainer.training.dry_run.MEASURED_SECONDS", 0.0)
    monkeypatch.setattr(
        "trainer.training.dry_run.train_step", lambda *_, learning_rate: steps.append(learning_rate)
    )
    (measured,) = dry_run(config, Sources(photos), Machine("cpu"))
    assert measured.measured_steps == 1
    assert steps == [0.0] * 4  # a warm-up and a step of each of two kinds, at no learning rate


def test_a_config_that_cannot_run_is_an_error(photos: Path, both_phases: TrainConfig) -> None:
    with pytest.raises(TrainingError, match="needs cartoons"):
        list(dry_run(both_phases, Sources(photos), Machine("cpu")))


def test_the_command_prints_a_line_for_each_phase_and_the_whole_time(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    photos: Path,
    cartoons: Path,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr("toonvid.commands.train.system_load", lambda: 7.5)
    tiny = ("--set", "width=6", "--set", "blocks=1", "--set", "frame_heights=36", "--crop", "32")
    command = ("train", "--photos", photos, "--cartoons", cartoons, "-o", tmp_path / "run", *tiny)
    ended = run_here(capsys, *command, "--content-weight", "0", "--dry-run", "--device", "cpu")
    assert ended.code == 0, ended.err
    assert "initialization phase: " in ended.out
    assert "adversarial phase: " in ended.out
    total = (
        "The whole run: about [0-9:]+ for 8,000 \\+ 12,000 steps, each as long as the median of 5"
    )
    assert re.search(total, " ".join(ended.out.split()))
    assert "This machine was busy before (load 7.5)" in " ".join(ended.out.split())
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
