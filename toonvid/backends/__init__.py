"""Backends: run an engine through one of several inference libraries.

In: an `Engine` (`toonvid.engine`) and frames, (N, H, W, 3) uint8, RGB. Out: cartoons of the same
shape and type. Entry point: `open_backend`.

    contract        `Backend`, the interface of all backends; checks of an engine's graph
    choice          which backends `auto` tries, and in which order
    cartoon_check   what goes wrong without an error: black frames, one color, far from f32
    openvino        CPUs and Intel GPUs; part of the base installation. `openvino_model` reads and
                    compiles an engine, `openvino_graph` rewrites it, `openvino_cache` keeps it
    onnxruntime     older NVIDIA GPUs, CoreML, DirectML, CPUs; the extra `onnxruntime`
    tensorrt/       NVIDIA GPUs from RTX 20 and GTX 16 on; the extra `tensorrt`
"""

from __future__ import annotations

import sys

from toonvid.backends.contract import Backend, ControlValues
from toonvid.choices import (
    BACKENDS,
    REQUESTED_PRECISIONS,
    BackendName,
    RequestedPrecision,
)
from toonvid.engine import Engine
from toonvid.errors import BackendError, DeviceMissingError, UnsupportedEngineError

__all__ = ["Backend", "ControlValues", "open_backend"]

# On import OpenVINO reports its use to a statistics service. Nothing about what a user converts may
# leave the machine. Where the module `openvino_telemetry` cannot be imported, OpenVINO uses a
# built-in replacement that sends nothing.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]


def open_backend(
    engine: Engine,
    name: BackendName = "auto",
    device: str | None = None,
    precision: RequestedPrecision = "auto",
) -> Backend:
    """Load an engine on a device.

    Args:
        engine: Engine to run. Its file is checked before a library loads it.
        name: Backend. `auto`: the best one of this machine.
        device: Device, under the library's name for it: `CPU`, `GPU.1`, `cuda:0`. None: the
            library's best.
        precision: Precision of the arithmetic. `auto`: the fastest that the device supports well.

    Returns:
        A context manager, which frees the device's memory on exit.

    Raises:
        TypeError, ValueError: Name, device or precision is not one that there is.
        EngineError: The engine cannot be trusted, or has no file of this precision.
        DeviceMissingError: The device or the library is not on this machine.
        UnsupportedEngineError: The backend that was named, or the one of the device that was named,
            refuses the engine.
        BackendError: With `auto` and no device, every backend refuses the engine.
    """
    if name not in BACKENDS:
        raise ValueError(f"backend is one of {', '.join(BACKENDS)}, not {name!r}")
    if precision not in REQUESTED_PRECISIONS:
        raise ValueError(
            f"precision is one of {', '.join(REQUESTED_PRECISIONS)}, not {precision!r}"
        )
    if device is not None and not isinstance(device, str):
        raise TypeError(f"device is a name such as 'CPU' or 'cuda:0', not {device!r}")
    is_named = name != "auto" or device is not None  # a device's name decides the backend
    try:
        if name == "auto":
            return _open_best(engine, device, precision)
        return _open(engine, name, device, precision)
    except DeviceMissingError:
        raise
    except BackendError as error:
        if not is_named:
            raise
        raise UnsupportedEngineError(str(error)) from error


def _open(
    engine: Engine, name: BackendName, device: str | None, precision: RequestedPrecision
) -> Backend:
    if engine.card.is_openvino_only and name != "openvino":
        raise BackendError(
            f"style {engine.card.style} was made for OpenVINO alone; use --backend openvino"
        )
    # Imported here, because importing OpenVINO takes 0.1 s, which `--help` would pay too, and the
    # other libraries need not be installed.
    if name == "tensorrt":
        from toonvid.backends.tensorrt.backend import TensorRTBackend

        return TensorRTBackend(engine, device, precision)
    if name == "onnxruntime":
        from toonvid.backends.onnxruntime import OnnxRuntimeBackend

        return OnnxRuntimeBackend(engine, device, precision)
    from toonvid.backends.openvino import OpenVINOBackend

    return OpenVINOBackend(engine, device, precision)


def _open_best(engine: Engine, device: str | None, precision: RequestedPrecision) -> Backend:
    """Open the first backend that works; `reason` says why those before it were passed over."""
    from toonvid.backends.choice import candidates

    names, reasons = candidates(device, precision)
    for name in names[:-1]:
        try:
            return _add_reasons(_open(engine, name, device, precision), reasons)
        except BackendError as error:
            reasons.append(str(error))
    # Not caught: when the last one fails as well, its error is what the user needs to see.
    return _add_reasons(_open(engine, names[-1], device, precision), reasons)


def _add_reasons(backend: Backend, reasons: list[str]) -> Backend:
    backend.reason = "; ".join(filter(None, [*reasons, backend.reason]))
    return backend
