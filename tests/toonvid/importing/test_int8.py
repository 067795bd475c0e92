"""The steps of 8-bit weights: no sum of two products overflows 16 bits, on any CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from toonvid.importing.int8 import find_scales, quantize

pytest.importorskip("onnxruntime")


def whitening_engine(folder: Path) -> Path:
    """An engine whose first convolution has large weights of one sign, for the mean of a color."""
    weights = np.linspace(0.5, 1, 8 * 3 * 9, dtype=np.float32).reshape(8, 3, 3, 3)
    back = np.ones((3, 8, 1, 1), np.float32) / 8 / 20.25
    constants = {"weights": weights, "bias": np.zeros(8, np.float32), "back": back}
    nodes = [
        helper.make_node("Cast", ["frame"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["float"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "weights", "bias"], ["a"], pads=[1] * 4, name="first"),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "back"], ["c"], name="last"),
        helper.make_node("Transpose", ["c"], ["d"], perm=[0, 2, 3, 1]),
        helper.make_node("Cast", ["d"], ["cartoon"], to=TensorProto.UINT8),
    ]
    shape = ["N", "H", "W", 3]
    graph = helper.make_graph(
        nodes,
        "white",
        [helper.make_tensor_value_info("frame", TensorProto.UINT8, shape)],
        [helper.make_tensor_value_info("cartoon", TensorProto.UINT8, shape)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = folder / "white.onnx"
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("inputs", [1, 3, 12])
def test_no_two_products_overflow_16_bits(inputs: int) -> None:
    random = np.random.default_rng(inputs)
    for weights in (
        random.normal(size=(16, inputs, 3, 3)),
        np.ones((4, inputs, 3, 3)),
        -np.ones((4, inputs, 1, 1)),
    ):
        scales = find_scales(weights.astype(np.float32))
        steps = np.rint(weights / scales[:, None, None, None]).astype(int)
        assert np.abs(steps).max() <= 127
        padded = np.pad(steps, ((0, 0), (0, inputs % 2), (0, 0), (0, 0)))
        pairs = padded.reshape(len(steps), -1, 2, *steps.shape[2:])
        for sign in (1, -1):
            sums = 255 * np.maximum(sign * pairs, 0).sum(axis=2)
            assert sums.max() < 2**15
        # Not needlessly coarse: half of the range at least.
        assert np.abs(steps).reshape(len(steps), -1).max(axis=1).min() >= 63


def test_a_channel_without_weights_has_a_step() -> None:
    assert find_scales(np.zeros((2, 4, 3, 3), np.float32)).tolist() == [1, 1]


def test_quantized_weights_have_these_steps(tmp_path: Path) -> None:
    path = whitening_engine(tmp_path)
    white = np.full((16, 16, 3), 255, np.uint8)
    model = onnx.load_from_string(quantize(path, [white, white // 2]))
    constants = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    steps = constants["weights_quantized"].astype(int)
    assert steps.shape == (8, 3, 3, 3)
    assert 60 <= np.abs(steps).max() <= 68
    wanted = find_scales(np.linspace(0.5, 1, 216, dtype=np.float32).reshape(8, 3, 3, 3))
    np.testing.assert_allclose(constants["weights_scale"], wanted)
