"""`toonvid train` and `toonvid export` on the command line."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from fractions import Fraction
from importlib.machinery import ModuleSpec
from pathlib import Path

import onnx
import pytest
import torch
from support.run_toonvid import START_SECONDS, killed_at_end, run_here, start_subprocess
from support.scripted_feed import repeat
from support.tiny_engines import negative_engine

import toonvid
from toonvid.bench.demo_scene import write_scene
from toonvid.engine import Engine, copy_engine, find_engine
from toonvid.errors import TrainingError
from trainer.networks.engine_weights import read_generator
from trainer.training.run_folder import Run
from trainer.training.state_file import load_newest_state

START = "from toonvid.cli import main; main()"

TINY = (
    *("--initialization-steps", "4", "--batch-size", "2", "--crop", "32", "--content-weight", "0"),
    *("--set", "frame_heights=36", "--set", "width=6", "--set", "blocks=1"),
    *("--set", "initialization.pixel_only_steps=1", "--set", "log_every=1"),
)


def test_train_exports_an_engine_and_the_same_command_resumes(
    capsys: pytest.CaptureFixture[str], photos: Path, tmp_path: Path
) -> None:
    run, engines = tmp_path / "tiny", tmp_path / "engines"
    command = ("train", "--photos", photos, "-o", run, "--engines", engines, *TINY)
    ended = run_here(capsys, *command)
    assert ended.code == 0, ended.err
    assert f"Wrote {engines / 'tiny.onnx'}" in ended.out
    assert find_engine(str(engines / "tiny.onnx")).card.training_step == 4
    assert json.loads((run / "run.json").read_text())["config"]["crop"] == 32
    assert run_here(capsys, *command).code == 0

    other = run_here(capsys, *command, "--seed", "3", "--set", "blocks=2")
    assert other.code == 1
    assert "holds a run with another seed, blocks" in other.err


def test_a_sweep_writes_a_sheet_and_needs_held_out_photos(
    capsys: pytest.CaptureFixture[str], photos: Path, tmp_path: Path
) -> None:
    command = ("train", "--photos", photos, "-o", tmp_path / "sweep", *TINY)
    sweep = ("--sweep", "pixel-weight=1,6", "--sweep-steps", "2")
    refused = run_here(capsys, *command, *sweep)
    assert refused.code == 1
    assert "give --holdout DIR" in refused.err
    ended = run_here(capsys, *command, *sweep, "--holdout", photos)
    assert ended.code == 0, ended.err
    assert "pixel-weight=1: step 2" in ended.out
    assert (tmp_path / "sweep" / "sweep.png").is_file()


def test_a_small_generator_learns_from_an_engine(
    capsys: pytest.CaptureFixture[str], photos: Path, tmp_path: Path
) -> None:
    teacher = negative_engine(tmp_path / "teachers").folder / "negative.onnx"
    engines = tmp_path / "engines"
    command = ("train", "--photos", photos, "-o", tmp_path / "small", "--teacher", teacher, *TINY)
    refused = run_here(capsys, *command)
    assert refused.code == 1
    assert "the preset lite has no teacher" in refused.err
    refused = run_here(capsys, *command, "--preset", "cel", "--set", "width=8")
    assert refused.code == 1
    assert "style negative has another generator than cel" in refused.err
    ended = run_here(capsys, *command, "--preset", "distilled", "--engines", engines)
    assert ended.code == 0, ended.err
    assert (engines / "small.onnx").is_file()


def test_a_layered_generator_learns_the_layers_of_a_style(
    capsys: pytest.CaptureFixture[str], photos: Path, tmp_path: Path
) -> None:
    run, engines = tmp_path / "small", tmp_path / "engines"
    command = ("train", "--preset", "cel", "--photos", photos, "-o", run, "--teacher", "ink")
    command = (*command, *TINY, "--set", "width=32", "--engines", engines)
    ended = run_here(capsys, *command, "--set", "initialization.learning_rate=1e-9")
    assert ended.code == 0, ended.err
    weights = find_engine("ink").card.sha256["ink.onnx"]
    card = find_engine(str(engines / "small.onnx")).card
    assert f"after the layers of ink ({weights[:12]})" in card.recipe
    # It began with the teacher's weights.
    small, teacher = (
        read_generator(find_engine(place)) for place in (engines / "small.onnx", "ink")
    )
    torch.testing.assert_close(small.leave.weight, teacher.leave.weight)


def test_training_goes_on_with_a_style(
    capsys: pytest.CaptureFixture[str],
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run, engines = tmp_path / "mine", tmp_path / "engines"
    base = ("train", "--preset", "cel", "--photos", photos, "-o")
    command = (*base, run, "--start-from", "ink", *TINY, "--set", "width=32", "--engines", engines)
    command = (*command, "--set", "initialization.learning_rate=1e-9")
    ended = run_here(capsys, *command)
    assert ended.code == 0, ended.err
    weights = find_engine("ink").card.sha256["ink.onnx"]
    assert f"begun with that of {weights[:12]}" in find_engine(engines / "mine.onnx").card.recipe
    small, style = (read_generator(find_engine(place)) for place in (engines / "mine.onnx", "ink"))
    torch.testing.assert_close(small.enter.weight, style.enter.weight)
    monkeypatch.chdir(tmp_path)  # a style's name is no path
    assert run_here(capsys, *command).code == 0
    other = (*base, tmp_path / "other", "--start-from", "inc")
    assert "give --cartoons for the adversarial phase, or --init" in run_here(capsys, *other).err
    for steps in (("--initialization-steps", "1"), ("--set", "initialization.steps=1")):
        ended = run_here(capsys, *other, *steps)
        assert ended.code == 1
        assert "no style named 'inc'" in ended.err


def test_export_writes_the_options_into_the_card(
    capsys: pytest.CaptureFixture[str], trained: Run, tmp_path: Path
) -> None:
    credits = tmp_path / "credits.json"
    credits.write_text('[{"name": "a", "author": "b", "licence": "MIT"}]')
    command = ("export", trained.folder, "--style", "mine", "-o", tmp_path, "--title", "My style")
    ended = run_here(capsys, *command, "--license", "MIT", "--credits", credits)
    assert ended.code == 0, ended.err
    assert "Wrote mine.onnx and mine.f16.onnx" in ended.out
    card = find_engine(str(tmp_path / "mine.json")).card
    assert (card.title, card.license, card.trained_on[0].author) == ("My style", "MIT", "b")


def test_export_replaces_an_engine_of_the_same_run_alone(
    capsys: pytest.CaptureFixture[str], trained: Run, tmp_path: Path
) -> None:
    command = ("export", trained.folder, "--style", "negative", "-o", tmp_path)
    before = negative_engine(tmp_path).card
    refused = run_here(capsys, *command)
    assert refused.code == 1
    assert "has a style negative already: give another --style, or --overwrite" in refused.err
    assert find_engine(str(tmp_path / "negative.json")).card == before
    assert run_here(capsys, *command, "--overwrite").code == 0
    assert run_here(capsys, *command, "--title", "Again").code == 0
    assert find_engine(str(tmp_path / "negative.json")).card.title == "Again"


def test_an_export_that_fails_leaves_the_older_engine(
    capsys: pytest.CaptureFixture[str], trained: Run, tmp_path: Path
) -> None:
    command = ("export", trained.folder, "--style", "mine", "-o", tmp_path)
    assert run_here(capsys, *command, "--license", "MIT").code == 0
    failed = run_here(capsys, *command, "--calibration", tmp_path / "nowhere")
    assert failed.code == 1
    engine = find_engine(str(tmp_path / "mine.json"))
    assert engine.card.license == "MIT"
    engine.check_files()


def test_a_new_run_does_not_take_the_name_of_another_style(
    capsys: pytest.CaptureFixture[str], photos: Path, tmp_path: Path
) -> None:
    negative_engine(tmp_path / "engines")
    command = ("train", "--photos", photos, "-o", tmp_path / "negative", *TINY)
    refused = run_here(capsys, *command, "--engines", tmp_path / "engines")
    assert refused.code == 1
    assert "has a style negative already: give another --style NAME" in refused.err
    assert not (tmp_path / "negative").exists()


def test_a_finished_run_takes_the_place_of_no_other_style_either(
    capsys: pytest.CaptureFixture[str], photos: Path, tmp_path: Path
) -> None:
    engines, run = tmp_path / "engines", tmp_path / "tiny"
    command = ("train", "--photos", photos, "-o", run, "--engines", engines, *TINY)
    assert run_here(capsys, *command).code == 0
    export = ("export", run, "--style", "tiny", "-o", engines, "--title", "Mine")
    assert run_here(capsys, *export).code == 0
    again = run_here(capsys, *command)
    assert again.code == 0, again.err
    assert "This run was finished" in again.out
    assert find_engine(str(engines / "tiny.json")).card.title == "Mine"
    before = negative_engine(engines).card
    refused = run_here(capsys, *command, "--style", "negative")
    assert refused.code == 1
    assert "has a style negative already" in refused.err
    assert find_engine(str(engines / "negative.json")).card == before


def test_a_longer_run_is_exported_also_where_the_first_try_failed(
    capsys: pytest.CaptureFixture[str], photos: Path, tmp_path: Path
) -> None:
    engines, run = tmp_path / "engines", tmp_path / "tiny"
    constant = ("--set", "initialization.learning_rate_schedule=constant")
    command = ("train", "--photos", photos, "-o", run, "--engines", engines, *TINY, *constant)
    assert run_here(capsys, *command).code == 0
    longer = (*command, "--initialization-steps", "6")
    half = engines / "tiny.f16.onnx"
    half.unlink()
    half.mkdir()
    failed = run_here(capsys, *longer)
    assert failed.code == 1
    assert "tiny.f16.onnx is a folder" in failed.err
    half.rmdir()
    ended = run_here(capsys, *longer)
    assert ended.code == 0, ended.err
    engine = find_engine(str(engines / "tiny.json"))
    assert engine.card.training_step == 6
    engine.check_files()


def test_a_finished_run_writes_an_engine_that_lacks_a_file_again(
    capsys: pytest.CaptureFixture[str], photos: Path, tmp_path: Path
) -> None:
    engines, run = tmp_path / "engines", tmp_path / "tiny"
    command = ("train", "--photos", photos, "-o", run, "--engines", engines, *TINY)
    assert run_here(capsys, *command).code == 0
    (engines / "tiny.onnx").unlink()
    ended = run_here(capsys, *command)
    assert ended.code == 0, ended.err
    find_engine(str(engines / "tiny.json")).check_files()


def test_a_run_that_ended_right_behind_its_export_knows_its_engine(
    capsys: pytest.CaptureFixture[str],
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def copy_and_stop(engine: Engine, folder: Path) -> None:
        copy_engine(engine, folder)
        raise TrainingError("stopped")

    run = tmp_path / "tiny"
    command = ("train", "--photos", photos, "-o", run, "--engines", tmp_path / "engines", *TINY)
    with monkeypatch.context() as patch:
        patch.setattr("toonvid.commands.train.copy_engine", copy_and_stop)
        assert run_here(capsys, *command).code == 1
    ended = run_here(capsys, *command)
    assert ended.code == 0, ended.err


def test_a_run_whose_folder_cannot_be_written_is_exported_with_a_warning(
    capsys: pytest.CaptureFixture[str], trained: Run, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(trained.folder, tmp_path / "run"))
    (run / "exports.json").unlink()
    (run / "exports.json").mkdir()
    command = ("export", run, "--style", "mine", "-o", tmp_path / "engines")
    ended = run_here(capsys, *command)
    assert ended.code == 0, ended.err
    (line,) = ended.err.splitlines()
    assert "will take --overwrite: cannot write" in line
    find_engine(str(tmp_path / "engines" / "mine.json")).check_files()
    assert run_here(capsys, *command).code == 1
    assert run_here(capsys, *command, "--overwrite").code == 0


def test_a_run_knows_all_its_engines(
    capsys: pytest.CaptureFixture[str], trained: Run, tmp_path: Path
) -> None:
    command = ("export", trained.folder, "--style", "two", "-o")
    for folder in ("a", "b", "a"):
        ended = run_here(capsys, *command, tmp_path / folder, "--title", f"In {folder}")
        assert ended.code == 0, ended.err


def test_an_engine_goes_to_the_users_own_styles_by_default(
    capsys: pytest.CaptureFixture[str],
    trained: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("XDG_DATA_HOME", "LOCALAPPDATA", "HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    assert run_here(capsys, "export", trained.folder, "--style", "mine").code == 0
    assert find_engine("mine").folder.is_relative_to(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--preset", "grand"), "no preset named 'grand'; there are: paper, improved, lite"),
        (("--set", "pace=2"), "no training option named 'pace'"),
        (("--crop", "33"), "crop must be a multiple of 4"),
        (("--photos", "nowhere"), "nowhere is not a folder of photos"),
        (("--holdout", "nowhere"), "nowhere is not a folder of photos"),
        (("--content-weights", "nowhere"), "cannot read nowhere"),
        (("--style", "A B"), "style name 'A B'"),
        (("--preset", "paper"), "the preset paper learns from cartoons: give --cartoons DIR"),
        (("--cartoons", "nowhere"), "nowhere is not a folder of cartoons"),
        (("--start-from", "nowhere"), "nowhere is neither a run with a training state nor"),
        (("--memory-limit", "lots"), "memory limit 'lots': give it like 4GB"),
    ],
)
def test_bad_input_is_one_line(
    capsys: pytest.CaptureFixture[str],
    photos: Path,
    tmp_path: Path,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    command = ("train", "--photos", photos, "-o", tmp_path / "tiny", *TINY, *arguments)
    ended = run_here(capsys, *command)
    assert ended.code == 1
    assert message in ended.err
    assert len(ended.err.splitlines()) == 1


def test_a_missing_gpu_that_is_asked_for_is_an_error(
    capsys: pytest.CaptureFixture[str],
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    command = ("train", "--photos", photos, "-o", tmp_path / "tiny", *TINY)
    ended = run_here(capsys, *command, "--device", "cuda")
    assert ended.code == 3
    assert "no CUDA GPU that PyTorch" in ended.err
    assert len(ended.err.splitlines()) == 1


def test_a_run_can_start_from_another_run(
    capsys: pytest.CaptureFixture[str], photos: Path, cartoons: Path, trained: Run, tmp_path: Path
) -> None:
    run = tmp_path / "style"
    command = ("train", "--photos", photos, "--cartoons", cartoons, "-o", run, *TINY[2:])
    start = ("--start-from", trained.folder, "--adversarial-steps", "2")
    ended = run_here(capsys, *command, *start, "--engines", tmp_path / "engines")
    assert ended.code == 0, ended.err
    card = find_engine(str(tmp_path / "engines" / "style.onnx")).card
    assert "begun with that of " in card.recipe
    assert "adversarial phase of 2 steps" in card.recipe
    assert "initialization phase" not in card.recipe
    assert [source.name for source in card.trained_on] == [photos.name, cartoons.name]


def test_a_video_is_prepared_into_cartoons(
    capsys: pytest.CaptureFixture[str], photos: Path, tmp_path: Path
) -> None:
    video = tmp_path / "video.mp4"
    write_scene(video, 640, 480, Fraction(10), seconds=2)
    run = tmp_path / "run"
    command = ("train", "--photos", photos, "--cartoons", video, "-o", run, *TINY)
    command = (*command, "--adversarial-steps", "1", "--engines", tmp_path)
    ended = run_here(capsys, *command)
    assert ended.code == 0, ended.err
    assert list((run / "cartoons").rglob("*.jpg"))
    assert Run(run).record().config.cartoon_scales == (1.0,)
    assert run_here(capsys, *command).code == 0  # and found there by the next run


def test_photos_of_a_video_are_not_enlarged(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    video = tmp_path / "video.mp4"
    write_scene(video, 640, 480, Fraction(10), seconds=2)
    run = tmp_path / "run"
    command = ("train", "--photos", video, "-o", run, *TINY, "--engines", tmp_path)
    ended = run_here(capsys, *command)
    assert ended.code == 0, ended.err
    assert Run(run).record().config.max_enlargement == 1


@pytest.mark.parametrize("preset", ["paper", "improved"])
def test_the_large_generators_become_engines(
    capsys: pytest.CaptureFixture[str], photos: Path, cartoons: Path, tmp_path: Path, preset: str
) -> None:
    tiny = ("width=8", "blocks=1", "discriminator_width=4", "frame_heights=36", "log_every=1")
    command = ("train", "--photos", photos, "--cartoons", cartoons, "-o", tmp_path / "run")
    settings = [part for setting in tiny for part in ("--set", setting)]
    # The initialization phase of these presets has no loss but the content loss.
    settings += ["--set", "initialization.pixel_weight=1", "--content-weight", "0"]
    steps = ("--initialization-steps", "2", "--adversarial-steps", "2")
    small = ("--batch-size", "2", "--crop", "32", "--engines", tmp_path / "engines")
    ended = run_here(capsys, *command, "--preset", preset, *steps, *settings, *small)
    assert ended.code == 0, ended.err
    engine = find_engine(str(tmp_path / "engines" / "run.onnx"))
    assert engine.card.metrics["levels_apart_f32"] <= 1
    assert ("run time" in engine.card.recipe) == (preset == "improved")
    graph = onnx.load(engine.path("f16")).graph
    norms = [node for node in graph.node if node.op_type.endswith("Normalization")]
    assert {node.op_type for node in norms} == (
        {"InstanceNormalization"} if preset == "improved" else set()
    )
    kinds = {weight.name: weight.data_type for weight in graph.initializer}
    of_norms = {kinds[name] for node in norms for name in node.input if name in kinds}
    assert of_norms <= {onnx.TensorProto.FLOAT}


def test_skipped_photos_are_named_and_counted(
    capsys: pytest.CaptureFixture[str], photos: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for path in photos.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "bad [1].jpg").write_text("no picture")
    command = ("train", "--photos", folder, "-o", tmp_path / "tiny", "--engines", tmp_path, *TINY)
    ended = run_here(capsys, *command)
    assert "Skipped 1 image: bad [1].jpg" in ended.out


def wait_for_step(process: subprocess.Popen[bytes], run: Run, step: int) -> None:
    """Wait until a running training has logged a step, which may take minutes to begin."""
    for _ in repeat(f"step {step} was not made", seconds=START_SECONDS):
        if run.stats.exists() and f'{{"step": {step},' in run.stats.read_text():
            return
        assert process.poll() is None, "the training has ended"
        time.sleep(0.01)


@pytest.mark.timeout(2 * START_SECONDS + 100)
def test_an_interrupt_writes_a_state_and_says_how_to_resume(photos: Path, tmp_path: Path) -> None:
    run = Run(tmp_path / "long")
    command = (
        "train",
        "--photos",
        photos,
        "-o",
        run.folder,
        *TINY,
        "--initialization-steps",
        "1000000",
    )
    process = start_subprocess(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with killed_at_end(process):
        wait_for_step(process, run, 1)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=START_SECONDS)
    state = load_newest_state(run.states)
    assert state is not None
    assert process.returncode == 130, err
    assert f"Stopped after step {state.step}; the same command resumes" in out.decode()


@pytest.mark.timeout(3 * START_SECONDS + 100)
def test_a_killed_and_resumed_run_gives_the_weights_of_an_undisturbed_one(
    photos: Path, tmp_path: Path
) -> None:
    many = ("--initialization-steps", "60", *TINY[2:], "--set", "save_every=3")

    def start(folder: Path) -> subprocess.Popen[bytes]:
        command = ("train", "--photos", photos, "-o", folder, *many, "--engines", tmp_path)
        return start_subprocess(*command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    killed, whole = Run(tmp_path / "killed"), Run(tmp_path / "whole")
    with killed_at_end(start(killed.folder)) as process:
        wait_for_step(process, killed, 10)
    assert process.returncode == -signal.SIGKILL
    state = load_newest_state(killed.states)
    assert state is not None
    assert 0 < state.step < 60
    for run in (killed, whole):
        with killed_at_end(start(run.folder)) as process:
            assert process.wait(timeout=START_SECONDS) == 0
    ended = [load_newest_state(run.states) for run in (killed, whole)]
    assert [state.step for state in ended if state] == [60, 60]
    ours, theirs = (state.values["generator"]["network"] for state in ended if state)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.timeout(START_SECONDS + 100)
def test_memory_stays_constant_with_sheets_and_tensorboard(
    photos: Path, cartoons: Path, tmp_path: Path
) -> None:
    run = Run(tmp_path / "run")
    steps = ("--initialization-steps", "0", "--adversarial-steps", "48")
    often = ("--holdout", photos, "--set", "sheet_every=3", "--set", "log_every=6")
    command = ("train", "--photos", photos, "--cartoons", cartoons, "-o", run.folder, *TINY[2:])
    process = start_subprocess(
        *(*command, *steps, *often, "--set", "save_every=6", "--engines", tmp_path),
        stdout=subprocess.DEVNULL,
    )
    with killed_at_end(process):
        assert process.wait(timeout=START_SECONDS) == 0
    lines = map(json.loads, run.stats.read_text().splitlines())
    memory = {line["step"]: line["memory_mb"] for line in lines if "memory_mb" in line}
    # A sheet is 4 MB: those of the last 30 steps would be 39.
    assert memory[48] < memory[18] + 20


def test_without_torch_one_line_says_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    find_spec = importlib.util.find_spec

    def without_torch(name: str) -> ModuleSpec | None:
        return None if name == "torch" else find_spec(name)

    monkeypatch.setattr(importlib.util, "find_spec", without_torch)
    for command in (("train", "--photos", "x", "-o", "y"), ("export", "x", "--style", "y")):
        ended = run_here(capsys, *command)
        assert ended.code == 1
        assert ended.err.strip() == (
            "toonvid: training needs PyTorch: pip install 'toonvid[train]'"
        )


def test_a_foreign_trainer_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "trainer").mkdir()
    (tmp_path / "trainer" / "__init__.py").touch()
    checkout = Path(toonvid.__file__).parents[1]
    path = os.pathsep.join([str(tmp_path), str(checkout)])
    process = subprocess.run(
        [sys.executable, "-c", START, "export", "x", "--style", "y"],
        env={**os.environ, "PYTHONPATH": path},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert process.returncode == 1
    (line,) = process.stderr.splitlines()
    assert f"the package 'trainer' that Python finds ({tmp_path / 'trainer'}) is not" in line


def test_no_trainer_at_all_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from toonvid.commands.trainer_package import require_trainer

    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "trainer" else find_spec(name)
    )
    with pytest.raises(TrainingError, match=r"finds \(nowhere\) is not toonvid's"):
        require_trainer()
