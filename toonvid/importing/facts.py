"""What a network's graph says about itself: layout, size, and the range of its output.

In: a network. Out: `Facts`. What no graph says, RGB or BGR for one, is asked of the user.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

from toonvid.choices import ValueRange
from toonvid.errors import EngineError
from toonvid.importing.network import Layout
from toonvid.importing.prepare_graph import element_type, the_input, the_output
from toonvid.importing.source_file import show

_UNCHANGING = (
    *("Identity", "Transpose", "Reshape", "Squeeze", "Unsqueeze", "Cast", "Slice"),
    *("Pad", "Resize", "Gather", "Dropout"),
)
"""Types of operators after which values are in the range that they had before."""
_LARGE_LEVEL = 50.0  # a larger constant that is subtracted or divided by is one of 0..255
_SMALL_SCALE = 0.02  # 1/127.5 and 1/255 are smaller
_FEW = 16  # values of a constant that is looked at


@dataclass(frozen=True)
class Facts:
    """What a graph says about its input and output."""

    input_name: str
    """Name of the input."""
    layout: Layout | None
    """Layout of the input; None where the sides of the input are all free."""
    fixed_size: tuple[int, int] | None
    """(height, width) that the file states, in pixels; None if it leaves one of them free."""
    input_range: ValueRange | None
    """Range of the input, if the first operator scales it; else None."""
    output_range: ValueRange | None
    """Range of the output, if the last operator bounds it; else None."""


def find_facts(model: ModelProto) -> Facts:
    """Read the facts off a graph.

    Args:
        model: Network as `prepare_graph.prepare_graph` gives it.

    Raises:
        EngineError: Its input or output is no image of float32.
    """
    image = the_input(model)
    the_output(model)
    if (found := element_type(image)) != "FLOAT":
        advice = {
            "UINT8": "; an engine of toonvid needs its card beside it (docs/styles.md)",
            "FLOAT16": "; add the float32 file, of which toonvid makes a float16 one",
        }.get(found, "")
        raise EngineError(f"its input {show(image.name)} is {found}, not FLOAT{advice}")
    # Some exporters write a free side as -1, which all libraries take for one.
    written = [side.dim_value for side in image.type.tensor_type.shape.dim]
    sides = [None if side in (0, -1) else side for side in written]
    if len(sides) != 4:
        raise EngineError(f"its input {show(image.name)} has {len(sides)} dimensions, not 4")
    if any(side is not None and side < 0 for side in sides):
        raise EngineError(f"its input {show(image.name)} has an impossible shape")
    if sides[0] not in (None, 1):
        raise EngineError(f"its input {show(image.name)} is a batch of {sides[0]} images, not 1")
    layout = _find_layout(sides)
    height, width = sides[2:] if layout == "NCHW" else sides[1:3]
    return Facts(
        input_name=image.name,
        layout=layout,
        fixed_size=(height, width) if layout and height and width else None,
        input_range=_find_input_range(model),
        output_range=_find_output_range(model),
    )


def _find_layout(sides: list[int | None]) -> Layout | None:
    """Find the axis with three channels.

    Raises:
        EngineError: There is none, or it may be either.
    """
    first, last = sides[1], sides[3]
    if first == 3 and last != 3:
        return "NCHW"
    if last == 3 and first != 3:
        return "NHWC"
    if first is None and last is None:
        return None
    shape = "x".join("?" if side is None else str(side) for side in sides)
    raise EngineError(f"its input of {shape} is no image with three channels")


def _find_input_range(model: ModelProto) -> ValueRange | None:
    """Find the range that the first operator scales from, such as a division by 255."""
    name = the_input(model).name
    while True:
        takers = [node for node in model.graph.node if name in node.input]
        if len(takers) != 1:
            return None
        node = takers[0]
        if node.op_type not in _UNCHANGING:
            break
        name = node.output[0]
    constants = find_constants(model)
    values = [np.abs(constants[each]) for each in node.input if each in constants]
    if node.op_type not in ("Sub", "Add", "Mul", "Div") or len(values) != 1 or not values[0].size:
        return None
    size = float(values[0].max())
    if node.op_type == "Mul":
        return "0..255" if size < _SMALL_SCALE else None
    return "0..255" if size > _LARGE_LEVEL else None


def find_constants(model: ModelProto) -> dict[str, NDArray[Any]]:
    """Return the constants of up to 16 values by name: weights and Constant operators."""
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute and node.attribute[0].HasField("t"):
            tensors[node.output[0]] = node.attribute[0].t
    return {
        name: numpy_helper.to_array(tensor)
        for name, tensor in tensors.items()
        if math.prod(tensor.dims) <= _FEW and tensor.data_type != TensorProto.STRING
    }


def _find_output_range(model: ModelProto) -> ValueRange | None:
    """Find the range to which the last operator that changes values bounds them."""
    makers = {name: node for node in model.graph.node for name in node.output}
    node = makers.get(the_output(model).name)
    while node is not None and node.op_type in _UNCHANGING:
        node = makers.get(node.input[0])
    if node is None:
        return None
    if node.op_type == "Tanh":
        return "-1..1"
    if node.op_type in ("Sigmoid", "HardSigmoid"):
        return "0..1"
    if node.op_type == "Clip":
        return _range_of_clip(node, model)
    return None


def _range_of_clip(node: NodeProto, model: ModelProto) -> ValueRange | None:
    constants = find_constants(model)
    limits = [
        float(constants[name].ravel()[0])
        for name in node.input[1:3]
        if name in constants and constants[name].size
    ]
    known: dict[tuple[float, ...], ValueRange] = {
        (-1.0, 1.0): "-1..1",
        (0.0, 1.0): "0..1",
        (0.0, 255.0): "0..255",
    }
    return known.get(tuple(limits))
