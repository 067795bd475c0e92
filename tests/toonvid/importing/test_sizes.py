"""Fixed sizes are freed where that is safe; else frames are resized to them, which is said."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper
from support.cartoonizers import BUILDERS, face_paint
from support.run_toonvid import run_here
from support.small_networks import constant, inverting, network, save

from toonvid.backends import open_backend
from toonvid.backends.cartoon_check import sample_frame
from toonvid.engine import find_engine
from toonvid.errors import EngineError
from toonvid.importing import sizes as sizes_module
from toonvid.importing.facts import find_facts
from toonvid.importing.prepare_graph import prepare_graph
from toonvid.importing.sizes import Sizes, find_sizes

Capsys = pytest.CaptureFixture[str]
CHOICES = ("--order", "rgb", "--range", "-1..1")


def sizes_of(model: onnx.ModelProto) -> Sizes:
    prepared = prepare_graph(model)
    return find_sizes(prepared, find_facts(prepared))[2]


def mean_by_constant(side: int) -> onnx.ModelProto:
    """A mean whose divisor, the number of pixels, stands in the weights."""
    nodes = [
        helper.make_node("ReduceSum", ["x", "axes"], ["sum"], keepdims=1),
        helper.make_node("Div", ["sum", "pixels"], ["mean"]),
        helper.make_node("Sub", ["mean", "x"], ["y"]),
    ]
    constants = [constant("axes", [2, 3], np.int64), constant("pixels", side * side)]
    return network(nodes, constants, (1, 3, side, side))


def shapes_in_weights(side: int) -> onnx.ModelProto:
    """Reshaped to shapes that stand in the weights, as older exporters of GroupNorm do."""
    nodes = [
        helper.make_node("Reshape", ["x", "rows"], ["long"]),
        helper.make_node("Neg", ["long"], ["dark"]),
        helper.make_node("Reshape", ["dark", "image"], ["y"]),
    ]
    constants = [
        constant("rows", [1, 3, side * side], np.int64),
        constant("image", [1, 3, side, side], np.int64),
    ]
    return network(nodes, constants, (1, 3, side, side))


@pytest.mark.parametrize(
    ("model", "sizes"),
    [
        (BUILDERS["animeganv3"](17), Sizes(8)),
        (BUILDERS["whitebox"](17), Sizes(4)),
        (inverting(), Sizes(1)),
        (inverting((1, 3, 64, 96)), Sizes(1, was_freed=True)),
        (face_paint(17), Sizes(2, was_freed=True)),
        (BUILDERS["fast-neural-style"](9), Sizes(4, was_freed=True)),
        (mean_by_constant(64), Sizes(1, fixed=(64, 64))),
        (shapes_in_weights(48), Sizes(1, fixed=(48, 48))),
    ],
)
def test_sizes_are_found(model, sizes):
    assert sizes_of(model) == sizes


def test_a_network_that_changes_the_size_is_refused():
    double = helper.make_node("Resize", ["x", "", "scales"], ["y"])
    model = network([double], [constant("scales", [1, 1, 2, 2])])
    with pytest.raises(EngineError, match="turns an image of 256x256 into 1x3x512x512 values"):
        sizes_of(model)


def test_frames_are_resized_around_a_fixed_size(tmp_path, capsys: Capsys):
    path = save(shapes_in_weights(64), tmp_path / "fixed.onnx")
    ended = run_here(capsys, "styles", "add", path, *CHOICES)
    assert ended.code == 0
    assert "note: It works at 64x64 only: every frame is resized to that size" in ended.err
    assert "frames per second here at any --size" in ended.out
    engine = find_engine("fixed")
    assert engine.card.multiple_of == 1
    assert "Frames are resized to 64x64 and back." in engine.card.description
    own = sample_frame(64, 64)[None]
    smooth = np.indices((90, 50)).sum(axis=0)[None, ..., None].repeat(3, axis=3).astype(np.uint8)
    for backend in ("openvino", "onnxruntime"):
        with open_backend(engine, backend, precision="f32") as opened:
            assert np.abs(opened.run(own).astype(int) - (255 - own.astype(int))).max() <= 1
            drawn = opened.run(smooth).astype(int)
        assert np.abs(drawn - (255 - smooth.astype(int))).mean() < 2


def test_a_freed_size_is_said_and_multiples_are_checked(tmp_path, capsys: Capsys):
    path = save(face_paint(17), tmp_path / "paint.onnx")
    ended = run_here(capsys, "styles", "add", path, *CHOICES, "--multiple-of", "6")
    assert ended.code == 0
    assert "note: It states 64x64, and works at other sizes too" in ended.err
    assert find_engine("paint").card.multiple_of == 6
    wrong = run_here(capsys, "styles", "add", path, *CHOICES, "--multiple-of", "3", "-y")
    assert wrong.code == 1
    assert "multiples of 2, which --multiple-of 3 is not" in wrong.err


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (network([helper.make_node("Neg", ["x"], ["y"])], shape=(1, 1, 8, 8)), "no image with"),
        (network([helper.make_node("Neg", ["x"], ["y"])], shape=(1, 3, 8)), "has 3 dimensions"),
        (network([helper.make_node("Neg", ["x"], ["y"])], shape=(4, 3, 8, 8)), "a batch of 4"),
        (
            network([helper.make_node("Neg", ["x"], ["y"])], kind=onnx.TensorProto.FLOAT16),
            "is FLOAT16, not FLOAT; add the float32 file",
        ),
    ],
)
def test_what_is_no_image_is_refused(model, message):
    with pytest.raises(EngineError, match=message):
        sizes_of(model)


def test_a_size_that_is_not_kept_is_found_by_the_check(tmp_path, monkeypatch, capsys: Capsys):
    # Every shape that is inferred may be right and the computed one still be wrong.
    monkeypatch.setattr(sizes_module, "keeps_size", lambda *_: True)
    double = helper.make_node("Resize", ["x", "", "scales"], ["y"])
    model = network([double], [constant("scales", [1, 1, 2, 2])])
    ended = run_here(capsys, "styles", "add", save(model, tmp_path / "two.onnx"), *CHOICES)
    assert ended.code == 1
    assert "turns 320x256 into 640x512; --multiple-of may help" in ended.err
