"""Backends, each tried with one small frame of the default style; and what `auto` takes."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

import numpy as np

from toonvid.backends import open_backend
from toonvid.backends.choice import is_tensorrt_installed
from toonvid.backends.tensorrt.library import TENSORRT_INSTALL
from toonvid.choices import BackendName
from toonvid.doctor.check_result import CheckResult
from toonvid.doctor.gpu import check_intel_gpu
from toonvid.engine import DEFAULT_STYLE, find_engine
from toonvid.errors import ToonvidError
from toonvid.ffmpeg.nvidia import find_nvidia

_SIDE = 64  # pixels
_ONNXRUNTIME_INSTALL = "pip install 'toonvid[onnxruntime]'"
_ONNXRUNTIMES = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml")


def check_auto() -> list[CheckResult]:
    """Let `auto` choose."""
    return [_tried("auto", "auto", "")]


def check_openvino() -> list[CheckResult]:
    """Name OpenVINO's devices, and run on its best."""
    import openvino as ov  # after toonvid.backends, which keeps its telemetry out

    core = ov.Core()
    names = {
        device: str(core.get_property(device, "FULL_DEVICE_NAME")).strip()
        for device in core.available_devices
    }
    devices = ", ".join(f"{device} ({name})" for device, name in names.items())
    told = f"{ov.__version__.split('-')[0]} on {devices}"
    ran = _tried("openvino", "openvino", told, {"devices": list(names)})
    return [ran, *check_intel_gpu(list(names))]


def check_onnxruntime() -> list[CheckResult]:
    """Run on ONNX Runtime's best device."""
    if find_spec("onnxruntime") is None:
        return [_missing("onnxruntime", "not installed", _ONNXRUNTIME_INSTALL)]
    return [_tried("onnxruntime", "onnxruntime", _version(*_ONNXRUNTIMES))]


def check_tensorrt() -> list[CheckResult]:
    """Load TensorRT; where there is a card, run on it."""
    nvidia = find_nvidia()
    problem = nvidia.problem.partition(": ")[0]
    if sys.platform == "darwin":
        return [_missing("tensorrt", "not for this system")]
    if not is_tensorrt_installed():
        if problem:
            return [_missing("tensorrt", f"not installed, and {problem}")]
        return [_missing("tensorrt", "not installed", TENSORRT_INSTALL)]
    from toonvid.backends.tensorrt.library import load_tensorrt

    try:
        name = load_tensorrt().name
    except ToonvidError as error:
        words = str(error).removesuffix(f": {TENSORRT_INSTALL}")
        return [CheckResult("backends", "tensorrt", "broken", words, TENSORRT_INSTALL)]
    if problem:
        return [_missing("tensorrt", f"{name} loads, but {problem}")]
    return [_tried("tensorrt", "tensorrt", name)]


def _tried(
    name: str,
    backend: BackendName,
    told: str,
    facts: dict[str, str | int | list[str]] | None = None,
) -> CheckResult:
    """Run one frame, and say on what and how."""
    try:
        engine = find_engine(DEFAULT_STYLE)
        with open_backend(engine, backend) as opened:
            opened.run(np.zeros((1, _SIDE, _SIDE, 3), np.uint8))
            ran = {
                "backend": opened.name,
                "device": opened.device,
                "precision": opened.precision,
                "reason": opened.reason,
            }
    except ToonvidError as error:
        words = f"{told}: {error}" if told else str(error)
        return CheckResult("backends", name, "broken", words, facts={**(facts or {})})
    how = f"{opened.device}, {opened.precision}"
    words = f"{told}; ran {DEFAULT_STYLE} on {how}" if told else f"{opened.name} on {how}"
    if name == "auto" and opened.reason:
        words += f": {opened.reason}"
    return CheckResult("backends", name, "ok", words, facts={**(facts or {}), **ran})


def _missing(name: str, words: str, mend: str = "") -> CheckResult:
    return CheckResult("backends", name, "missing", words, mend)


def _version(*packages: str) -> str:
    for package in packages:
        try:
            return version(package)
        except PackageNotFoundError:
            continue
    return "of unknown version"
