"""A network without the engine contract around it, run by OpenVINO on the CPU in float32.

In: images as the network wants them, float32 in its own layout and range. Out: what it gives for
them, and what it costs. An import looks at a network through this class before it is wrapped, and
compares the finished engine with it.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, TypeAlias

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from toonvid.backends.contract import one_line
from toonvid.choices import ColorOrder, ValueRange
from toonvid.errors import EngineError
from toonvid.video import Pixels

Layout: TypeAlias = Literal["NCHW", "NHWC"]
Floats: TypeAlias = NDArray[np.float32]

_FAR = 1e6  # beyond every range, at both ends
_CONVOLUTIONS = ("Convolution", "GroupConvolution")
_TRANSPOSED = ("ConvolutionBackpropData", "GroupConvolutionBackpropData")


class Network:
    """A network with one image input and one output, of any size that its graph allows."""

    def __init__(self, source: bytes | ov.Model) -> None:
        """Read a network.

        Args:
            source: Content of an ONNX file, or a model that OpenVINO has read.

        Raises:
            EngineError: OpenVINO cannot read it.
        """
        with _explained("cannot be read"):
            if isinstance(source, bytes):
                source = ov.Core().read_model(io.BytesIO(source))
            self.model: ov.Model = source
        self._compiled: dict[tuple[int, ...], ov.CompiledModel] = {}

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...] | None:
        """Infer the shape of the output, without computing it; None if this input does not fit."""
        try:
            fixed = self._reshaped(input_shape)
        except (RuntimeError, ValueError):
            return None
        shape = fixed.output(0).partial_shape
        return tuple(shape.to_shape()) if shape.is_static else None

    def run(self, images: Floats) -> Floats:
        """Compute the output for images, in float32.

        Raises:
            EngineError: OpenVINO fails.
        """
        with _explained("does not run"):
            shape = images.shape
            if shape not in self._compiled:
                config = {"INFERENCE_PRECISION_HINT": "f32"}
                compiled = ov.Core().compile_model(self._reshaped(shape), "CPU", config)
                self._compiled = {shape: compiled}  # one at a time: a size may need much memory
            result = self._compiled[shape]([images])[0]
        return np.array(result, np.float32)

    def cartoons(self, frames: Pixels, layout: Layout, reading: Reading) -> tuple[Pixels, Floats]:
        """Turn frames into cartoons as the network's own program would.

        Args:
            frames: (N, H, W, 3) uint8, RGB.
            layout: Layout of the network's input.
            reading: Order and ranges of its values.

        Returns:
            The cartoons, (N, H, W, 3) uint8, RGB, and what the network gave.
        """
        result = self.run(reading.to_network(frames, layout))
        return reading.to_levels(result), result

    def count_parameters(self) -> int:
        """Count the weights: values of constants in floating point."""
        return sum(
            math.prod(node.output(0).shape)
            for node in self.model.get_ops()
            if node.get_type_name() == "Constant" and node.output(0).get_element_type().is_real()
        )

    def count_multiply_adds(self, input_shape: tuple[int, ...]) -> int:
        """Count the multiply-add operations of convolutions and matrix products for one input."""
        return sum(_multiply_adds(node) for node in self._reshaped(input_shape).get_ops())

    def _reshaped(self, input_shape: tuple[int, ...]) -> ov.Model:
        fixed = self.model.clone()
        fixed.reshape({fixed.input(0): ov.PartialShape(list(input_shape))})
        return fixed


class Reading:
    """How a network's numbers are read as colors: order of the channels, and ranges."""

    def __init__(
        self, order: ColorOrder, input_range: ValueRange, output_range: ValueRange
    ) -> None:
        self.order = order
        self.input_range = input_range
        self.output_range = output_range

    def to_network(self, frames: Pixels, layout: Layout) -> Floats:
        """Turn frames, (N, H, W, 3) uint8 RGB, into the network's input, float32."""
        scale, offset = SCALES[self.input_range]
        ordered = frames[..., ::-1] if self.order == "bgr" else frames
        values = ordered.astype(np.float32) / np.float32(scale) + np.float32(offset)
        return np.ascontiguousarray(values.transpose(0, 3, 1, 2) if layout == "NCHW" else values)

    def to_levels(self, values: Floats) -> Pixels:
        """Turn the network's output into cartoons, (N, H, W, 3) uint8 RGB; NaN becomes 0."""
        scale, offset = SCALES[self.output_range]
        by_row = values.transpose(0, 2, 3, 1) if values.shape[1] == 3 else values
        ordered = by_row[..., ::-1] if self.order == "bgr" else by_row
        finite = np.clip(np.nan_to_num(ordered), -_FAR, _FAR)  # so that nothing overflows below
        levels = (finite - np.float32(offset)) * np.float32(scale)
        return np.ascontiguousarray(np.clip(np.rint(levels), 0, 255).astype(np.uint8))


SCALES: dict[ValueRange, tuple[float, float]] = {
    "-1..1": (127.5, -1.0),
    "0..1": (255.0, 0.0),
    "0..255": (1.0, 0.0),
}
"""Range -> (scale, offset): a value is level / scale + offset."""


def image_shape(layout: Layout, height: int, width: int, count: int = 1) -> tuple[int, ...]:
    """Return the shape of images in a layout."""
    return (count, 3, height, width) if layout == "NCHW" else (count, height, width, 3)


@contextmanager
def _explained(what: str) -> Iterator[None]:
    try:
        yield
    except (RuntimeError, MemoryError, ValueError) as error:  # ValueError: names that are no text
        raise EngineError(f"its network {what} in OpenVINO: {one_line(error, 'last')}") from error


def _multiply_adds(node: ov.Node) -> int:
    kind = node.get_type_name()
    if kind == "MatMul":
        return _values(node.output(0)) * int(node.input(0).get_shape()[-1])
    if kind not in (*_CONVOLUTIONS, *_TRANSPOSED):
        return 0
    # Weights: (C_out, C_in, ...), transposed (C_in, C_out, ...), each within a group if there are
    # groups. A value of the one side meets all of the other and of the kernel.
    weights: list[int] = list(node.input(1).get_shape())[2 if kind.startswith("Group") else 1 :]
    port = node.output(0) if kind in _CONVOLUTIONS else node.input(0)
    return _values(port) * math.prod(weights)


def _values(port: ov.Output | ov.Input) -> int:
    sides = [int(side) for side in port.get_shape()]
    return math.prod(sides)
