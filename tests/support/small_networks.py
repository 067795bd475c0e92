"""Networks of a few operators, for what an import refuses or has to be told."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FREE = (1, 3, "height", "width")


def constant(name: str, values: object, kind: type = np.float32) -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(values, kind), name)


def network(
    nodes: Sequence[onnx.NodeProto],
    constants: Sequence[onnx.TensorProto] = (),
    shape: Sequence[int | str] = FREE,
    output_shape: Sequence[int | str] | None = None,
    kind: int = TensorProto.FLOAT,
) -> onnx.ModelProto:
    """Make a network from `x` to `y`."""
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info("y", kind, output_shape or shape)],
        initializer=list(constants),
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def inverting(shape: Sequence[int | str] = FREE) -> onnx.ModelProto:
    """y = -x: in the range -1..1 a negative, which does not depend on the color order."""
    return network([helper.make_node("Neg", ["x"], ["y"], name="neg")], shape=shape)


def first_channel_doubled(shape: Sequence[int | str] = FREE) -> onnx.ModelProto:
    """The first channel is enlarged, the others are inverted: order and range can be seen."""
    factors = constant("factors", np.reshape([2, -1, -1], (3, 1, 1)))
    return network([helper.make_node("Mul", ["x", "factors"], ["y"])], [factors], shape)


def constant_cartoon(value: float, opset_shape: Sequence[int | str] = FREE) -> onnx.ModelProto:
    """y = value, whatever x is."""
    nodes = [
        helper.make_node("Mul", ["x", "zero"], ["nothing"]),
        helper.make_node("Add", ["nothing", "value"], ["y"]),
    ]
    return network(nodes, [constant("zero", 0), constant("value", value)], opset_shape)


def save(model: onnx.ModelProto, path: Path) -> Path:
    path.write_bytes(model.SerializeToString())
    return path
