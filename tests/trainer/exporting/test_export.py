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
from trainer.config import TrainConfig, change_config
from trainer.exporting.export import OPSET, EngineText, export, find_controls, read_credits, to_onnx
from trainer.networks.build import LiteGenerator, count_parameters
from trainer.networks.cel import CelGenerator, Look
from trainer.training.run_folder import Run, Sources
from trainer.training.sample_sheet import stylize
from trainer.training.state import load_trained_generator
from trainer.training.train import train


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


@pytest.fixture(scope="module")
def cel_run(config: TrainConfig, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of the generator `cel`: random weights after two steps, and a look of its own."""
    settings = ("generator=cel", "width=8", "look_ink=0.8", "look_tones=4", "look_saturation=0.5")
    settings += ("look_exposure=1.2", "initialization.steps=2")
    settings += ("initialization.equivariance_weight=0",)  # its shifts are multiples of 4
    changed = change_config(config, settings)
    run, sources = Run(tmp_path_factory.mktemp("runs") / "cel"), Sources(photos)
    run.claim("cel", changed, sources)
    train(run, changed, sources)
    return run


def test_the_controls_of_cel_are_inputs_with_the_look_as_defaults(
    cel_run: Run, tmp_path: Path
) -> None:
    engine = export(cel_run, EngineText("tiny-cel"), tmp_path)
    found = {n: (c.default, c.minimum, c.maximum) for n, c in engine.card.controls.items()}
    assert found == {"ink": (0.8, 0, 2), "tones": (4, 2, 12), "saturation": (0.5, 0, 2)}
    for precision in ("f32", "f16"):
        inputs = onnx.load(engine.path(precision)).graph.input
        assert [value.name for value in inputs] == ["frame", *engine.card.controls]
        for value in inputs[1:]:
            kind = value.type.tensor_type
            assert kind.elem_type == onnx.TensorProto.FLOAT
            assert [side.dim_value for side in kind.shape.dim] == [1]
    generator, _ = load_trained_generator(cel_run.states, cel_run.record().config)
    image = frames(1, 64, 48)
    with open_backend(engine, precision="f32") as backend:
        drawn = [backend.run(image)]
        assert np.abs(drawn[0][0].astype(int) - stylize(generator, image[0])).max() <= 1
        for values in ({"ink": 2.0}, {"tones": 2.0}, {"saturation": 2.0}):
            look = Look(**{"ink": 0.8, "tones": 4, "saturation": 0.5, "exposure": 1.2, **values})
            generator.look = look
            drawn.append(backend.run(image, values))
            assert np.abs(drawn[-1][0].astype(int) - stylize(generator, image[0])).max() <= 1
    assert all(np.abs(drawn[0].astype(int) - other).max() > 20 for other in drawn[1:])


def test_the_range_of_a_control_holds_the_look_of_the_run() -> None:
    controls = find_controls(CelGenerator(8, 1, Look(ink=2.5, tones=1, saturation=1)))
    found = {n: (c.default, c.minimum, c.maximum) for n, c in controls.items()}
    assert found == {"ink": (2.5, 0, 2.5), "tones": (1, 1, 12), "saturation": (1, 0, 2)}
    assert find_controls(LiteGenerator(width=6, blocks=1)) == {}


@pytest.mark.parametrize("control", ["ink", "tones", "saturation"])
def test_an_engine_that_differs_at_an_end_of_a_control_is_not_written(
    control: str, cel_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_to_onnx = trainer.exporting.export.to_onnx

    def without_control(generator: nn.Module) -> bytes:
        """The control stays an input and moves nothing."""
        model = onnx.load_from_string(true_to_onnx(generator))
        half = next(generator.parameters()).dtype == torch.float16
        kind = onnx.TensorProto.FLOAT16 if half else onnx.TensorProto.FLOAT
        default = onnx.helper.make_tensor("fixed", kind, [1], [getattr(generator.look, control)])
        model.graph.initializer.append(default)
        casts = [node for node in model.graph.node if control in node.input]
        for node in model.graph.node:
            for cast in casts:
                node.input[:] = ["fixed" if n == cast.output[0] else n for n in node.input]
        return model.SerializeToString()

    monkeypatch.setattr(trainer.exporting.export, "to_onnx", without_control)
    with pytest.raises(TrainingError, match=r"f32 engine differs from its generator by \d+ levels"):
        export(cel_run, EngineText("tiny-cel"), tmp_path)
    assert not list(tmp_path.iterdir())


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


@pytest.mark.parametrize(
    ("license_name", "count"), [("license", "images"), ("licence", "pictures")]
)
def test_credits_are_read(tmp_path: Path, license_name: str, count: str) -> None:
    path = tmp_path / "credits.json"
    path.write_text(json.dumps([{"name": "a", "author": "b", license_name: "MIT", count: 3}]))
    assert read_credits(path) == (DataSource("a", "b", "MIT", images=3),)


@pytest.mark.parametrize("text", ["", "3", '{"name": 1}', '[{"name": "a"}]', '[{"colour": "a"}]'])
def test_wrong_credits_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "credits.json"
    path.write_text(text)
    with pytest.raises(TrainingError, match=r"credits\.json is not a list of data sets"):
        read_credits(path)


def test_missing_credits_are_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"cannot read .*missing"):
        read_credits(tmp_path / "missing")
