"""Quantizes the convolutions of an engine to 8-bit integers (QDQ format), by ONNX Runtime.

In: the float32 file of an engine, and images to calibrate with. Out: the content of its int8 file.
`trainer.exporting` uses it for trained engines, `toonvid.importing` for imported ones.
"""

from __future__ import annotations

import importlib.util
import logging
import math
import tempfile
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from toonvid.backends import ControlValues
from toonvid.errors import EngineError
from toonvid.video import Pixels

MIN_PSNR_DB = 35.0
"""Lowest peak signal-to-noise ratio, against float32, at which an INT8 engine is kept."""
RANGE_PERCENTILE = 99.99
"""Percentile of an activation's values that 8 bits cover. One value in ten thousand is clipped, and
the steps between all others are finer: without it, dark flat areas get a visible grain."""
_LARGEST_PAIR = 127
"""Largest sum of the 8-bit weights of two neighboring input channels, before rounding. CPUs without
VNNI add their two products with 8-bit activations, up to 255, in 16 bits, and cut the sum off at
32,767: with a limit for each weight alone, white areas were off by tens of levels there."""
_IN_FLOAT = ("Add", "LeakyRelu", "PRelu")
"""Types of operations that libraries compute in float with the convolution before them. Behind a
Relu or Clip, ONNX Runtime itself quantizes only once."""
_MIN_SQUARED_ERROR = 1e-5
"""In levels squared. Equal images then have 98 dB, because JSON has no infinity."""


