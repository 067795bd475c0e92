"""The float16 file of an imported engine, which GPUs run.

In: an engine in float32. Out: the same graph, whose convolutions and other layers compute in
float16; statistics of the whole image, and what toonvid put around the network, stay in float32.

The converters of onnxconverter-common and of ONNX Runtime pass what one float32 operator hands to
the next through float16, so that a mean or a variance loses what it was kept in float32 for, and
leave graphs with mixed types where weights are shared. Hence this one, in which the type of
every tensor follows from the operator that makes it.
"""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper, shape_inference

from toonvid.importing.wrap import WRAPPER

_HALF = (
    *("Conv", "ConvTranspose", "MatMul", "Gemm", "BatchNormalization", "MaxPool", "AveragePool"),
    *("Relu", "LeakyRelu", "PRelu", "Elu", "Selu", "Gelu", "Sigmoid", "HardSigmoid", "HardSwish"),
    *("Tanh", "Softplus", "Softsign", "Erf", "Clip", "Min", "Max", "Neg", "Abs"),
    *("Add", "Sub", "Mul", "Div", "Sqrt", "Pow", "Exp", "Reciprocal", "Sum", "Mean", "Where"),
    *("Concat", "Split", "Slice", "Gather", "Pad", "Transpose", "Reshape", "Squeeze", "Unsqueeze"),
    *("Flatten", "Expand", "Tile", "Identity", "Dropout", "Resize", "DepthToSpace", "SpaceToDepth"),
)
"""Types of operators that compute in float16. Any other stays in float32."""
STATISTICS = (
    *("InstanceNormalization", "GroupNormalization", "LayerNormalization", "ReduceMean"),
    *("ReduceSum", "ReduceSumSquare", "ReduceL2", "GlobalAveragePool", "MeanVarianceNormalization"),
)
"""Types of operators that compute statistics of the whole image at run time."""
_PER_VALUE = (
    *("Add", "Sub", "Mul", "Div", "Sqrt", "Pow", "Reciprocal", "Exp", "Log", "Neg", "Abs"),
    *("Min", "Max", "Sum", "Identity", "Cast", "Reshape", "Squeeze", "Unsqueeze", "Expand"),
)
"""Types of operators that carry statistics to the values that they normalize."""
_FLOAT32_INPUTS = {"Resize": (1, 2)}  # scales are float32 whatever the image is
_LIMIT = float(np.finfo(np.float16).max)


def to_float16(engine: ModelProto) -> ModelProto:
    """Convert an engine.

    Args:
        engine: An engine in float32, as `wrap.wrap` makes it. It is not changed.

    Returns:
        The engine in float16, with uint8 at both ends as before.
    """
    inferred = shape_inference.infer_shapes(engine, data_prop=True)
    graph = inferred.graph
    _make_initializers(inferred)
    floats = _find_floats(inferred)
    kept = _near_statistics(list(graph.node))
    converter = _Converter(inferred, floats)
    for node in graph.node:
        is_half = (
            node.op_type in _HALF
            and node.output[0] not in kept
            and not node.name.startswith(WRAPPER)
        )
        converter.add(node, is_half)
    converted = helper.make_model(
        helper.make_graph(
            converter.nodes,
            graph.name,
            list(graph.input),
            list(graph.output),
            initializer=converter.used_constants(),
        ),
        opset_imports=list(engine.opset_import),
        ir_version=engine.ir_version,
    )
    return converted


class _Converter:
    """Copies nodes, and casts their inputs where they are of the other type."""

    def __init__(self, model: ModelProto, floats: set[str]) -> None:
        self.nodes: list[NodeProto] = []
        self._floats = floats  # tensors that were float32
        self._halves: set[str] = set()  # of them, those that are float16 now
        self._constants = {tensor.name: tensor for tensor in model.graph.initializer}
        self._casts: dict[tuple[str, bool], str] = {}

    def add(self, node: NodeProto, is_half: bool) -> None:
        """Copy a node that computes in float16 or float32."""
        copy = NodeProto()
        copy.CopyFrom(node)
        always = _FLOAT32_INPUTS.get(node.op_type, ())
        for at, name in enumerate(node.input):
            if name in self._floats:
                copy.input[at] = self._as(name, is_half and at not in always)
        self.nodes.append(copy)
        if is_half:
            self._halves |= {name for name in node.output if name in self._floats}

    def used_constants(self) -> list[TensorProto]:
        """List the constants that some node takes."""
        used = {name for node in self.nodes for name in node.input}
        return [tensor for name, tensor in self._constants.items() if name in used]

    def _as(self, name: str, is_half: bool) -> str:
        """Return the name of a tensor in float16 or float32, by way of a cast if need be."""
        if (name in self._halves) == is_half:
            return name
        key = (name, is_half)
        if key not in self._casts:
            self._casts[key] = f"{name}/{'f16' if is_half else 'f32'}"
            self._cast(name, self._casts[key], is_half)
        return self._casts[key]

    def _cast(self, name: str, target: str, is_half: bool) -> None:
        if name in self._constants:
            values = numpy_helper.to_array(self._constants[name])
            # Infinity in the weights stays what it is; a large number becomes the largest one.
            cut = np.where(np.isfinite(values), np.clip(values, -_LIMIT, _LIMIT), values)
            self._constants[target] = numpy_helper.from_array(cut.astype(np.float16), target)
            return
        kind = TensorProto.FLOAT16 if is_half else TensorProto.FLOAT
        self.nodes.append(helper.make_node("Cast", [name], [target], name=target, to=kind))


def _near_statistics(nodes: list[NodeProto]) -> set[str]:
    """Find the nodes that compute and apply statistics, by the names of their first tensors.

    From an operator such as ReduceMean, operators on single values are followed in both directions:
    to the squares that are averaged, which overflow in float16, and to the division by the standard
    deviation.
    """
    makers = {name: node for node in nodes for name in node.output}
    takers: dict[str, list[NodeProto]] = {}
    for node in nodes:
        for name in node.input:
            takers.setdefault(name, []).append(node)
    found: set[str] = set()
    waiting = [node for node in nodes if node.op_type in STATISTICS]
    while waiting:
        node = waiting.pop()
        if node.output[0] in found:
            continue
        found.add(node.output[0])
        around = [makers[name] for name in node.input if name in makers]
        around += [taker for name in node.output for taker in takers.get(name, [])]
        waiting += [each for each in around if each.op_type in _PER_VALUE]
    return found


def _make_initializers(model: ModelProto) -> None:
    """Turn the Constant operators of tensors into stored constants."""
    graph = model.graph
    for node in [node for node in graph.node if node.op_type == "Constant"]:
        attribute = node.attribute[0]
        if attribute.HasField("t"):
            tensor = attribute.t
        elif attribute.name in ("value_float", "value_floats"):
            values = attribute.f if attribute.name == "value_float" else list(attribute.floats)
            tensor = numpy_helper.from_array(np.array(values, np.float32))
        else:
            continue
        stored = graph.initializer.add()
        stored.CopyFrom(tensor)
        stored.name = node.output[0]
        graph.node.remove(node)


def _find_floats(model: ModelProto) -> set[str]:
    """Find the names of all float32 tensors."""
    graph = model.graph
    floats = {
        info.name
        for info in [*graph.input, *graph.value_info, *graph.output]
        if info.type.tensor_type.elem_type == TensorProto.FLOAT
    }
    return floats | {
        tensor.name for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT
    }
