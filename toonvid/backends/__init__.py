"""Backends: the libraries that run an engine. One protocol, one door."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Protocol, Self

from toonvid.choices import BACKENDS, BackendName, RequestedPrecision
from toonvid.engine import Engine, Precision
from toonvid.errors import BackendError, DeviceMissingError, UnsupportedEngineError
from toonvid.video import Pixels

# Importing OpenVINO sends a message about its use to a statistics service. What a user converts is
# nobody else's business: without this module OpenVINO takes its own stand-in, which sends nothing.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]


class Backend(Protocol):
    """An engine, ready to run on one device. A context manager; used by one thread at a time."""

    engine: Engine
    name: str
    """Of the library."""
    device: str
    """As the library names it."""
    precision: Precision
    """What the engine computes in."""
    reason: str
    """Why this backend, device and precision, when they were left to be chosen; else empty."""
    batch_size: int
    """How many frames at a time it runs best."""

    def run(self, frames: Pixels) -> Pixels:
        """Turn frames into cartoons.

        Args:
            frames: (N, H, W, 3), uint8, RGB; H and W multiples of the card's `multiple_of`.

        Returns:
            Same shape and type.

        Raises:
            BackendError: The library fails, for want of memory say.
        """
        ...

    def stream(self, batches: Iterable[Pixels]) -> Iterator[Pixels]:
        """Turn batch after batch into cartoons, in order; each as `run` does.

        A backend may take the next batch before it gives the last one's cartoons, so that copies
        and arithmetic overlap. For who cannot wait for a next batch there is `run`.
        """
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def open_backend(
    engine: Engine,
    name: BackendName = "auto",
    device: str | None = None,
    precision: RequestedPrecision = "auto",
) -> Backend:
    """Make an engine ready to run.

    Args:
        engine: Checked before it is loaded.
        name: `auto` takes the best that is here.
        device: As the library names it; None for its best.
        precision: `auto` takes the fastest that the device is good at.

    Raises:
        EngineError: The engine cannot be trusted, or has no file of this precision.
        DeviceMissingError: The device is not here, or the library is not.
        UnsupportedEngineError: The library that was asked for refuses the engine.
        BackendError: With `auto`, no library takes it.
    """
    if name not in BACKENDS:
        raise ValueError(f"{name = }")
    if name == "auto":
        return _open_best(engine, device, precision)
    try:
        return _open(engine, name, device, precision)
    except DeviceMissingError:
        raise
    except BackendError as error:
        raise UnsupportedEngineError(str(error)) from error


def _open(
    engine: Engine, name: BackendName, device: str | None, precision: RequestedPrecision
) -> Backend:
    # Late: OpenVINO takes 0.1 s that --help does not need, and the others need not be installed.
    if name == "tensorrt":
        from toonvid.backends.tensorrt.backend import TensorRTBackend

        return TensorRTBackend(engine, device, precision)
    if name == "onnxruntime":
        from toonvid.backends.onnxruntime import OnnxRuntimeBackend

        return OnnxRuntimeBackend(engine, device, precision)
    from toonvid.backends.openvino import OpenVINOBackend

    return OpenVINOBackend(engine, device, precision)


def _open_best(engine: Engine, device: str | None, precision: RequestedPrecision) -> Backend:
    """The first backend that works; its `reason` says why none before it was taken."""
    from toonvid.backends.choice import candidates

    names, reasons = candidates(device, precision)
    for name in names[:-1]:
        try:
            return _with_reasons(_open(engine, name, device, precision), reasons)
        except BackendError as error:
            reasons.append(str(error))
    return _with_reasons(_open(engine, names[-1], device, precision), reasons)


def _with_reasons(backend: Backend, reasons: list[str]) -> Backend:
    backend.reason = "; ".join(filter(None, [*reasons, backend.reason]))
    return backend
