"""A run learns, resumes bit for bit, and leaves what it promises."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import cv2
import pytest
import torch
from safetensors.torch import save_file
from support.drawn_images import draw_discs, write_image
from support.resnet import resnet_weights
from torch import Tensor

from toonvid.errors import TrainingError
from trainer.config import TrainConfig, change_config
from trainer.data.images import find_images
from trainer.data.photos import PhotoCrops
from trainer.training.state import load_trained_generator
from trainer.training.players import learning_rate
from trainer.training.run_folder import Run, Sources
from trainer.training.state_file import load_newest_state, load_state
from trainer.training.train import Progress, train


def start(
    folder: Path,
    config: TrainConfig,
    photos: Path,
    cartoons: Path | None = None,
    stop_after: int | None = None,
) -> Run:
    """Train, or go on, until a step of the run (None: to its end)."""
    run = Run(folder)
    sources = Sources(photos, cartoons, cache=folder.parent / "cache")
    run.claim("lite", config, sources)
    steps: list[int] = []
    train(run, config, sources, lambda p: steps.append(p.step), lambda: stopping(run, stop_after))
    return run


def stopping(run: Run, after: int | None) -> bool:
    """Whether the run has logged the step it shall stop after."""
    return after is not None and f'"step": {after - 1},' in run.stats.read_text()


def values_of(run: Run) -> dict[str, Tensor]:
    """Every tensor of the newest training state by its place in it."""
    state = load_newest_state(run.states)
    assert state is not None
    found: dict[str, Tensor] = {}

    def collect(place: str, value: object) -> None:
        if isinstance(value, Tensor):
            found[place] = value
        elif isinstance(value, dict):
            for name, inner in value.items():
                collect(f"{place}/{name}", inner)

    collect("", dict(state.values))
    return found


def assert_bit_equal(first: Run, second: Run) -> None:
    ours, theirs = values_of(first), values_of(second)
    assert ours.keys() == theirs.keys()
    assert {place.split("/")[1] for place in ours} >= {"generator", "mean"}
    for place, value in ours.items():
        assert torch.equal(value, theirs[place]), place


@pytest.mark.parametrize("precision", ["f32", "bf16", "f16"])
def test_a_run_stopped_at_any_step_of_either_phase_gives_the_same_weights(
    tmp_path: Path, photos: Path, cartoons: Path, both_phases: TrainConfig, precision: str
) -> None:
    config = replace(both_phases, precision=precision)
    whole = start(tmp_path / "whole", config, photos, cartoons)
    places = {place.split("/")[1] for place in values_of(whole)}
    assert places == {"generator", "discriminator", "mean", "random"}
    for stop_after in range(2, config.steps):
        folder = tmp_path / f"stopped after {stop_after}"
        run = start(folder, config, photos, cartoons, stop_after)
        state = load_newest_state(run.states)
        assert state is not None
        assert state.step == stop_after
        assert_bit_equal(whole, start(folder, config, photos, cartoons))


def test_a_run_whose_newest_state_is_damaged_gives_the_same_weights(
    tmp_path: Path, photos: Path, config: TrainConfig
) -> None:
    whole = start(tmp_path / "whole", config, photos)
    run = start(tmp_path / "stopped", config, photos, stop_after=5)
    newest = max(run.states.iterdir())
    newest.write_bytes(newest.read_bytes()[:-1])
    assert_bit_equal(whole, start(tmp_path / "stopped", config, photos))
    assert len(run.stats.read_text().splitlines()) == config.steps


def test_a_run_may_start_from_the_generator_of_another(
    tmp_path: Path, photos: Path, cartoons: Path, trained: Run, both_phases: TrainConfig
) -> None:
    config = change_config(both_phases, ["initialization.steps=0", "adversarial.warm_up=1000000"])
    run, sources = Run(tmp_path / "run"), Sources(photos, cartoons, start_from=trained.folder)
    run.claim("lite", config, sources)
    train(run, config, sources)
    ours, _ = load_trained_generator(run.states, config)
    theirs, _ = load_trained_generator(trained.states, config)
    torch.testing.assert_close(ours.enter.weight, theirs.enter.weight, atol=1e-6, rtol=0)
    newest = max(trained.states.glob("state-*.pt"))
    assert run.record().start_sha256 == hashlib.sha256(newest.read_bytes()).hexdigest()


def test_a_run_keeps_the_state_at_the_end_of_its_initialization_phase(
    tmp_path: Path, photos: Path, cartoons: Path, both_phases: TrainConfig
) -> None:
    run = start(tmp_path / "run", both_phases, photos, cartoons)
    assert load_state(run.states / "initialization.pt").step == 3


def test_another_generator_cannot_be_started_from(
    tmp_path: Path, photos: Path, trained: Run, config: TrainConfig
) -> None:
    run, sources = Run(tmp_path / "run"), Sources(photos, start_from=trained.folder)
    run.claim("lite", config, sources)
    with pytest.raises(TrainingError, match="holds another generator than this run's config"):
        train(run, replace(config, width=12), sources)


def test_an_adversarial_phase_without_cartoons_is_an_error(
    tmp_path: Path, photos: Path, both_phases: TrainConfig
) -> None:
    with pytest.raises(TrainingError, match="needs cartoons: give --cartoons"):
        start(tmp_path / "run", both_phases, photos)


def test_a_finished_run_is_left_as_it_is(tmp_path: Path, photos: Path, config: TrainConfig) -> None:
    run = start(tmp_path / "run", config, photos)
    before = {path: path.stat().st_mtime_ns for path in run.states.iterdir()}
    told: list[Progress] = []
    end = train(run, config, Sources(photos), told.append)
    assert end == told[0]
    assert end.step == end.steps == config.steps
    assert {path: path.stat().st_mtime_ns for path in run.states.iterdir()} == before


def test_a_run_learns(tmp_path: Path, photos: Path, config: TrainConfig) -> None:
    config = change_config(
        config,
        ["initialization.steps=150", "width=24", "batch_size=4", "save_every=150", "precision=f32"],
    )
    run = start(tmp_path / "run", config, photos)
    losses = [json.loads(line)["pixel"] for line in run.stats.read_text().splitlines()]
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])


def test_skipped_photos_are_told(tmp_path: Path, config: TrainConfig) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    write_image(folder / "good.png", draw_discs(50, 50, 1))
    (folder / "bad.jpg").write_text("no picture")
    run, sources = Run(tmp_path / "run"), Sources(folder)
    run.claim("lite", config, sources)
    told: list[Progress] = []
    end = train(run, config, sources, told.append)
    assert [path.name for path in end.skipped] == ["bad.jpg"]
    assert [progress.step for progress in told] == [0, 1, 2, 3, 4, 5, 6]
    assert told[-1].figures.keys() >= {"pixel", "stability", "learning_rate", "memory_mb"}


def test_a_run_inside_its_folder_of_photos_does_not_learn_from_itself(
    tmp_path: Path, config: TrainConfig
) -> None:
    write_image(tmp_path / "one.png", draw_discs(50, 50, 1))
    run, sources = Run(tmp_path / "run"), Sources(tmp_path, heldout=tmp_path)
    run.claim("lite", config, sources)
    train(run, config, sources)
    crops = PhotoCrops(tmp_path, run.cache, None, (36,), 32, seed=1, leave_out=(run.folder,))
    assert [path.name for path in crops.images.paths] == ["one.png"]
    assert len(find_images(tmp_path)) > 1


def test_contact_sheets_show_held_out_photos(
    tmp_path: Path, photos: Path, config: TrainConfig
) -> None:
    run, sources = Run(tmp_path / "run"), Sources(photos, heldout=photos)
    config = change_config(config, ["initialization.steps=3", "sheet_every=2"])
    run.claim("lite", config, sources)
    train(run, config, sources)
    sheets = sorted(run.sheets.iterdir())
    assert [path.name for path in sheets] == ["step-000000002.jpg", "step-000000003.jpg"]
    assert cv2.imread(str(sheets[0])).shape == (2 * 360, 5 * 360, 3)


def test_numbers_that_lead_nowhere_stop_the_run_and_keep_its_last_state(
    tmp_path: Path, photos: Path, config: TrainConfig
) -> None:
    fast = ["initialization.steps=40", "initialization.learning_rate=1e30"]
    config = change_config(config, [*fast, "save_every=1", "log_every=100"])
    with pytest.raises(TrainingError, match=r"at step \d+, after going back 3 times: begin a new"):
        start(tmp_path / "run", config, photos)
    events = [json.loads(line) for line in Run(tmp_path / "run").stats.read_text().splitlines()]
    assert "back to here with 0.125 of the learning rate" in events[-1]["event"]
    for value in values_of(Run(tmp_path / "run")).values():
        assert value.isfinite().all() or value.dtype != torch.float32


def test_a_content_loss_whose_weights_cannot_be_had_is_an_error(
    tmp_path: Path, photos: Path, config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("no route")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", fail)
    with pytest.raises(TrainingError, match="give the weights by --content-weights FILE"):
        start(tmp_path / "run", change_config(config, ["initialization.content_weight=1"]), photos)


def test_all_losses_join_after_the_first_steps(
    tmp_path: Path, photos: Path, config: TrainConfig
) -> None:
    weights = resnet_weights()
    weights["conv1.weight"].normal_(std=0.01)
    weights["res2a_branch1.weight"].normal_()
    save_file(weights, tmp_path / "resnet.safetensors")
    config = change_config(config, ["initialization.steps=2", "initialization.content_weight=1"])
    sources = Sources(photos, content_weights=tmp_path / "resnet.safetensors")
    run = Run(tmp_path / "run")
    run.claim("lite", config, sources)
    told: list[Progress] = []
    train(run, config, sources, told.append)
    all_losses = {"pixel", "content", "stability"}
    assert told[1].figures.keys() & all_losses == {"pixel"}
    assert told[2].figures.keys() >= all_losses
    assert all(told[2].figures[name] > 0 for name in all_losses)


def test_the_learning_rate_rises_and_falls_to_zero(config: TrainConfig) -> None:
    phase = replace(config.initialization, steps=100, warm_up=10, learning_rate=1.0)
    rates = [learning_rate(phase, done) for done in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] > 0.95
    assert rates[9:] == sorted(rates[9:], reverse=True)
    assert rates[-1] < 0.001
    assert learning_rate(replace(phase, fall="none"), 99) == 1.0


def test_the_exported_weights_are_the_running_mean(trained: Run, config: TrainConfig) -> None:
    generator, step = load_trained_generator(trained.states, config)
    assert step == config.steps
    values = values_of(trained)
    torch.testing.assert_close(
        generator.enter.weight, values["/mean/module.enter.weight"], atol=0, rtol=0
    )
    assert not torch.equal(generator.enter.weight, values["/generator/network/enter.weight"])


def test_a_run_without_a_state_cannot_be_exported(
    tmp_path: Path, photos: Path, config: TrainConfig
) -> None:
    Run(tmp_path).claim("lite", config, Sources(photos))
    with pytest.raises(TrainingError, match="has no training state yet"):
        load_trained_generator(Run(tmp_path).states, config)
