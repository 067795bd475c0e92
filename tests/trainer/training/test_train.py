"""A run learns, resumes bit for bit, and writes its states, log and contact sheets."""

from __future__ import annotations

import hashlib
import io
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
from trainer.presets import PRESETS
from trainer.training.open_dataset import open_dataset
from trainer.training.run_folder import Run, Sources
from trainer.training.state_file import load_newest_state, load_state
from trainer.training.train import Speedometer, TrainingProgress, train


def start(
    folder: Path,
    config: TrainConfig,
    photos: Path,
    cartoons: Path | None = None,
    stop_after: int | None = None,
) -> Run:
    """Train or resume a run, until a step of it; None means to its end."""
    run = Run(folder)
    sources = Sources(photos, cartoons, cache=folder.parent / "cache")
    run.claim("lite", config, sources)
    steps: list[int] = []
    train(run, config, sources, lambda p: steps.append(p.step), lambda: is_at(run, stop_after))
    return run


def is_at(run: Run, step: int | None) -> bool:
    """Whether the run has logged the step before this one."""
    return step is not None and f'"step": {step - 1},' in run.stats.read_text()


def lines_of(run: Run) -> list[dict[str, object]]:
    """All entries of the run's log."""
    return [json.loads(line) for line in run.stats.read_text().splitlines()]


def values_of(run: Run) -> dict[str, Tensor]:
    """All tensors of the newest training state, by their path in it."""
    state = load_newest_state(run.states)
    assert state is not None
    found: dict[str, Tensor] = {}

    def collect(path: str, value: object) -> None:
        if isinstance(value, Tensor):
            found[path] = value
        elif isinstance(value, dict):
            for name, inner in value.items():
                collect(f"{path}/{name}", inner)

    collect("", dict(state.values))
    return found


def assert_bit_equal(first: Run, second: Run) -> None:
    ours, theirs = values_of(first), values_of(second)
    assert ours.keys() == theirs.keys()
    assert {path.split("/")[1] for path in ours} >= {"generator", "ema"}
    for path, value in ours.items():
        assert torch.equal(value, theirs[path]), path


@pytest.mark.parametrize("precision", ["f32", "bf16", "f16"])
def test_a_run_stopped_at_any_step_of_either_phase_gives_the_same_weights(
    tmp_path: Path, photos: Path, cartoons: Path, both_phases: TrainConfig, precision: str
) -> None:
    config = replace(both_phases, precision=precision)
    whole = start(tmp_path / "whole", config, photos, cartoons)
    parts = {path.split("/")[1] for path in values_of(whole)}
    assert parts == {"generator", "discriminator", "ema", "random"}
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


def test_a_finished_run_that_gets_more_steps_gives_the_weights_of_a_long_one(
    tmp_path: Path, photos: Path, cartoons: Path, both_phases: TrainConfig
) -> None:
    longer = change_config(both_phases, ["adversarial.steps=5"])
    whole = start(tmp_path / "whole", longer, photos, cartoons)
    run = start(tmp_path / "lengthened", both_phases, photos, cartoons)
    assert run.is_finished()
    assert_bit_equal(whole, start(tmp_path / "lengthened", longer, photos, cartoons))


def test_few_cartoons_are_warned_about(
    tmp_path: Path,
    photos: Path,
    cartoons: Path,
    both_phases: TrainConfig,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sources = Sources(photos, cartoons)
    open_dataset(both_phases, sources, tmp_path, tmp_path, torch.device("cpu"))
    assert caplog.messages[0].startswith("4 cartoons are few (below 100)")
    caplog.clear()
    monkeypatch.setattr("trainer.training.open_dataset.FEW_CARTOONS", 4)
    open_dataset(both_phases, sources, tmp_path, tmp_path, torch.device("cpu"))
    assert not caplog.messages


def test_a_run_keeps_the_state_at_the_end_of_its_initialization_phase(
    tmp_path: Path, photos: Path, cartoons: Path, both_phases: TrainConfig
) -> None:
    run = start(tmp_path / "run", both_phases, photos, cartoons)
    assert load_state(run.states / "initialization.pt").step == 3


def test_an_adversarial_phase_without_cartoons_is_an_error(
    tmp_path: Path, photos: Path, both_phases: TrainConfig
) -> None:
    with pytest.raises(TrainingError, match="needs cartoons: give --cartoons"):
        start(tmp_path / "run", both_phases, photos)


def test_a_run_of_an_earlier_version_resumes_with_the_same_weights(
    tmp_path: Path, photos: Path, cartoons: Path, both_phases: TrainConfig
) -> None:
    whole = start(tmp_path / "whole", both_phases, photos, cartoons)
    run = start(tmp_path / "stopped", both_phases, photos, cartoons, stop_after=5)
    for path in run.states.iterdir():
        write_as_earlier_version(path)
    assert_bit_equal(whole, start(tmp_path / "stopped", both_phases, photos, cartoons))


def write_as_earlier_version(path: Path) -> None:
    """Rewrite a training state with the names that toonvid 0.1 wrote."""
    state = load_state(path)
    values = dict(state.values)
    values["mean"], values["retreats"] = values.pop("ema"), values.pop("rollbacks")
    weights = (values["mean"], values["generator"]["network"])
    for named in weights:
        for name in [name for name in named if ".color." in name]:
            named[name.replace(".color.", ".colour.")] = named.pop(name)
    assert any(".colour." in name for name in weights[0])
    buffer = io.BytesIO()
    torch.save({"step": state.step, "values": values}, buffer)
    path.write_bytes(hashlib.sha256(buffer.getvalue()).digest() + buffer.getvalue())


def test_a_finished_run_is_not_changed(tmp_path: Path, photos: Path, config: TrainConfig) -> None:
    run = start(tmp_path / "run", config, photos)
    before = {path: path.stat().st_mtime_ns for path in run.states.iterdir()}
    reported: list[TrainingProgress] = []
    end = train(run, config, Sources(photos), reported.append)
    assert end == reported[0]
    assert end.step == end.steps == config.steps
    assert {path: path.stat().st_mtime_ns for path in run.states.iterdir()} == before


def test_a_run_learns(tmp_path: Path, photos: Path, config: TrainConfig) -> None:
    config = change_config(
        config,
        ["initialization.steps=150", "width=24", "batch_size=4", "save_every=150", "precision=f32"],
    )
    run = start(tmp_path / "run", config, photos)
    losses = [line["pixel"] for line in lines_of(run)]
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])


