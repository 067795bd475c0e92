"""TensorFlow Lite and SavedModel become styles for the backend openvino alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.run_toonvid import run_here

from toonvid.backends import open_backend
from toonvid.backends.cartoon_check import sample_frame
from toonvid.engine import find_engine
from toonvid.errors import UnsupportedEngineError

Capsys = pytest.CaptureFixture[str]
DATA = Path(__file__).parent / "data"  # the script there says what the files are
ONLY_OPENVINO = "note: It is read by OpenVINO, and runs on the backend openvino alone"


@pytest.mark.parametrize(
    ("file", "name"), [("small.tflite", "small"), ("saved_model", "saved-model")]
)
def test_a_style_draws_as_tensorflow_does(file, name, capsys: Capsys):
    ended = run_here(capsys, "styles", "add", DATA / file, "--order", "rgb")
    assert ended.code == 0, ended.err
    assert ONLY_OPENVINO in ended.err
    engine = find_engine(name)
    assert sorted(engine.card.sha256) == [f"{name}.bin", f"{name}.xml"]
    frame = sample_frame(64, 64)[None]
    with open_backend(engine, "openvino", precision="f32") as backend:
        difference = np.abs(backend.run(frame).astype(int) - np.load(DATA / "cartoon.npy"))
    assert difference.max() <= 1
    with pytest.raises(UnsupportedEngineError, match="was made for OpenVINO alone"):
        open_backend(engine, "onnxruntime")
    assert run_here(capsys, "styles", "verify", name).out == f"{name}: OpenVINO alone good\n"


def test_a_changed_file_is_found(capsys: Capsys, styles_folder: Path):
    assert run_here(capsys, "styles", "add", DATA / "small.tflite", "--as", "whitebox").code == 0
    (styles_folder / "small.bin").write_bytes(b"")
    ended = run_here(capsys, "styles", "verify", "small")
    assert ended.code == 1
    assert "small.bin is not the file its card describes" in ended.out


@pytest.mark.parametrize("content", [b"", b"TFL3 no model at all" * 9])
def test_damaged_files_are_one_line(content, tmp_path, capsys: Capsys):
    path = tmp_path / "bad.tflite"
    path.write_bytes(content)
    ended = run_here(capsys, "styles", "add", path, "--as", "whitebox")
    assert ended.code == 1
    assert str(path) in ended.err
    assert len(ended.err.strip().splitlines()) == 1


def test_a_folder_that_is_no_model_is_one_line(tmp_path, capsys: Capsys):
    ended = run_here(capsys, "styles", "add", tmp_path, "--as", "whitebox")
    assert ended.code == 1
    assert f"OpenVINO cannot read {tmp_path}" in ended.err


def test_plans_of_it_are_not_built_and_it_is_said(monkeypatch, capsys: Capsys):
    from toonvid.commands import build

    assert run_here(capsys, "styles", "add", DATA / "small.tflite", "--order", "rgb").code == 0
    named = run_here(capsys, "build", "small")
    assert named.code in (1, 3)  # 3: TensorRT is not installed
    monkeypatch.setattr(build, "list_engines", lambda: [find_engine("small")])
    unnamed = run_here(capsys, "build")
    assert unnamed.out == "No plan of small, which is for OpenVINO alone\n"
