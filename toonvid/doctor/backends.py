"""Checks of the backends: each runs the default style on one small frame.

In: nothing. Out: a result for each backend and one for what `auto` chooses. These checks load other
libraries, so they are run by `child_process`.
"""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

import numpy as np

from toonvid.backends import open_backend
from toonvid.backends.choice import is_tensorrt_installed
from toonvid.backends.tensorrt.library import TENSORRT_INSTALL, tensorrt_install
from toonvid.choices import BackendName
from toonvid.doctor.check_result import CheckResult
from toonvid.doctor.gpu import check_intel_gpu
from toonvid.engine import DEFAULT_STYLE, find_engine
from toonvid.errors import ToonvidError
from toonvid.ffmpeg.nvidia import find_nvidia

_FRAME_SIDE = 64  # pixels
_ONNXRUNTIME_INSTALL = "pip install 'toonvid[onnxruntime]'"
_ONNXRUNTIME_PACKAGES = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml")


def check_auto() -> list[CheckResult]:
    """Run on the backend that `auto` chooses."""
    return [_run_engine("auto", "auto", "")]


def check_openvino() -> list[CheckResult]:
    """List OpenVINO's devices, and run on the default one."""
    import openvino as ov  # after toonvid.backends, which disables its telemetry

    core = ov.Core()
    names = {
        device: str(core.get_property(device, "FULL_DEVICE_NAME")).strip()
        for device in core.available_devices
    }
    devices = ", ".join(f"{device} ({name})" for device, name in names.items())
    found = f"{ov.__version__.split('-')[0]} on {devices}"
    result = _run_engine("openvino", "openvino", found, {"devices": list(names)})
    return [result, *check_intel_gpu(list(names))]


def check_onnxruntime() -> list[CheckResult]:
    """Run on ONNX Runtime's default device."""
    if find_spec("onnxruntime") is None:
        return [_missing("onnxruntime", "not installed", _ONNXRUNTIME_INSTALL)]
    return [_run_engine("onnxruntime", "onnxruntime", _version(*_ONNXRUNTIME_PACKAGES))]


def check_tensorrt() -> list[CheckResult]:
    """Load TensorRT, and run on the GPU if there is one."""
    nvidia = find_nvidia()
    problem = nvidia.problem.partition(": ")[0]
    if sys.platform == "darwin":
        return [_missing("tensorrt", "not available for macOS")]
    if not is_tensorrt_installed():
        if problem:
            return [_missing("tensorrt", f"not installed, and {problem}")]
        return [_missing("tensorrt", "not installed", tensorrt_install(nvidia.gpus[0].capability))]
    from toonvid.backends.tensorrt.library import load_tensorrt

    try:
        name = load_tensorrt().name
    except ToonvidError as error:
        message = str(error).removesuffix(f": {TENSORRT_INSTALL}")
        return [CheckResult("backends", "tensorrt", "broken", message, TENSORRT_INSTALL)]
    if problem:
        return [_missing("tensorrt", f"{name} loads, but {problem}")]
    return [_run_engine("tensorrt", "tensorrt", name)]


def _run_engine(
    name: str,
    backend: BackendName,
    found: str,
    facts: dict[str, str | int | list[str]] | None = None,
) -> CheckResult:
    """Run one frame, and report backend, device and precision.

    Args:
        name: Name of the check.
        backend: Backend to open.
        found: Version or devices that are already known; empty if nothing is.
        facts: Values that are already known.
    """
    try:
        engine = find_engine(DEFAULT_STYLE)
        with open_backend(engine, backend) as opened:
            opened.run(np.zeros((1, _FRAME_SIDE, _FRAME_SIDE, 3), np.uint8))
            ran = {
                "backend": opened.name,
                "device": opened.device,
                "precision": opened.precision,
                "reason": opened.reason,
            }
    except ToonvidError as error:
        # An error of the library may name it already.
        message = f"{found}: {error}" if found and found not in str(error) else str(error)
        return CheckResult("backends", name, "broken", message, facts={**(facts or {})})
    device = f"{opened.device}, {opened.precision}"
    message = f"{found}; ran {DEFAULT_STYLE} on {device}" if found else f"{opened.name} on {device}"
    if name == "auto" and opened.reason:
        message += f": {opened.reason}"
    return CheckResult("backends", name, "ok", message, facts={**(facts or {}), **ran})


def _missing(name: str, message: str, fix: str = "") -> CheckResult:
    return CheckResult("backends", name, "missing", message, fix)


def _version(*packages: str) -> str:
    """Return the version of the first of these packages that is installed."""
    for package in packages:
        try:
            return version(package)
        except PackageNotFoundError:
            continue
    return "of unknown version"