def quantize(path: Path, images: list[Pixels], controls: ControlValues | None = None) -> bytes:
    """Quantizes the convolutions of an ONNX file: weights per channel, activations per tensor.

    Args:
        path: The `.onnx` file of a float32 engine.
        images: Images to calibrate with, (H, W, 3), uint8, RGB; sides are multiples that the
            engine takes.
        controls: A value for each control of the engine. They change no convolution, and so no
            range of values.

    Returns:
        Content of the INT8 `.onnx` file.

    Raises:
        EngineError: ONNX Runtime is missing.
    """
    if importlib.util.find_spec("onnxruntime") is None:
        raise EngineError("int8 needs ONNX Runtime: pip install 'toonvid[onnxruntime]'")
    from onnxruntime.quantization import (
        CalibrationDataReader,
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    values: dict[str, NDArray[Any]] = {
        name: np.array([value], np.float32) for name, value in (controls or {}).items()
    }

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._images = iter(images)

        def get_next(self) -> dict[str, NDArray[Any]] | None:
            image = next(self._images, None)
            return None if image is None else {"frame": image[None], **values}

    root = logging.getLogger()
    root.addFilter(_is_not_preprocessing_advice)
    try:
        # The quantizer prints its progress, which would mix with `--json`.
        with tempfile.TemporaryDirectory() as folder, redirect_stdout(StringIO()):
            target = Path(folder) / "int8.onnx"
            quantize_static(
                path,
                target,
                Reader(),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=["Conv"],
                nodes_to_exclude=find_last_convolutions(path),
                per_channel=True,
                calibrate_method=CalibrationMethod.Percentile,
                extra_options={
                    "CalibPercentile": RANGE_PERCENTILE,
                    "TensorQuantOverrides": {
                        name: [_fixed_scale(scale) for scale in find_scales(weights)]
                        for name, weights in _convolution_weights(path).items()
                    },
                },
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
            )
            return _without_double_rounding(target.read_bytes())
    finally:
        root.removeFilter(_is_not_preprocessing_advice)


def find_scales(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Finds the steps of a convolution's 8-bit weights, with which no CPU's sums overflow.

    Args:
        weights: (output channels, input channels, ...).

    Returns:
        One step for each output channel, above 0.
    """
    outputs, inputs = weights.shape[:2]
    flat = weights.reshape(outputs, inputs, -1)
    pairs = np.pad(flat, ((0, 0), (0, inputs % 2), (0, 0)))
    pairs = pairs.reshape(outputs, -1, 2, flat.shape[2])
    sums = [np.maximum(sign * pairs, 0).sum(axis=2).max(axis=(1, 2)) for sign in (1, -1)]
    scales = np.maximum(*sums) / _LARGEST_PAIR
    return np.where(scales > 0, scales, 1).astype(np.float32)


def _fixed_scale(scale: np.float32) -> dict[str, Any]:
    """What ONNX Runtime is told of the weights of one output channel."""
    from onnxruntime.quantization import QuantType

    zero = np.array(0, np.int8)
    return {"axis": 0, "quant_type": QuantType.QInt8, "scale": scale, "zero_point": zero}


def _convolution_weights(path: Path) -> dict[str, NDArray[np.float32]]:
    """The weights of an ONNX file's convolutions by their names; without those it computes."""
    graph = onnx.load(path).graph
    names = {node.input[1] for node in graph.node if node.op_type == "Conv"}
    return {
        each.name: numpy_helper.to_array(each) for each in graph.initializer if each.name in names
    }


def _without_double_rounding(content: bytes) -> bytes:
    """Leave out the quantization between a convolution and an activation or addition.

    What comes behind these is quantized again, for the next convolution. A library computes them as
    part of the convolution, in float; rounding before them would cost accuracy, and often a pass
    over the values.
    """
    model = onnx.load_from_string(content)
    graph = model.graph
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    needless = []
    for convolution in (node for node in graph.node if node.op_type == "Conv"):
        name = convolution.output[0]
        pair = []
        for kind in ("QuantizeLinear", "DequantizeLinear"):
            (*others, last) = readers.get(name, [None])
            if others or last is None or last.op_type != kind:
                break
            pair.append(last)
            name = last.output[0]
        behind = readers.get(name, [])
        if len(pair) < 2 or any(node.op_type not in _IN_FLOAT for node in behind):
            continue
        for node in behind:
            for index, each in enumerate(node.input):
                if each == name:
                    node.input[index] = convolution.output[0]
        needless += pair
    for node in needless:
        graph.node.remove(node)
    remove_unused_constants(graph)
    shortened: bytes = model.SerializeToString()
    return shortened


def remove_unused_constants(graph: onnx.GraphProto) -> None:
    """Removes constants that no node reads, of which ONNX Runtime warns one by one."""
    used = {name for node in graph.node for name in node.input}
    for each in [each for each in graph.initializer if each.name not in used]:
        graph.initializer.remove(each)
    constants = [node for node in graph.node if node.op_type == "Constant"]
    for node in [node for node in constants if node.output[0] not in used]:
        graph.node.remove(node)


def find_last_convolutions(path: Path) -> list[str]:
    """Finds the convolutions whose output reaches the cartoon through no other convolution.

    They stay float32: their output is color itself, and 8 bits for a range of changes from -1 to 1
    make steps that a viewer sees. So do fixed filters on the way, which have neither a bias nor
    weights among the graph's initializers.

    Args:
        path: ONNX file of an engine.

    Returns:
        Names of the nodes, sorted.
    """
    graph = onnx.load(path).graph
    makers = {name: node for node in graph.node for name in node.output}
    learned = {initializer.name for initializer in graph.initializer}
    found: set[str] = set()
    seen: set[str] = set()
    waiting = [output.name for output in graph.output]
    while waiting:
        node = makers.get(waiting.pop())
        if node is None or node.name in seen:
            continue
        seen.add(node.name)
        if node.op_type == "Conv":
            found.add(node.name)
            is_fixed = len(node.input) == 2 and node.input[1] not in learned
            waiting += node.input[:1] if is_fixed else []
        else:
            waiting += node.input
    return sorted(found)


def squared_error(first: Pixels, second: Pixels) -> float:
    """Returns the mean squared error of two images, in levels squared."""
    return float(np.mean((first.astype(float) - second) ** 2))


def to_decibels(error: float) -> float:
    """Turns a mean squared error into a peak signal-to-noise ratio in dB; at most 98."""
    return 10 * math.log10(255**2 / max(error, _MIN_SQUARED_ERROR))


def _is_not_preprocessing_advice(record: logging.LogRecord) -> bool:
    """False for the advice to preprocess the graph first, which would fix its dynamic H and W."""
    return "pre-processing" not in record.getMessage()
