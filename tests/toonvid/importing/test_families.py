"""One command makes a style of each family's stand-in, equal to a plain run of the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from support.cartoonizers import BUILDERS, OPSETS
from support.run_toonvid import run_here

from toonvid.backends import open_backend
from toonvid.backends.cartoon_check import sample_frame
from toonvid.choices import BackendName
from toonvid.engine import find_engine
from toonvid.importing.families import FAMILIES
from toonvid.video import Pixels

Capsys = pytest.CaptureFixture[str]


def save(model: onnx.ModelProto, path: Path) -> Path:
    path.write_bytes(model.SerializeToString())
    return path


def plain_run(path: Path, family: str, frame: Pixels) -> Pixels:
    """Run a file as the programs of its family do: NumPy around ONNX Runtime."""
    known = FAMILIES[family]  # type: ignore[index]
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path.read_bytes(), options)
    [image] = session.get_inputs()[:1]
    values = frame.astype(np.float32)
    if known.value_range == "-1..1":
        values = values / 127.5 - 1
    if known.order == "bgr":
        values = values[..., ::-1]
    is_by_channel = image.shape[1] == 3
    if is_by_channel:
        values = values.transpose(0, 3, 1, 2)
    [result] = session.run(None, {image.name: np.ascontiguousarray(values, np.float32)})
    if is_by_channel:
        result = result.transpose(0, 2, 3, 1)
    if known.order == "bgr":
        result = result[..., ::-1]
    if known.value_range == "-1..1":
        result = (result + 1) * 127.5
    return np.clip(np.rint(result), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("family", list(BUILDERS))
def test_one_command_makes_an_equal_style(family, opset, tmp_path, capsys: Capsys):
    path = save(BUILDERS[family](opset), tmp_path / f"{family}.onnx")
    ended = run_here(capsys, "styles", "add", path, "--as", family)
    assert ended.code == 0, ended.err
    assert f"Added {family} to " in ended.out
    assert "License: not stated." in ended.out
    engine = find_engine(family)
    # Files of a fixed size run at no other one; the style does.
    frame = sample_frame(64, 64)[None]
    wanted = plain_run(path, family, frame)
    assert wanted.std() > 20
    backends: tuple[BackendName, ...] = ("openvino", "onnxruntime")
    for backend in backends:
        with open_backend(engine, backend, precision="f32") as opened:
            cartoon = opened.run(frame)
        assert np.abs(cartoon.astype(int) - wanted).max() <= 1, backend
    with open_backend(engine, "onnxruntime", precision="f16") as opened:
        assert np.abs(opened.run(frame).astype(int) - wanted).mean() < 1


@pytest.mark.parametrize("family", ["animeganv3", "whitebox", "cartoongan", "cartoongan-tf"])
def test_files_with_free_sides_are_equal_at_other_sizes(family, tmp_path, capsys: Capsys):
    path = save(BUILDERS[family](13), tmp_path / f"{family}.onnx")
    assert run_here(capsys, "styles", "add", path, "--as", family).code == 0
    frame = sample_frame(72, 136)[None]
    with open_backend(find_engine(family), "openvino", precision="f32") as opened:
        cartoon = opened.run(frame)
    assert np.abs(cartoon.astype(int) - plain_run(path, family, frame)).max() <= 1


def test_the_card_tells_where_the_style_comes_from(tmp_path, capsys: Capsys):
    from toonvid.engine import file_sha256

    path = save(BUILDERS["animeganv2"](11), tmp_path / "Hayao 64.onnx")
    options = ("--as", "animeganv2", "--licence", "CC BY-NC 4.0", "--title", "Hayao")
    assert run_here(capsys, "styles", "add", path, *options).code == 0
    card = find_engine("hayao-64").card
    assert card.is_imported
    assert card.recipe == (
        f"imported: Hayao 64.onnx, SHA-256 {file_sha256(path)}; NHWC, RGB, -1..1"
    )
    assert (card.license, card.title, card.multiple_of) == ("CC BY-NC 4.0", "Hayao", 32)
    assert "at least 256 pixels" in card.description
    assert card.precisions == ("f32", "f16")
    assert ("bf16" in card.unfit) != ("levels_apart_bf16" in card.metrics)
    shown = run_here(capsys, "styles", "show", "hayao-64").out
    assert "license: CC BY-NC 4.0" in shown
    assert run_here(capsys, "styles", "verify", "hayao-64").out == "hayao-64: f32 f16 good\n"


def test_multiply_adds_and_parameters_are_those_of_the_convolutions(tmp_path, capsys: Capsys):
    model = BUILDERS["whitebox"](17)
    path = save(model, tmp_path / "w.onnx")
    assert run_here(capsys, "styles", "add", path, "--as", "whitebox").code == 0
    card = find_engine("w").card
    # 7x7 in and out at full size, 3x3 at a half twice, at a quarter once, and at a half once.
    half, quarter = 9 * 8 * 8 / 4, 9 * 8 * 8 / 16
    wanted = 2 * 49 * 3 * 8 + 2 * half + quarter + half
    assert card.multiply_adds_per_pixel == round(wanted)
    weights = [onnx.numpy_helper.to_array(each) for each in model.graph.initializer]
    assert card.parameters >= sum(each.size for each in weights if each.ndim == 4)
