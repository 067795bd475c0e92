"""The values that command-line options accept.

They are in a module without imports so that `toonvid --help` does not load NumPy or FFmpeg.
"""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

BackendName: TypeAlias = Literal["auto", "openvino", "tensorrt", "onnxruntime"]
BACKENDS: tuple[BackendName, ...] = get_args(BackendName)

RequestedPrecision: TypeAlias = Literal["auto", "f32", "f16", "bf16", "int8"]
REQUESTED_PRECISIONS: tuple[RequestedPrecision, ...] = get_args(RequestedPrecision)

Comparison: TypeAlias = Literal["none", "horizontal", "vertical", "wipe"]
COMPARISONS: tuple[Comparison, ...] = get_args(Comparison)

ControlName: TypeAlias = Literal["ink", "tones", "saturation"]
CONTROLS: tuple[ControlName, ...] = get_args(ControlName)
"""Controls that a style may have: options of the command line, and inputs of the engine."""

DecoderName: TypeAlias = Literal["auto", "software", "nvdec"]
DECODERS: tuple[DecoderName, ...] = get_args(DecoderName)

REQUIRABLE_CHECKS = (
    *("openvino", "tensorrt", "onnxruntime", "torch"),
    *("nvdec", "nvenc", "camera", "virtual-camera", "display"),
)
"""Names of checks that `toonvid doctor --require` accepts."""