def test_skipped_photos_are_in_the_progress(tmp_path: Path, config: TrainConfig) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    write_image(folder / "good.png", draw_discs(50, 50, 1))
    (folder / "bad.jpg").write_text("not an image")
    run, sources = Run(tmp_path / "run"), Sources(folder)
    run.claim("lite", config, sources)
    reported: list[TrainingProgress] = []
    end = train(run, config, sources, reported.append)
    assert [path.name for path in end.skipped] == ["bad.jpg"]
    assert [progress.step for progress in reported] == [0, 1, 2, 3, 4, 5, 6]
    assert reported[-1].figures.keys() >= {"pixel", "stability", "learning_rate", "memory_mb"}


def test_a_run_inside_its_folder_of_photos_does_not_train_on_its_own_files(
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


def test_content_weights_that_cannot_be_downloaded_are_an_error(
    tmp_path: Path, photos: Path, config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("no route")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", fail)
    config = change_config(config, ["initialization.content_weight=1"])
    with pytest.raises(TrainingError, match="by --content-weights FILE, or train without: --con"):
        start(tmp_path / "run", config, photos)
    # What the message names works: it needs no download.
    assert change_config(config, ["initialization.content_weight=0"]).needs_content_network is False


def test_a_preset_that_cannot_do_without_the_content_loss_names_another(
    tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("no route")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", fail)
    remedies = (
        "--content-weights FILE, or train without: --preset lite --content-weight 0, or with a"
    )
    with pytest.raises(TrainingError, match=f"{remedies} smaller .* content_network=resnet50"):
        start(tmp_path / "run", change_config(PRESETS["paper"], ["adversarial.steps=0"]), photos)
    without = [f"{phase}.content_weight=0" for phase in ("initialization", "adversarial")]
    assert not change_config(PRESETS["lite"], without).needs_content_network


def test_all_losses_are_computed_after_the_pixel_only_steps(
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
    reported: list[TrainingProgress] = []
    train(run, config, sources, reported.append)
    all_losses = {"pixel", "content", "stability"}
    assert reported[1].figures.keys() & all_losses == {"pixel"}
    assert reported[2].figures.keys() >= all_losses
    assert all(reported[2].figures[name] > 0 for name in all_losses)


def test_a_run_that_keeps_diverging_ends_and_keeps_its_last_good_state(
    tmp_path: Path, photos: Path, config: TrainConfig
) -> None:
    fast = ["initialization.steps=40", "initialization.learning_rate=1e30"]
    config = change_config(config, [*fast, "save_every=1", "log_every=100"])
    with pytest.raises(TrainingError, match=r"at step \d+, after 3 rollbacks: begin a new"):
        start(tmp_path / "run", config, photos)
    events = lines_of(Run(tmp_path / "run"))
    assert "rolled back to here with 0.125 of the learning rate" in events[-1]["event"]
    for value in values_of(Run(tmp_path / "run")).values():
        assert value.isfinite().all() or value.dtype != torch.float32


def test_warnings_are_logged(
    tmp_path: Path, photos: Path, config: TrainConfig, caplog: pytest.LogCaptureFixture
) -> None:
    frozen = replace(config.initialization, learning_rate=1e-12, steps=6)
    run, sources = Run(tmp_path / "run"), Sources(photos)
    config = replace(config, initialization=frozen)
    run.claim("lite", config, sources)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trainer.training.monitors.EQUAL_LEVELS", 100.0)
        train(run, config, sources)
    assert "the cartoons equal their photos" in caplog.text
    assert any("equal their photos" in str(line.get("event")) for line in lines_of(run))


def test_the_log_has_losses_learning_rate_speed_and_memory(
    tmp_path: Path, photos: Path, cartoons: Path, both_phases: TrainConfig
) -> None:
    run, sources = Run(tmp_path / "run"), Sources(photos, cartoons, heldout=photos)
    run.claim("lite", both_phases, sources)
    train(run, both_phases, sources)
    last = lines_of(run)[-1]
    assert last["phase"] == "adversarial"
    names = {"pixel", "adversarial", "discriminator", "color", "stability", "learning_rate"}
    assert last.keys() >= names | {"images_per_second", "memory_mb", "levels_from_photo"}
    written = b"".join(path.read_bytes() for path in run.tensorboard.iterdir())
    for name in (b"discriminator", b"memory_mb", b"held-out", b"PNG"):
        assert name in written


def test_a_clock_that_stands_still_gives_no_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.perf_counter", lambda: 7.0)
    assert Speedometer(3, batch_size=2).images_per_second(3) == 0
