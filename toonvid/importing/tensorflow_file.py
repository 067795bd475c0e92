"""Files of TensorFlow Lite and folders of SavedModel, which OpenVINO reads and ONNX does not.

In: a path. Out: a `Candidate` without an ONNX graph, and, once its values are known, a model of
OpenVINO with the engine contract around it. Such a style runs on the backend `openvino` alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from toonvid.backends.contract import one_line
from toonvid.choices import ValueRange
from toonvid.errors import EngineError
from toonvid.importing.candidate import Candidate, find_output_layout
from toonvid.importing.facts import Facts
from toonvid.importing.network import SCALES, Layout, Network, Reading
from toonvid.importing.sizes import Sizes, keeps_size, misfit, sizes_of
from toonvid.importing.source_file import MAX_FILE_BYTES

_PASSED_OVER = ("Convert", "Transpose", "Reshape", "Squeeze", "Unsqueeze", "StridedSlice", "Result")
_RANGES: dict[str, ValueRange] = {"Tanh": "-1..1", "Sigmoid": "0..1"}
_ENDS: dict[tuple[float, float], ValueRange] = {
    (-1.0, 1.0): "-1..1",
    (0.0, 1.0): "0..1",
    (0.0, 255.0): "0..255",
}


def read_tensorflow(path: Path) -> Candidate:
    """Read a `.tflite` file or a SavedModel's folder.

    Raises:
        EngineError: OpenVINO cannot read it, or it is no cartoonizer's.
    """
    digest = _hash_all(path)
    try:
        model = ov.Core().read_model(path)
    except (RuntimeError, ValueError) as error:  # ValueError: names that are no text
        raise EngineError(f"OpenVINO cannot read {path}: {one_line(error, 'last')}") from error
    try:
        layout, facts = _find_facts(model)
        network, sizes = _find_sizes(model, layout, facts)
    except EngineError as error:
        raise EngineError(f"{path}: {error}") from error
    return Candidate(
        source=path,
        sha256=digest,
        network=network,
        model=None,
        layout=layout,
        output_layout=find_output_layout(network, layout, sizes),
        sizes=sizes,
        facts=facts,
    )


def wrap_for_openvino(candidate: Candidate, reading: Reading) -> ov.Model:
    """Put the engine contract around a network, as `toonvid.importing.wrap` does in ONNX."""
    inner = candidate.network.model.clone()
    frame = ops.parameter(ov.PartialShape([-1, -1, -1, 3]), np.uint8, name="frame")
    frame.output(0).set_names({"frame"})
    value = ops.convert(frame, np.float32)
    scale, offset = SCALES[reading.input_range]
    value = ops.add(ops.divide(value, np.float32(scale)), np.float32(offset))
    if reading.order == "bgr":
        value = _reverse_channels(value)
    if candidate.sizes.fixed is not None:
        value = _resize(value, ops.constant(np.array(candidate.sizes.fixed, np.int64)))
    if candidate.layout == "NCHW":
        value = ops.transpose(value, np.array([0, 3, 1, 2]))
    # The old input goes: what took it takes the frame.
    parameter = inner.input(0).get_node()
    for taker in list(parameter.output(0).get_target_inputs()):
        taker.replace_source_output(value.output(0))
    value = inner.output(0).get_node().input(0).get_source_output()
    if candidate.output_layout == "NCHW":
        value = ops.transpose(value, np.array([0, 2, 3, 1]))
    if candidate.sizes.fixed is not None:
        shape = ops.shape_of(frame)
        value = _resize(value, ops.gather(shape, np.array([1, 2]), np.int64(0)))
    if reading.order == "bgr":
        value = _reverse_channels(value)
    scale, offset = SCALES[reading.output_range]
    value = ops.multiply(ops.subtract(value, np.float32(offset)), np.float32(scale))
    levels = ops.convert(ops.round(ops.clamp(value, 0.0, 255.0), "half_to_even"), np.uint8)
    levels.output(0).set_names({"cartoon"})
    return ov.Model([ops.result(levels)], [frame], "toonvid")


def _reverse_channels(value: ov.Node) -> ov.Node:
    return ops.gather(value, np.array([2, 1, 0]), np.int64(3))


def _resize(value: ov.Node | ov.Output, size: ov.Node) -> ov.Node:
    """Resize images (N, H, W, 3) to a size, a tensor of height and width."""
    return ops.interpolate(
        value,
        size,
        "linear_onnx",
        "sizes",
        coordinate_transformation_mode="half_pixel",
        axes=np.array([1, 2]),
    )


def _find_facts(model: ov.Model) -> tuple[Layout, Facts]:
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise EngineError(
            "it needs one input and one output, images;"
            f" it has {len(model.inputs)} and {len(model.outputs)}"
        )
    port = model.input(0)
    shape = port.get_partial_shape()
    if port.get_element_type() != ov.Type.f32:
        raise EngineError(f"its input is {port.get_element_type()}, not float32")
    if shape.rank.is_dynamic or len(shape) != 4:
        raise EngineError(f"its input of shape {shape} is no image")
    sides = [None if side.is_dynamic else side.get_length() for side in shape]
    layout: Layout = "NCHW" if sides[1] == 3 and sides[3] != 3 else "NHWC"
    if sides[3 if layout == "NHWC" else 1] != 3:
        raise EngineError(f"its input of shape {shape} is no image with three channels")
    height, width = sides[2:] if layout == "NCHW" else sides[1:3]
    return layout, Facts(
        input_name=next(iter(sorted(port.get_names())), ""),
        layout=layout,
        fixed_size=(height, width) if height and width else None,
        input_range=None,
        output_range=_find_output_range(model),
    )


def _find_output_range(model: ov.Model) -> ValueRange | None:
    node = model.output(0).get_node()
    while node.get_type_name() in _PASSED_OVER:
        node = node.input_value(0).get_node()
    if node.get_type_name() == "Clamp":
        values = node.get_attributes()
        return _ENDS.get((float(values["min"]), float(values["max"])))
    return _RANGES.get(node.get_type_name())


def _find_sizes(model: ov.Model, layout: Layout, facts: Facts) -> tuple[Network, Sizes]:
    """Find the sizes that a network takes, and free it of a fixed one where that is safe."""
    freed = Network(model.clone())
    sizes = sizes_of(freed, layout, facts)
    if sizes is not None:
        return freed, sizes
    original, size = Network(model), facts.fixed_size or (256, 256)
    if facts.fixed_size is None or not keeps_size(original, layout, *size):
        raise EngineError(misfit(original, layout, size))
    return original, Sizes(1, fixed=facts.fixed_size)


def _hash_all(path: Path) -> str:
    """Hash a file, or the files of a folder in the order of their names.

    Raises:
        EngineError: They are too large, or cannot be read.
    """
    digest = hashlib.sha256()
    try:
        files = [path] if path.is_file() else sorted(f for f in path.rglob("*") if f.is_file())
        if sum(file.stat().st_size for file in files) > MAX_FILE_BYTES:
            raise EngineError(f"{path} has more than {MAX_FILE_BYTES:,} bytes")
        _feed(digest.update, path, files)
    except OSError as error:
        raise EngineError(f"cannot read {path}: {error.strerror}") from error
    return digest.hexdigest()


def _feed(update: Callable[[bytes], None], path: Path, files: list[Path]) -> None:
    for file in files:
        if file != path:
            update(str(file.relative_to(path)).encode())
        update(file.read_bytes())
