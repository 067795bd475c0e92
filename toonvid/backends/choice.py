"""Which backends `auto` tries, in which order, and why it passes others over."""

from __future__ import annotations

from importlib.util import find_spec

from toonvid.backends.tensorrt.library import OLDEST_CAPABILITY, TENSORRT_INSTALL, TENSORRT_PACKAGES
from toonvid.choices import BackendName, RequestedPrecision
from toonvid.ffmpeg.nvidia import NvidiaInfo, find_nvidia

_TENSORRT_PRECISIONS = ("auto", "f16", "f32")
_OF_ONNXRUNTIME = ("dml", "coreml")


def candidates(
    device: str | None, precision: RequestedPrecision, nvidia: NvidiaInfo | None = None
) -> tuple[list[BackendName], list[str]]:
    """Name the backends to try in turn, and say why better ones are not among them.

    Args:
        device: As asked for; it decides by itself. None: any.
        precision: As asked for.
        nvidia: None to look for cards.

    Returns:
        At least one name; the last has to do. Reasons for a user.
    """
    if device is not None:
        return [_backend_of(device.lower().split(":")[0])], []
    nvidia = nvidia or find_nvidia()
    if not nvidia.gpus:  # a machine without a card owes nobody a reason
        return ["openvino"], []
    names: list[BackendName] = []
    reasons = []
    card = nvidia.gpus[0]
    if precision not in _TENSORRT_PRECISIONS:
        reasons.append(f"TensorRT does not run {precision} engines")
    elif card.capability < OLDEST_CAPABILITY:
        reasons.append(f"{card.name} is too old for TensorRT")
    elif not is_tensorrt_installed():
        reasons.append(f"{card.name} waits for TensorRT: {TENSORRT_INSTALL}")
    else:
        names.append("tensorrt")
    if precision != "bf16" and _has_onnxruntime_for_cuda():
        names.append("onnxruntime")
    return [*names, "openvino"], reasons


def is_tensorrt_installed() -> bool:
    """Whether there is any library of TensorRT; it may still be broken."""
    return any(find_spec(package) for package in TENSORRT_PACKAGES)


def _backend_of(device: str) -> BackendName:
    if device == "cuda":
        has_only_onnxruntime = find_spec("onnxruntime") and not is_tensorrt_installed()
        return "onnxruntime" if has_only_onnxruntime else "tensorrt"
    return "onnxruntime" if device in _OF_ONNXRUNTIME else "openvino"


def _has_onnxruntime_for_cuda() -> bool:
    from toonvid.backends.onnxruntime import find_devices, load_library
    from toonvid.errors import DeviceMissingError

    if find_spec("onnxruntime") is None:
        return False
    try:
        return "cuda" in find_devices(load_library())
    except DeviceMissingError:
        return False
