"""The words that options take; apart, so that the command line knows them without loading numpy."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

BackendName: TypeAlias = Literal["auto", "openvino", "tensorrt", "onnxruntime"]
BACKENDS: tuple[BackendName, ...] = get_args(BackendName)

RequestedPrecision: TypeAlias = Literal["auto", "f32", "f16", "bf16", "int8"]
REQUESTED_PRECISIONS: tuple[RequestedPrecision, ...] = get_args(RequestedPrecision)

Comparison: TypeAlias = Literal["none", "horizontal", "vertical", "wipe"]
COMPARISONS: tuple[Comparison, ...] = get_args(Comparison)

DecoderName: TypeAlias = Literal["auto", "software", "nvdec"]
DECODERS: tuple[DecoderName, ...] = get_args(DecoderName)

REQUIRABLE_CHECKS = (
    *("openvino", "tensorrt", "onnxruntime", "torch"),
    *("nvdec", "nvenc", "camera", "virtual-camera", "display"),
)
"""What `toonvid doctor --require` takes: names of checks."""
