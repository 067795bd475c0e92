"""What a graph says about its values, and what it leaves open."""

from __future__ import annotations

import onnx
import pytest
from onnx import helper
from PIL import Image
from support.run_toonvid import run_here
from support.small_networks import FREE, constant, network, save

from toonvid.engine import find_engine
from toonvid.importing.facts import find_facts
from toonvid.importing.prepare_graph import prepare_graph

Capsys = pytest.CaptureFixture[str]


def ended_by(kind: str, *limits: float) -> onnx.ModelProto:
    names = [f"limit{at}" for at in range(len(limits))]
    constants = [constant(name, limit) for name, limit in zip(names, limits, strict=True)]
    nodes = [
        helper.make_node("Neg", ["x"], ["dark"]),
        helper.make_node(kind, ["dark", *names], ["bounded"]),
        helper.make_node("Identity", ["bounded"], ["y"]),
    ]
    return network(nodes, constants)


def begun_by(kind: str, value: float) -> onnx.ModelProto:
    nodes = [
        helper.make_node("Identity", ["x"], ["image"]),
        helper.make_node(kind, ["image", "value"], ["scaled"]),
        helper.make_node("Neg", ["scaled"], ["y"]),
    ]
    return network(nodes, [constant("value", [value])])


@pytest.mark.parametrize(
    ("model", "found"),
    [
        (ended_by("Tanh"), "-1..1"),
        (ended_by("Sigmoid"), "0..1"),
        (ended_by("Clip", -1, 1), "-1..1"),
        (ended_by("Clip", 0, 1), "0..1"),
        (ended_by("Clip", 0, 255), "0..255"),
        (ended_by("Clip", 0, 6), None),
        (ended_by("Relu"), None),
    ],
)
def test_the_range_of_the_output_is_that_of_the_last_operator(model, found):
    assert find_facts(prepare_graph(model)).output_range == found


@pytest.mark.parametrize(
    ("model", "found"),
    [
        (begun_by("Div", 255), "0..255"),
        (begun_by("Mul", 1 / 127.5), "0..255"),
        (begun_by("Sub", 127.5), "0..255"),
        (begun_by("Mul", 2), None),
        (begun_by("Sub", 0.5), None),
    ],
)
def test_the_range_of_the_input_is_that_of_the_first_operator(model, found):
    assert find_facts(prepare_graph(model)).input_range == found


def test_ranges_that_the_graph_says_need_no_option(tmp_path, capsys: Capsys):
    nodes = [
        helper.make_node("Div", ["x", "large"], ["scaled"]),
        helper.make_node("Neg", ["scaled"], ["dark"]),
        helper.make_node("Sigmoid", ["dark"], ["y"]),
    ]
    path = save(network(nodes, [constant("large", 100)], FREE), tmp_path / "s.onnx")
    assert run_here(capsys, "styles", "add", path, "--order", "rgb").code == 0
    assert find_engine("s").card.recipe.endswith("NCHW, RGB, 0..255 to 0..1")
    options = ("--order", "rgb", "--output-range", "-1..1", "-y")
    assert run_here(capsys, "styles", "add", path, *options).code == 0
    assert find_engine("s").card.recipe.endswith("NCHW, RGB, 0..255 to -1..1")


def test_a_network_with_two_inputs_is_refused(tmp_path, capsys: Capsys):
    model = network([helper.make_node("Add", ["x", "more"], ["y"])])
    model.graph.input.append(helper.make_tensor_value_info("more", onnx.TensorProto.FLOAT, FREE))
    path = save(model, tmp_path / "two.onnx")
    ended = run_here(capsys, "styles", "add", path, "--as", "whitebox")
    assert ended.code == 1
    assert f"{path}: it needs one input, an image; it has 2: 'x', 'more'" in ended.err


def test_a_free_side_may_be_written_as_minus_one(tmp_path, capsys: Capsys):
    model = ended_by("Tanh")
    for side in model.graph.input[0].type.tensor_type.shape.dim[2:]:
        side.Clear()
        side.dim_value = -1
    path = save(model, tmp_path / "paddle.onnx")
    ended = run_here(capsys, "styles", "add", path, "--order", "rgb", "--range", "-1..1")
    assert ended.code == 0, ended.err
    assert find_engine("paddle").card.style == "paddle"


def test_the_name_of_a_shipped_style_is_not_taken_by_accident(tmp_path, capsys: Capsys):
    path = save(ended_by("Tanh"), tmp_path / "ink.onnx")
    command = ("styles", "add", path, "--order", "rgb", "--range", "-1..1")
    refused = run_here(capsys, *command)
    assert refused.code == 1
    assert "toonvid comes with a style ink: give another --name" in refused.err
    assert run_here(capsys, *command, "--name", "my-ink").code == 0
    assert run_here(capsys, *command, "--overwrite").code == 0


def test_a_sheet_is_not_written_over_its_own_picture(tmp_path, capsys: Capsys):
    path = save(ended_by("Tanh"), tmp_path / "other.onnx")
    picture = tmp_path / "picture.png"
    Image.new("RGB", (64, 48), "red").save(picture)
    content = picture.read_bytes()
    sheet = ("--sheet", picture, "--picture", picture, "--overwrite")
    refused = run_here(capsys, "styles", "add", path, *sheet)
    assert refused.code == 1
    assert "would be written over itself" in refused.err
    assert picture.read_bytes() == content
