"""An INT8 engine is close to its float32 engine, or it is not kept."""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch

from toonvid.backends import open_backend
from toonvid.bench.demo_scene import draw_scene
from toonvid.engine import Engine, EngineCard, read_engine
from toonvid.errors import TrainingError
from trainer.exporting import quantize
from trainer.exporting.export import find_controls, to_onnx
from trainer.exporting.quantize import add_int8
from trainer.networks.build import LiteGenerator
from trainer.networks.cel import CelGenerator


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    """A small generator with random weights, exported."""
    torch.manual_seed(0)
    content = to_onnx(LiteGenerator(width=12, blocks=1))
    (tmp_path / "small.onnx").write_bytes(content)
    card = EngineCard(
        style="small",
        title="Small",
        description="For tests.",
        sha256={"small.onnx": hashlib.sha256(content).hexdigest()},
        parameters=0,
        multiply_adds_per_pixel=0,
        license="MIT",
        multiple_of=4,
    )
    (tmp_path / "small.json").write_text(card.to_json(), encoding="utf-8")
    return Engine(card, tmp_path)


def write_photos(folder: Path, count: int) -> Path:
    folder.mkdir()
    for index in range(count):
        pixels = draw_scene(70, 50, 2.0 * index)
        cv2.imwrite(str(folder / f"{index:02d}.png"), pixels[:, :, ::-1])
    return folder


def test_int8_engine_is_close_to_float32_and_on_the_card(
    engine: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    added = add_int8(engine, write_photos(tmp_path / "photos", 24))
    assert capsys.readouterr().out == ""
    assert read_engine(tmp_path / "small.onnx") == added
    assert added.card.precisions == ("f32", "int8")
    assert added.card.metrics["int8_psnr_db"] >= quantize.MIN_PSNR_DB
    frame = draw_scene(64, 48, 1.0)[None]
    with open_backend(added, precision="int8") as rough, open_backend(added, precision="f32") as f:
        assert rough.precision == "int8"
        apart = np.abs(rough.run(frame).astype(int) - f.run(frame))
    assert 0 < apart.max() < 16


@pytest.fixture
def cel_engine(tmp_path: Path) -> Engine:
    """A small `cel` with random weights, exported."""
    torch.manual_seed(0)
    generator = CelGenerator(width=12, blocks=1)
    content = to_onnx(generator)
    (tmp_path / "cel.onnx").write_bytes(content)
    card = EngineCard(
        style="cel",
        title="Cel",
        description="For tests.",
        sha256={"cel.onnx": hashlib.sha256(content).hexdigest()},
        parameters=0,
        multiply_adds_per_pixel=0,
        license="MIT",
        controls=find_controls(generator),
        multiple_of=8,
    )
    (tmp_path / "cel.json").write_text(card.to_json(), encoding="utf-8")
    return Engine(card, tmp_path)


def test_an_engine_with_controls_keeps_them_in_int8(cel_engine: Engine, tmp_path: Path) -> None:
    added = add_int8(cel_engine, write_photos(tmp_path / "photos", 20))
    metrics = added.card.metrics
    assert quantize.MIN_PSNR_DB <= metrics["int8_psnr_db_lowest"] <= metrics["int8_psnr_db"]
    frame = draw_scene(64, 48, 1.0)[None]
    with open_backend(added, precision="int8") as rough, open_backend(added, precision="f32") as f:
        default = rough.run(frame)
        for values in ({"ink": 2.0}, {"tones": 2.0}, {"saturation": 0.0}):
            drawn = rough.run(frame, values).astype(int)
            assert np.abs(drawn - default).mean() > 1
            assert np.abs(drawn - f.run(frame, values)).mean() < 2


def test_an_int8_engine_that_differs_at_an_end_of_a_control_is_not_kept(
    cel_engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_photos(tmp_path / "photos", 18)
    monkeypatch.setattr(quantize, "_psnr_db", lambda *_: [50.0, 49.0, 34.9, 50.0])
    with pytest.raises(TrainingError, match=r"PSNR of 34\.9 dB against float32"):
        add_int8(cel_engine, folder)
    assert not (tmp_path / "cel.int8.onnx").exists()


def test_convolutions_are_quantized_within_the_standard_domain(
    engine: Engine, tmp_path: Path
) -> None:
    path = add_int8(engine, write_photos(tmp_path / "photos", 18)).path("int8")
    model = onnx.load(path)
    assert {domain.domain for domain in model.opset_import} <= {"", "ai.onnx"}
    made_by = {name: node.op_type for node in model.graph.node for name in node.output}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    quantized = [made_by.get(node.input[1]) == "DequantizeLinear" for node in convolutions]
    assert quantized == [True] * 4 + [False] * 2  # the last two make colors


def test_int8_engine_that_differs_too_much_is_not_kept(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantize, "MIN_PSNR_DB", 97.0)
    with pytest.raises(TrainingError, match="dB against float32, 97 are required: it is not kept"):
        add_int8(engine, write_photos(tmp_path / "photos", 18))
    assert not (tmp_path / "small.int8.onnx").exists()
    assert read_engine(tmp_path / "small.json") == engine


def test_too_few_photos_are_refused(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="int8 needs more than 16"):
        add_int8(engine, write_photos(tmp_path / "photos", 16))


def test_missing_onnxruntime_is_named_in_one_line(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantize.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(TrainingError, match=r"pip install 'toonvid\[onnxruntime\]'"):
        add_int8(engine, write_photos(tmp_path / "photos", 18))


def test_a_value_is_rounded_once_between_two_convolutions(
    cel_engine: Engine, tmp_path: Path
) -> None:
    path = add_int8(cel_engine, write_photos(tmp_path / "photos", 18)).path("int8")
    nodes = onnx.load(path).graph.node
    made_by = {name: node.op_type for node in nodes for name in node.output}
    activations = [node for node in nodes if node.op_type == "LeakyRelu"]
    assert len(activations) == 9
    assert {made_by[node.input[0]] for node in activations} == {"Conv", "Add"}
    read_by = {name: node.op_type for node in nodes for name in node.input}
    assert sum(read_by[node.output[0]] == "QuantizeLinear" for node in activations) == 8
