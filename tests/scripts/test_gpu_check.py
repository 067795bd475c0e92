"""The GPU check runs to its end without a GPU, and nothing that breaks takes its table away."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gpu_check import frames, pack, runner
from gpu_check.command import _parser
from gpu_check.parts import memory, one_frame
from gpu_check.report import NOT_RUN, Report, format_table, read_rows
from gpu_check.rows import PRECISIONS, one_frame_row, row_names
from gpu_check.runner import Environment, empty_table, run_steps
from gpu_check.steps import PARTS, STEPS, Settings, Step, choose_steps
from support.simulated_gpu import SimulatedCuda, simulated_runtime
from support.tiny_engines import negative_engine

from toonvid.backends.tensorrt import backend as backend_module
from toonvid.backends.tensorrt import cuda
from toonvid.backends.tensorrt.library import load_tensorrt
from toonvid.ffmpeg.nvidia import Gpu, NvidiaInfo
from trainer.device import MB
from trainer.gpu_memory import OwnMemory

ROOT = Path(__file__).resolve().parents[2]
GPU = Gpu(0, "NVIDIA GeForce RTX 3050 Laptop GPU", (8, 6), 4 * 2**30)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    out, work = tmp_path / "out", tmp_path / "work"
    out.mkdir()
    work.mkdir()
    return Settings("cpu", True, 60.0, 0.2, out, work, None)


def test_every_part_runs_to_its_end_on_the_cpu(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "scripts" / "gpu_check"), "--device", "cpu", "--tiny"]
    command += ["--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    table = (tmp_path / "table.md").read_text()
    assert done.returncode == 0, table
    assert done.stdout.endswith(table + "\n")
    rows = json.loads((tmp_path / "results.json").read_text())["rows"]
    expected = [name for step in STEPS for name in row_names(step.module, step.variant)]
    assert [row["name"] for row in rows] == expected
    assert not [row for row in rows if row["result"].startswith((NOT_RUN, "failed", "stopped"))]
    skipped = [row["name"] for row in rows if row["result"].startswith("skipped")]
    assert all("NV" in name or name in ("GPU and driver", "copies") for name in skipped)
    assert {"cel.pt", "cel-hq.pt", "cel.jpg", "cel-hq.jpg", "one_frame.jpg", "log.txt"} <= {
        path.name for path in tmp_path.iterdir()
    }
    assert len(list(tmp_path.iterdir())) <= 8  # as many as come back from a lent machine


def test_a_step_that_takes_too_long_is_stopped_and_the_next_one_runs(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(runner, "LEAST_SECONDS", 0.0)
    monkeypatch.setattr(runner, "_GRACE_SECONDS", 0.0)
    slow = Step(5, "training", "cel", 0.2)
    rows = run_steps([slow, Step(1, "machine", "", 60)], settings, 5, Environment(None))
    results = {row.name: row.result for row in rows}
    assert results["`cel` from prepared crops"] == "stopped after 0 s"
    assert results["FFmpeg"].startswith("PyAV")
    assert capsys.readouterr().out.endswith(format_table(rows, PARTS) + "\n")


def test_a_step_that_fails_says_why(settings: Settings) -> None:
    broken = replace(settings, data=settings.work / "nothing")  # no photos
    rows = run_steps([Step(5, "training", "cel", 60)], broken, 5, Environment(None))
    result = next(row.result for row in rows if row.part == 5)
    assert result.startswith("failed: ") and "is not a folder of photos" in result


def test_a_step_without_time_is_skipped(settings: Settings) -> None:
    rows = run_steps([Step(1, "machine", "", 60)], settings, 0.05, Environment(None))
    assert {row.result for row in rows if row.part == 1} == {"skipped: no time left"}


def test_rows_of_a_step_that_was_killed_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    Report(path, 3).add("first", "1 | 2", frames=3)
    with path.open("a") as file:
        file.write('{"part": 3, "name": "sec')
    [row] = read_rows(path)
    assert (row.name, row.values) == ("first", {"frames": 3})
    assert format_table([row], PARTS).endswith("| 3 speed | first | 1 / 2 |\n")


def test_training_gets_the_time_that_is_asked_for() -> None:
    steps = choose_steps({1, 5}, training_minutes=1.0)
    assert [step.name for step in steps] == ["machine", "training:cel", "training:cel-hq"]
    assert [step.seconds for step in steps[1:]] == [50, 50]


def test_every_step_has_its_time_within_nine_minutes() -> None:
    parser_default = _parser().parse_args([])
    steps = choose_steps(set(PARTS), parser_default.training_minutes)
    assert [step.name for step in steps] == [step.name for step in STEPS]
    assert sum(step.seconds for step in steps) <= 60 * parser_default.minutes
    assert min(step.seconds for step in steps) > runner.LEAST_SECONDS


def test_what_earlier_steps_left_goes_to_steps_that_need_it() -> None:
    step = Step(3, "pipeline", "onnxruntime", 40, longest=90)
    assert runner.time_for(step, left=300, reserved=260) == 40
    assert runner.time_for(step, left=300, reserved=230) == 70
    assert runner.time_for(step, left=300, reserved=0) == 90
    assert runner.time_for(step, left=30, reserved=100) == 30
    assert runner.time_for(replace(step, longest=0), left=300, reserved=0) == 40


@pytest.mark.parametrize("style", ["ink", "poster"])
def test_the_generator_in_pytorch_is_the_one_of_the_engine(style: str) -> None:
    frame = frames.scene_frame(96, 56)
    stream = frames.TorchStream(frames.cel_generator(style), "cpu", compiled=False)
    [cartoon] = stream([frame])
    _, values = frames.describe_difference(cartoon, frames.cpu_cartoons(style, frame))
    assert values["max_levels"] <= 1


def test_the_page_holds_the_table_of_the_script() -> None:
    page = (ROOT / "docs" / "research" / "gpu.md").read_text(encoding="utf-8")
    for line in empty_table().splitlines():
        assert line.removesuffix(f"{NOT_RUN} |") in page


def test_a_pack_is_cut_and_joined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).bytes(5000)
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    with zipfile.ZipFile(wheels / "some-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("some/__init__.py", noise)
        wheel.writestr("openvino/libs/libopenvino_intel_gpu_plugin.so", noise)
    monkeypatch.setattr(pack, "PART_BYTES", 2000)
    parts, target = tmp_path / "parts", tmp_path / "target"
    pack.write_pack(parts, wheels, None, None, 0)
    assert all(path.stat().st_size <= 2000 for path in parts.iterdir())
    assert len(list(parts.iterdir())) > 2
    assert pack.unpack(parts, target) == target
    assert (target / "site" / "some" / "__init__.py").read_bytes() == noise
    assert not (target / "site" / "openvino").exists()
    (parts / "part2").unlink()
    with pytest.raises(SystemExit, match="one is missing"):
        pack.unpack(parts, target)


def test_one_frame_runs_on_the_simulated_gpu(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The simulated plan inverts frames, as the engine does. It has no f16."""
    pytest.importorskip("tensorrt_rtx")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    engine, simulated, library = negative_engine(tmp_path), SimulatedCuda(), load_tensorrt()
    trt = simulated_runtime(library.trt, simulated, lambda plan: True, ("frame", "cartoon"))
    monkeypatch.setattr(cuda, "import_module", lambda name: simulated)
    monkeypatch.setattr(backend_module, "load_tensorrt", lambda: replace(library, trt=trt))
    monkeypatch.setattr(backend_module, "find_nvidia", lambda: NvidiaInfo((GPU,), 13000))
    monkeypatch.setattr(frames, "shipped", lambda style: engine)
    monkeypatch.setattr(one_frame, "shipped", lambda style: engine)
    path = tmp_path / "rows.jsonl"
    one_frame.run(replace(settings, device="cuda"), Report(path, 0), "")
    results = {row.name: row for row in read_rows(path)}
    assert "f16" in results[one_frame_row("f16")].result
    assert results[one_frame_row("f16")].result.startswith("failed")
    assert results[one_frame_row("f32")].values["max_levels"] == 0
    assert set(results) == {one_frame_row(precision) for precision in PRECISIONS}


def test_the_row_says_how_the_memory_of_the_process_is_known() -> None:
    small, large = 1000 * MB, 4000 * MB
    texts = {
        "whole process 1000 MB, within 3277": [OwnMemory(small, True)],
        "whole process 4000 MB, ABOVE 3277": [OwnMemory(small, True), OwnMemory(large, True)],
        "whole process 1000 MB, within 3277, as what was added": [OwnMemory(small, False)],
        "whole process unknown: with what others took, 4000 MB were added": [
            OwnMemory(small, False, others_changed=True),
            OwnMemory(large, False),
        ],
        "whole process unknown: NVML does not answer": [],
    }
    for text, measured in texts.items():
        assert memory.describe_process(measured)[0] == text
