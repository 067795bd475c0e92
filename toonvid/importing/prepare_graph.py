"""Brings a network's graph into the form that the other steps of an import expect.

In: a network as it was read (`toonvid.importing.source_file`). Out: the same network with ONNX's
operators of version 17 or newer, one image input, one image output, and free sides where it has
fixed ones. Whether the network works at other sizes is left to `toonvid.importing.sizes`.
"""

from __future__ import annotations

import math

import onnx
from onnx import ModelProto, TensorProto, ValueInfoProto, shape_inference, version_converter

from toonvid.errors import EngineError
from toonvid.importing.source_file import MAX_ELEMENTS, all_tensors, show

OPSET = 17
"""Version of the operators that older files are converted to: that of toonvid's own engines."""
_OLDEST_WRAPPED = 11
"""Oldest version in which the nodes that are put around a network mean the same."""
_OLDEST_READ = 7
_NEWEST_READ = 26


def prepare_graph(model: ModelProto) -> ModelProto:
    """Convert old operators, and make initializers constants.

    Args:
        model: Network as `source_file.read_source` gives it. It is not changed.

    Returns:
        A copy.

    Raises:
        EngineError: Its operators cannot be converted.
    """
    prepared = ModelProto()
    prepared.CopyFrom(model)
    version = prepared.opset_import[0].version
    if not _OLDEST_READ <= version <= _NEWEST_READ:
        raise EngineError(
            f"it uses version {version} of ONNX's operators;"
            f" {_OLDEST_READ} to {_NEWEST_READ} are read"
        )
    if version < OPSET:
        prepared = _convert(prepared, version)
    _drop_inputs_of_weights(prepared)
    # Shapes that the file claims may be wrong for other sizes; they are inferred again.
    del prepared.graph.value_info[:]
    return prepared


def free_sides(model: ModelProto) -> ModelProto:
    """Return a copy whose image input and output may have any batch size, height and width.

    The number of channels stays, wherever it is.
    """
    freed = ModelProto()
    freed.CopyFrom(model)
    image = the_input(freed)
    for at, side in enumerate(image.type.tensor_type.shape.dim):
        if not (at in (1, 3) and side.dim_value == 3):
            side.Clear()
            side.dim_param = f"side{at}"
    the_output(freed).type.tensor_type.ClearField("shape")
    del freed.graph.value_info[:]
    return freed


def the_input(model: ModelProto) -> ValueInfoProto:
    """Return the image input of a network.

    Raises:
        EngineError: It has no input, or several.
    """
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [port for port in model.graph.input if port.name not in weights]
    if len(inputs) != 1:
        names = ", ".join(show(port.name) for port in inputs[:8]) or "none"
        raise EngineError(f"it needs one input, an image; it has {len(inputs)}: {names}")
    image: ValueInfoProto = inputs[0]
    return image


def the_output(model: ModelProto) -> ValueInfoProto:
    """Return the image output of a network. Raises as `the_input`."""
    outputs = list(model.graph.output)
    if len(outputs) != 1:
        names = ", ".join(show(port.name) for port in outputs[:8]) or "none"
        raise EngineError(f"it needs one output, an image; it has {len(outputs)}: {names}")
    image: ValueInfoProto = outputs[0]
    return image


def refuse_huge_results(model: ModelProto, input_shape: tuple[int, ...]) -> None:
    """Refuse a network one of whose tensors would fill the memory. Nothing is computed.

    A few bytes of constants may claim any amount, as the shape of an Expand or the scale of a
    Resize does.

    Args:
        model: Network with one input.
        input_shape: Shape of the image that it is to be given.

    Raises:
        EngineError: A tensor would have more than `MAX_ELEMENTS` values.
    """
    tried = ModelProto()
    tried.CopyFrom(model)
    del tried.graph.value_info[:]
    shape = the_input(tried).type.tensor_type.shape
    for side, size in zip(shape.dim, input_shape, strict=True):
        side.Clear()
        side.dim_value = size
    the_output(tried).type.tensor_type.ClearField("shape")
    # Without values first: the second step computes shapes that are made of shapes, and would fill
    # the memory itself if one of them were huge.
    for with_values in (False, True):
        _refuse_huge_shapes(tried, input_shape, with_values)
    _refuse_huge_constants(model)


def _refuse_huge_shapes(model: ModelProto, input_shape: tuple[int, ...], with_values: bool) -> None:
    try:
        inferred = shape_inference.infer_shapes(model, data_prop=with_values)
    except Exception as error:  # its C++ part raises several classes without a common base
        raise EngineError(f"its shapes do not fit together: {_last_line(error)}") from error
    for info in [*inferred.graph.value_info, *inferred.graph.output]:
        sides = [side.dim_value for side in info.type.tensor_type.shape.dim]
        if any(side < 0 for side in sides) or math.prod(sides) > MAX_ELEMENTS:
            raise EngineError(
                f"its tensor {show(info.name)} would have {math.prod(sides):,} values for an image"
                f" of {'x'.join(map(str, input_shape))}"
            )


def _refuse_huge_constants(model: ModelProto) -> None:
    """Refuse shapes and scales in the file that ask for more memory than any cartoonizer needs."""
    constants = {tensor.name: tensor for tensor in all_tensors(model.graph)}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute and node.attribute[0].HasField("t"):
            constants[node.output[0]] = node.attribute[0].t
    for node in model.graph.node:
        asked = {
            "ConstantOfShape": [0],
            "Expand": [1],
            "Tile": [1],
            "Upsample": [1],
            "Resize": [1, 2, 3],
            "Pad": [1],
        }.get(node.op_type, [])
        for at in asked:
            name = node.input[at] if at < len(node.input) else ""
            if name in constants:
                values = onnx.numpy_helper.to_array(constants[name]).astype(float).ravel()
                size = math.prod(max(1.0, abs(float(value))) for value in values[:16])
                if not size <= MAX_ELEMENTS:
                    raise EngineError(f"its operator {node.op_type} would make {size:.2g} values")


def _convert(model: ModelProto, version: int) -> ModelProto:
    try:
        converted = version_converter.convert_version(model, OPSET)
        if version < _OLDEST_WRAPPED:
            _keep_old_coordinates(converted)
        return converted
    except Exception as error:  # as in `refuse_huge_results`
        if version >= _OLDEST_WRAPPED:
            return model
        raise EngineError(
            f"its operators of version {version} cannot be converted to {OPSET}:"
            f" {_last_line(error)}"
        ) from error


def _keep_old_coordinates(model: ModelProto) -> None:
    """Let operators that enlarge find their pixels as they did before version 11.

    ONNX's converter leaves Resize with the default of version 11, which is another one.
    """
    for node in model.graph.node:
        if node.op_type == "Resize":
            kept = [each for each in node.attribute if each.name == "mode"]
            del node.attribute[:]
            node.attribute.extend(kept)
            for name, value in (
                ("coordinate_transformation_mode", "asymmetric"),
                ("nearest_mode", "floor"),
            ):
                node.attribute.append(onnx.helper.make_attribute(name, value))


def _drop_inputs_of_weights(model: ModelProto) -> None:
    """Make weights constants: files of IR version 3 list them among the inputs too."""
    kept = the_input(model)
    copy = ValueInfoProto()
    copy.CopyFrom(kept)
    del model.graph.input[:]
    model.graph.input.append(copy)
    model.ir_version = max(model.ir_version, 8)


def element_type(port: ValueInfoProto) -> str:
    """Name the type of a tensor's values as ONNX does: FLOAT, UINT8."""
    name: str = TensorProto.DataType.Name(port.type.tensor_type.elem_type)
    return name


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
