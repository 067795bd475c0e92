"""INT8 engines of the generator `cel`: what is between its network and its cartoon becomes bytes.

In: the content of an int8 file whose convolutions are quantized (`toonvid.importing.int8`). Out:
the same with color layers of 8 bits, in steps of one level, as frames have them. A library then
moves a quarter of the data. Other generators' files come out as they are.
"""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from toonvid.importing.int8 import remove_unused_constants
from trainer.exporting.cel_frames import COLOR, LARGE, SMALL

_LEVEL = np.float32(1 / 255)
_MOVERS = ("Transpose", "Reshape", "Concat")
_FILTER_STEP = np.float32(1 / 16)  # of the weights that enlarge: 9, 3 and 1 sixteenths


def store_as_bytes(content: bytes) -> bytes:
    """Quantize the color layers of a file, and the fixed filters that enlarge them.

    Args:
        content: ONNX file, opset 13 or later.

    Returns:
        Content of the new file.
    """
    model = onnx.load_from_string(content)
    graph = model.graph
    nodes = {node.name: node for node in graph.node}
    layers = [f"/generator/{SMALL}/Concat", f"/generator/{LARGE}/Conv", f"/generator/{COLOR}/Clip"]
    if not all(name in nodes for name in layers):
        return content
    for name in ("up", "up_again"):
        rows = [f"/generator/{name}/rows.{row}/Conv_output_0" for row in (0, 1)]
        _share_scale(graph, rows)
        _join_as_bytes(graph, rows)
    _quantize_weights(graph, nodes[layers[1]])
    for name in layers:
        _quantize_output(graph, nodes[name])
    remove_unused_constants(graph)
    del graph.value_info[:]  # types of tensors that are bytes now
    return model.SerializeToString()


def _quantize_output(graph: onnx.GraphProto, node: onnx.NodeProto) -> None:
    """Put a quantization and its inverse between a node and all that read it."""
    name = node.output[0]
    scale = _add_constant(graph, f"{name}_level", _LEVEL)
    zero = _add_constant(graph, f"{name}_zero", np.array(0, np.uint8))
    _replace_input(graph, name, f"{name}_dequantized")
    pair = (
        ("QuantizeLinear", name, f"{name}_quantized"),
        ("DequantizeLinear", f"{name}_quantized", f"{name}_dequantized"),
    )
    place = list(graph.node).index(node) + 1  # nodes are in the order of their execution
    for kind, source, target in reversed(pair):
        graph.node.insert(place, helper.make_node(kind, [source, scale, zero], [target]))


def _share_scale(graph: onnx.GraphProto, names: list[str]) -> None:
    """Give tensors one scale, so that they can be brought together as bytes."""
    constants = {each.name: each for each in graph.initializer}
    pairs = [(constants[f"{name}_scale"], constants[f"{name}_zero_point"]) for name in names]
    values = [[numpy_helper.to_array(each).astype(float) for each in pair] for pair in pairs]
    smallest = min(float(-zero * scale) for scale, zero in values)
    largest = max(float((255 - zero) * scale) for scale, zero in values)
    scale = np.float32((largest - smallest) / 255)
    zero = np.uint8(np.rint(-smallest / scale))
    for pair in pairs:
        for constant, value in zip(pair, (scale, zero), strict=True):
            constant.CopyFrom(numpy_helper.from_array(np.asarray(value), constant.name))


def _join_as_bytes(graph: onnx.GraphProto, names: list[str]) -> None:
    """Dequantize tensors of one scale behind the nodes that only move and join their values.

    Args:
        graph: Changed in place. Each tensor is read by a quantization, and that by its inverse.
        names: The tensors, which are joined in the end.
    """
    quantized = [_readers(graph, name)[0].output[0] for name in names]
    inverses = [_readers(graph, name)[0] for name in quantized]
    for name, inverse in zip(quantized, inverses, strict=True):
        _replace_input(graph, inverse.output[0], name)
        graph.node.remove(inverse)
    last = quantized[0]
    while movers := [node for node in _readers(graph, last) if node.op_type in _MOVERS]:
        last = movers[0].output[0]
    result = f"{last}_dequantized"
    _replace_input(graph, last, result)
    place = next(at for at, node in enumerate(graph.node) if last in node.output) + 1
    inputs = [last, *inverses[0].input[1:]]
    graph.node.insert(place, helper.make_node("DequantizeLinear", inputs, [result]))


def _readers(graph: onnx.GraphProto, name: str) -> list[onnx.NodeProto]:
    return [node for node in graph.node if name in node.input]


def _replace_input(graph: onnx.GraphProto, old: str, new: str) -> None:
    for node in _readers(graph, old):
        for index, each in enumerate(node.input):
            if each == old:
                node.input[index] = new


def _quantize_weights(graph: onnx.GraphProto, convolution: onnx.NodeProto) -> None:
    """Store the weights of fixed filters in 8 bits, which represent them exactly."""
    name = convolution.input[1]
    constant = next(node for node in graph.node if name in node.output)
    weights = numpy_helper.to_array(constant.attribute[0].t)
    steps = np.rint(weights / _FILTER_STEP).astype(np.int8)
    assert np.array_equal(steps * _FILTER_STEP, weights)
    inputs = (
        _add_constant(graph, f"{name}_steps", steps),
        _add_constant(graph, f"{name}_step", _FILTER_STEP),
        _add_constant(graph, f"{name}_zero", np.array(0, np.int8)),
    )
    convolution.input[1] = f"{name}_dequantized"
    place = list(graph.node).index(convolution)
    graph.node.insert(
        place, helper.make_node("DequantizeLinear", list(inputs), [convolution.input[1]])
    )


def _add_constant(
    graph: onnx.GraphProto, name: str, value: NDArray[np.generic] | np.generic
) -> str:
    graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    return name
