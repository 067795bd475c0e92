"""`torchrun -m toonvid train`: one process prints, and none is left waiting for the others."""

from __future__ import annotations

import time
from pathlib import Path

import psutil
import pytest
from support.torchrun import SECONDS, needs_gloo, output_of, start_two

from trainer.training.run_folder import Run
from trainer.training.state_file import load_newest_state, state_name

TINY = (
    *("--crop", "32", "--content-weight", "0", "--set", "frame_heights=36", "--set", "width=6"),
    *("--set", "blocks=1", "--set", "initialization.pixel_only_steps=1", "--set", "log_every=1"),
)

pytestmark = pytest.mark.timeout(500)


def lines_of_toonvid(output: str) -> list[str]:
    """The errors among what the processes and `torchrun` printed."""
    return [line for line in output.splitlines() if line.startswith("toonvid: ")]


@needs_gloo
def test_two_processes_train_and_the_first_exports_an_engine(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for path in photos.iterdir():
        (tmp_path / "photos" / path.name).write_bytes(path.read_bytes())
    (tmp_path / "photos" / "damaged.png").write_bytes(b"no image")
    sources = ("--photos", tmp_path / "photos", "-o", tmp_path / "run", "--device", "cpu")
    steps = ("--initialization-steps", "6", "--batch-size", "2")
    engines = ("--engines", tmp_path / "engines")
    started = start_two("-m", "toonvid", "train", *sources, *TINY, *steps, *engines)
    output = output_of(started)
    assert started.returncode == 0, output
    assert output.count("Wrote ") == 1
    assert (tmp_path / "engines" / "run.onnx").is_file()
    # Whichever process met the image, the first one counts it.
    assert output.count("Skipped 1 image: damaged.png") == 1


@needs_gloo
def test_a_killed_process_ends_the_other_with_one_line(photos: Path, tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    sources = ("--photos", photos, "-o", run.folder, "--device", "cpu")
    steps = ("--initialization-steps", "100000", "--batch-size", "2", "--set", "save_every=5")
    started = start_two("-m", "toonvid", "train", *sources, *TINY, *steps)
    try:
        deadline = time.monotonic() + SECONDS
        while not (run.states / state_name(5)).is_file() and started.poll() is None:
            assert time.monotonic() < deadline, "no training state was written"
            time.sleep(0.05)
        second = max(psutil.Process(started.pid).children(), key=lambda process: process.pid)
        second.kill()
    except BaseException:
        started.terminate()
        raise
    output = output_of(started)
    assert started.returncode != 0
    (line,) = lines_of_toonvid(output)
    assert line.startswith("toonvid: another process of this run ended; its newest training state")
    state = load_newest_state(run.states)
    assert state and state.step >= 5


@needs_gloo
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--batch-size", "3"), "a batch of 3 cannot be split among 2 processes: --batch-size 4"),
        (("--batch-size", "2", "--dry-run"), "--dry-run and --sweep are for one process"),
    ],
)
def test_what_two_processes_cannot_do_is_refused_in_one_line(
    photos: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    sources = ("--photos", photos, "-o", tmp_path / "run", "--device", "cpu")
    started = start_two("-m", "toonvid", "train", *sources, *TINY, *arguments)
    output = output_of(started)
    assert started.returncode != 0
    (line,) = lines_of_toonvid(output)
    assert line.startswith(f"toonvid: {message}")
    assert not (tmp_path / "run").exists()
