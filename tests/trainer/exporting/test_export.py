"""An exported engine gives the pixels of its generator, and its card describes it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import openvino
import pytest
import torch
from torch import nn

import trainer.exporting.export
from toonvid.backends import open_backend
from toonvid.engine import DataSource, Engine, find_engine
from toonvid.errors import TrainingError
from toonvid.video import Pixels
from trainer.exporting.export import OPSET, EngineText, export, read_credits, to_onnx
from trainer.networks.build import LiteGenerator, count_parameters
from trainer.training.run_folder import Run
from trainer.training.sample_sheet import stylize
from trainer.training.state import load_trained_generator


@pytest.fixture(scope="module")
def engine(trained: Run, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    sources = (DataSource("made-up", author="nobody", license="CC0-1.0", images=5),)
    text = EngineText("tiny-ink", description="For tests.", license="MIT", trained_on=sources)
    return export(trained, text, tmp_path_factory.mktemp("engines"))


def frames(count: int, height: int, width: int) -> Pixels:
    random = np.random.default_rng(height)
    return random.integers(0, 256, (count, height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("shape", [(1, 4, 4), (3, 64, 48), (1, 180, 320)])
def test_engine_and_generator_differ_by_at_most_one_level(
    engine: Engine, trained: Run, shape: tuple[int, int, int]
) -> None:
    generator, _ = load_trained_generator(trained.states, trained.record().config)
    with open_backend(engine, precision="f32") as backend:
        made = backend.run(frames(*shape))
    wanted = np.stack([stylize(generator, frame) for frame in frames(*shape)])
    assert np.abs(made.astype(int) - wanted).max() <= 1
    assert np.abs(made.astype(int) - frames(*shape)).mean() > 1  # the generator does something


def test_the_card_describes_the_engine(engine: Engine, trained: Run) -> None:
    card = find_engine(str(engine.card_path)).card
    generator, step = load_trained_generator(trained.states, trained.record().config)
    assert card == engine.card
    assert card.precisions == ("f32", "f16")
    assert card.parameters == count_parameters(generator)
    assert card.training_step == step
    assert card.multiple_of == 4
    assert card.title == "Tiny ink"
    assert card.trained_on[0].author == "nobody"
    assert card.metrics["levels_apart_f32"] <= 1
    assert "2 crops of 32 pixels a step; from photos 36, 48 pixels high" in card.recipe
    assert "initialization phase of 6 steps" in card.recipe


@pytest.mark.parametrize("half", [False, True])
def test_a_generator_that_changes_nothing_returns_every_level(half: bool) -> None:
    generator = LiteGenerator(width=6, blocks=1)
    for layer in (generator.gain, generator.offset):
        nn.init.zeros_(layer.color.weight)
    content = to_onnx(generator.half() if half else generator)
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=3)
    compiled = openvino.Core().compile_model(
        openvino.Core().read_model(content), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    np.testing.assert_array_equal(compiled(levels)[0], levels)


@pytest.mark.parametrize("precision", ["f32", "f16"])
def test_the_graph_keeps_the_contract(engine: Engine, precision: str) -> None:
    model = onnx.load(engine.path(precision))  # the hash is checked on the way
    onnx.checker.check_model(model, full_check=True)
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", OPSET)]
    # TensorRT accepts no other node behind a uint8 input.
    assert {node.op_type for node in model.graph.node if "frame" in node.input} == {"Cast"}
    wanted = onnx.TensorProto.FLOAT16 if precision == "f16" else onnx.TensorProto.FLOAT
    kinds = {value.data_type for value in model.graph.initializer if value.dims}
    assert kinds - {onnx.TensorProto.INT64} == {wanted}


def test_convolutions_have_plain_weights(engine: Engine) -> None:
    """Not the output of other nodes: a quantizer would take that for an activation."""
    graph = onnx.load(engine.path("f32")).graph
    plain = {value.name for value in graph.initializer}
    weights = [node.input[1] for node in graph.node if node.op_type == "Conv"]
    assert weights and plain.issuperset(weights)


def test_no_path_of_this_machine_is_written(engine: Engine, trained: Run) -> None:
    for path in engine.folder.iterdir():
        content = path.read_bytes()
        for place in (trained.folder.parent, engine.folder, Path(torch.__file__).parents[1]):
            assert str(place).encode() not in content


def test_an_engine_that_differs_is_not_written(
    engine: Engine, trained: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path: path.read_bytes() for path in engine.folder.iterdir()}
    true_to_onnx = trainer.exporting.export.to_onnx

    def drifting(generator: nn.Module) -> bytes:
        with torch.no_grad():
            generator.offset.color.bias += 3 / 127.5
            content = true_to_onnx(generator)
            generator.offset.color.bias -= 3 / 127.5
        return content

    monkeypatch.setattr(trainer.exporting.export, "to_onnx", drifting)
    with pytest.raises(
        TrainingError, match=r"f32 engine differs from its generator by [34] levels"
    ):
        export(trained, EngineText("tiny-ink"), engine.folder)
    assert {path: path.read_bytes() for path in engine.folder.iterdir()} == before


def test_undescribed_photos_are_named_by_their_folder(trained: Run, tmp_path: Path) -> None:
    (source,) = export(trained, EngineText("plain"), tmp_path).card.trained_on
    assert source.author == source.license == "not stated"
    assert source.name == Path(trained.record().photos).name


@pytest.mark.parametrize("style", ["", "Ink", "a b", "../ink"])
def test_a_wrong_style_name_is_refused(style: str) -> None:
    with pytest.raises(TrainingError, match="style name"):
        EngineText(style)


def test_a_target_that_cannot_be_written_is_an_error(trained: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TrainingError, match="cannot write to"):
        export(trained, EngineText("ink"), tmp_path / "file")


def test_credits_are_read(tmp_path: Path) -> None:
    path = tmp_path / "credits.json"
    path.write_text(json.dumps([{"name": "a", "author": "b", "licence": "MIT"}]))
    assert read_credits(path) == (DataSource("a", "b", "MIT"),)


@pytest.mark.parametrize("text", ["", "3", '{"name": 1}', '[{"name": "a"}]', '[{"colour": "a"}]'])
def test_wrong_credits_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "credits.json"
    path.write_text(text)
    with pytest.raises(TrainingError, match=r"credits\.json is not a list of data sets"):
        read_credits(path)


def test_missing_credits_are_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"cannot read .*missing"):
        read_credits(tmp_path / "missing")
