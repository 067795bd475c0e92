"""Puts the engine contract around a network: `frame` to `cartoon`, both uint8 (N, H, W, 3) RGB.

In: a network, its layout, its sizes and how its values are read. Out: one graph in which scaling,
order, layout, resizing, clamp and rounding are nodes. The network's own nodes are not touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from toonvid.importing.network import SCALES, Layout, Reading
from toonvid.importing.prepare_graph import the_input, the_output

WRAPPER = "toonvid/"
"""Beginning of the names of nodes and tensors that are put around a network."""
_INNER = "network/"
_LARGEST_LEVEL = 255.0


def wrap(
    network: ModelProto,
    layout: Layout,
    output_layout: Layout,
    reading: Reading,
    fixed_size: tuple[int, int] | None,
) -> ModelProto:
    """Wrap a network into the engine contract.

    Args:
        network: float32, with one image input and one image output.
        layout: Layout of its input.
        output_layout: Layout of its output.
        reading: Order and ranges of its values.
        fixed_size: (height, width) to which frames are resized, and back; None to keep their size.

    Returns:
        An engine in float32.
    """
    inner = onnx.compose.add_prefix(network, _INNER)
    nodes = _Nodes()
    nodes.add("Cast", ["frame"], to=TensorProto.FLOAT)  # TensorRT wants it first
    scale, offset = SCALES[reading.input_range]
    if scale != 1:
        nodes.add("Div", [nodes.last, nodes.constant(np.float32(scale))])
    if offset:
        nodes.add("Add", [nodes.last, nodes.constant(np.float32(offset))])
    if reading.order == "bgr":
        nodes.reverse_channels(axis=3)
    if fixed_size is not None or layout == "NCHW":
        nodes.add("Transpose", [nodes.last], perm=[0, 3, 1, 2])
    if fixed_size is not None:
        height, width = (nodes.constant(np.array([side], np.int64)) for side in fixed_size)
        nodes.resize(height, width)
        if layout == "NHWC":
            nodes.add("Transpose", [nodes.last], perm=[0, 2, 3, 1])
    before = nodes.rename_last(the_input(inner).name)

    after = _Nodes(the_output(inner).name)
    if fixed_size is not None:
        if output_layout == "NHWC":
            after.add("Transpose", [after.last], perm=[0, 3, 1, 2])
        after.resize(*after.size_of("frame"))
    is_by_channel = fixed_size is not None or output_layout == "NCHW"
    if reading.order == "bgr":
        after.reverse_channels(axis=1 if is_by_channel else 3)
    if is_by_channel:
        after.add("Transpose", [after.last], perm=[0, 2, 3, 1])
    scale, offset = SCALES[reading.output_range]
    if offset:
        after.add("Sub", [after.last, after.constant(np.float32(offset))])
    if scale != 1:
        after.add("Mul", [after.last, after.constant(np.float32(scale))])
    limits = [after.constant(np.float32(limit)) for limit in (0, _LARGEST_LEVEL)]
    after.add("Clip", [after.last, *limits])
    after.add("Round", [after.last])
    after.add("Cast", [after.last], to=TensorProto.UINT8)
    after.rename_last("cartoon")

    shape: list[str | int | None] = ["N", "H", "W", 3]
    graph = helper.make_graph(
        [*before, *inner.graph.node, *after.nodes],
        "toonvid",
        [helper.make_tensor_value_info("frame", TensorProto.UINT8, shape)],
        [helper.make_tensor_value_info("cartoon", TensorProto.UINT8, shape)],
        initializer=[*nodes.constants, *inner.graph.initializer, *after.constants],
    )
    wrapped = helper.make_model(
        graph, opset_imports=list(network.opset_import), ir_version=network.ir_version
    )
    onnx.checker.check_model(wrapped)
    return wrapped


class _Nodes:
    """A chain of nodes, each of which takes the tensor of the one before it."""

    def __init__(self, first: str = "frame") -> None:
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []
        self.last = first
        self._place = "before" if first == "frame" else "after"

    def add(self, kind: str, inputs: Sequence[str], **attributes: Any) -> str:
        """Append a node; returns the name of its tensor."""
        name = f"{WRAPPER}{self._place}/{len(self.nodes)}_{kind}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        self.last = name
        return name

    def constant(self, value: object) -> str:
        """Return the name of a constant, which is stored with the graph."""
        name = f"{WRAPPER}{self._place}/constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def reverse_channels(self, axis: int) -> None:
        """Swap red and blue."""
        order = self.constant(np.array([2, 1, 0], np.int64))
        self.add("Gather", [self.last, order], axis=axis)

    def size_of(self, frame: str) -> tuple[str, str]:
        """Take the height and width of a tensor (N, H, W, 3), each as a tensor of one number."""
        image = self.last
        shape = self.add("Shape", [frame])
        height, width = (
            self.add("Gather", [shape, self.constant(np.array([axis], np.int64))], axis=0)
            for axis in (1, 2)
        )
        self.last = image
        return height, width

    def resize(self, height: str, width: str) -> None:
        """Resize images (N, 3, H, W) to a size, given by tensors of one number."""
        image = self.last
        shape = self.add("Shape", [image])
        front = self.add("Gather", [shape, self.constant(np.array([0, 1], np.int64))], axis=0)
        sizes = self.add("Concat", [front, height, width], axis=0)
        self.add(
            "Resize",
            [image, "", "", sizes],
            mode="linear",
            coordinate_transformation_mode="half_pixel",
        )

    def rename_last(self, name: str) -> list[NodeProto]:
        """Give the last tensor another name; returns all nodes."""
        self.nodes[-1].output[0] = name
        self.last = name
        return self.nodes
