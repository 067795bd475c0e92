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

Quality: TypeAlias = Literal["auto", "fast", "normal", "best"]
QUALITIES: tuple[Quality, ...] = get_args(Quality)

DecoderName: TypeAlias = Literal["auto", "software", "nvdec"]
DECODERS: tuple[DecoderName, ...] = get_args(DecoderName)

FamilyName: TypeAlias = Literal[
    "animeganv3",
    "animeganv2",
    "face-paint",
    "whitebox",
    "cartoongan",
    "cartoongan-tf",
    "fast-neural-style",
]
FAMILIES: tuple[FamilyName, ...] = get_args(FamilyName)
"""Families of cartoonizers that `toonvid styles add --as` knows."""

ColorOrder: TypeAlias = Literal["rgb", "bgr"]
ValueRange: TypeAlias = Literal["-1..1", "0..1", "0..255"]
COLOR_ORDERS: tuple[ColorOrder, ...] = get_args(ColorOrder)
VALUE_RANGES: tuple[ValueRange, ...] = get_args(ValueRange)
"""Ranges of the values that a cartoonizer takes and gives for the levels 0 to 255."""

REQUIRABLE_CHECKS = (
    *("openvino", "tensorrt", "onnxruntime", "torch", "ray"),
    *("nvdec", "nvenc", "camera", "virtual-camera", "display"),
)
"""Names of checks that `toonvid doctor --require` accepts."""
