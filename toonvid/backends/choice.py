"""Choice of the backend with `--backend auto`.

In: the device and precision that were asked for, and the NVIDIA GPUs of this machine. Out: names of
backends in the order in which to try them, and reasons why better ones are not among them. Opening
them is left to `open_backend`.
"""

from __future__ import annotations

from importlib.util import find_spec

from toonvid.backends.tensorrt.library import (
    OLDEST_CAPABILITY,
    TENSORRT_PACKAGES,
    tensorrt_install,
)
from toonvid.choices import BackendName, RequestedPrecision
from toonvid.errors import DeviceMissingError
from toonvid.ffmpeg.nvidia import NvidiaInfo, find_nvidia

_TENSORRT_PRECISIONS = ("auto", "f16", "f32")
_ONNXRUNTIME_DEVICES = ("dml", "coreml")  # that no other backend has


def candidates(
    device: str | None, precision: RequestedPrecision, nvidia: NvidiaInfo | None = None
) -> tuple[list[BackendName], list[str]]:
    """List the backends to try in turn.

    Args:
        device: Device that was asked for; its name decides the backend. None: any.
        precision: Precision that was asked for.
        nvidia: NVIDIA GPUs and driver. None: those of this machine.

    Returns:
        At least one name, of which the last must do, and reasons why better backends are missing.
    """
    if device is not None:
        return [_backend_of(device.lower().split(":")[0])], []
    nvidia = nvidia or find_nvidia()
    if not nvidia.gpus:  # no GPU, so no fallback to explain
        return ["openvino"], []
    names: list[BackendName] = []
    reasons = []
    gpu = nvidia.gpus[0]
    if precision not in _TENSORRT_PRECISIONS:
        reasons.append(f"TensorRT does not run {precision} engines")
    elif gpu.capability < OLDEST_CAPABILITY:
        reasons.append(f"{gpu.name} is too old for TensorRT")
    elif not is_tensorrt_installed():
        reasons.append(f"{gpu.name} is idle without TensorRT: {tensorrt_install(gpu.capability)}")
    else:
        names.append("tensorrt")
    if precision != "bf16" and _is_onnxruntime_built_for_cuda():
        names.append("onnxruntime")
    return [*names, "openvino"], reasons


def is_tensorrt_installed() -> bool:
    """Whether one of the TensorRT packages is installed. It may still fail to load."""
    return any(find_spec(package) for package in TENSORRT_PACKAGES)


def _backend_of(device: str) -> BackendName:
    if device == "cuda":
        has_only_onnxruntime = find_spec("onnxruntime") and not is_tensorrt_installed()
        return "onnxruntime" if has_only_onnxruntime else "tensorrt"
    return "onnxruntime" if device in _ONNXRUNTIME_DEVICES else "openvino"


def _is_onnxruntime_built_for_cuda() -> bool:
    # Each build of ONNX Runtime has one kind of GPU, and only the loaded library says which.
    from toonvid.backends.onnxruntime import find_devices, load_library

    if find_spec("onnxruntime") is None:
        return False
    try:
        return "cuda" in find_devices(load_library())
    except DeviceMissingError:
        return False
