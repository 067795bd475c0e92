"""Run engines with ONNX Runtime: CUDA on cards too old for TensorRT, CoreML, DirectML, processors.

Which of them there are depends on the library of the package that is installed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from toonvid.backends.contract import check_port, frames_failed, one_line
from toonvid.choices import RequestedPrecision
from toonvid.engine import Engine, Precision
from toonvid.errors import BackendError, DeviceMissingError
from toonvid.video import Pixels

if TYPE_CHECKING:
    import onnxruntime as ort

DEVICES = {
    "cuda": "CUDAExecutionProvider",
    "dml": "DmlExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "cpu": "CPUExecutionProvider",
}
"""What a device is called here -> what ONNX Runtime calls the part of it that computes there."""

_INSTALL = "pip install 'toonvid[onnxruntime]'"
_ERRORS_ONLY = 3
_SILENT = 4


class OnnxRuntimeBackend:
    """An engine in ONNX Runtime. Any shape of frames may follow any other."""

    name = "onnxruntime"
    batch_size = 1  # as with OpenVINO: one frame fills a device, and keeps memory low

    def __init__(
        self, engine: Engine, device: str | None = None, precision: RequestedPrecision = "auto"
    ) -> None:
        """Read an engine; see `toonvid.backends.open_backend`.

        Args:
            engine: Checked before it is loaded.
            device: One of `DEVICES`, or `cuda:1`; None for the first of them that is here.
            precision: `auto` takes f16 on graphics cards and f32 on processors.
        """
        self.engine = engine
        self._ort = load_library()
        self.device = device.lower() if device else find_devices(self._ort)[0]
        self._check_device(device or self.device)
        self.precision, self.reason = self._chosen_precision(precision)
        self._session = self._open()
        self._check_contract()

    def run(self, frames: Pixels) -> Pixels:
        """See `toonvid.backends.Backend.run`."""
        card = self.engine.card
        try:
            [cartoons] = self._session.run([card.output], {card.input: frames})
        except Exception as error:  # its errors have no ancestor of their own
            library = f"ONNX Runtime on {self.device}"
            raise frames_failed(library, frames.shape, one_line(error)) from error
        return np.asarray(cartoons, np.uint8)

    def stream(self, batches: Iterable[Pixels]) -> Iterator[Pixels]:
        """See `toonvid.backends.Backend.stream`."""
        return map(self.run, batches)

    def __enter__(self) -> OnnxRuntimeBackend:
        return self

    def __exit__(self, *_: object) -> None:
        del self._session

    @property
    def _device_kind(self) -> str:
        return self.device.split(":")[0]

    def _check_device(self, asked: str) -> None:
        here = find_devices(self._ort)
        number = self.device.partition(":")[2] or "0"
        if self._device_kind not in here or not number.isdecimal():
            raise DeviceMissingError(
                f"this ONNX Runtime has no device {asked!r}; it has {', '.join(here)}"
            )

    def _chosen_precision(self, asked: RequestedPrecision) -> tuple[Precision, str]:
        if asked == "bf16":
            raise BackendError("ONNX Runtime does not compute in bf16; ask for f32")
        if asked != "auto":
            return asked, ""
        if self._device_kind in ("cuda", "dml") and "f16" in self.engine.card.precisions:
            return "f16", "the engine has f16, the fastest on graphics cards"
        return "f32", f"f32 is what {self.device} is sure to have"

    def _open(self) -> ort.InferenceSession:
        path = self.engine.path(self.precision)
        options = self._ort.SessionOptions()
        options.log_severity_level = _SILENT  # what matters is raised
        options.enable_mem_pattern = self._device_kind != "dml"  # DirectML cannot
        provider = DEVICES[self._device_kind]
        number = self.device.partition(":")[2]
        try:
            session: ort.InferenceSession = self._ort.InferenceSession(
                str(path),
                options,
                providers=[provider],
                provider_options=[{"device_id": number} if number else {}],
            )
        except Exception as error:  # its errors have no ancestor of their own
            raise BackendError(f"ONNX Runtime cannot read {path}: {one_line(error)}") from error
        session.disable_fallback()
        # A provider whose libraries are missing is left out with no more than a line in the log.
        if provider not in session.get_providers():
            raise DeviceMissingError(
                f"ONNX Runtime cannot use {self.device}: its driver or libraries are missing"
            )
        return session

    def _check_contract(self) -> None:
        """Hold the engine to DESIGN's contract: uint8 (N, H, W, 3) in and out."""
        for ports, role in (
            (self._session.get_inputs(), "input"),
            (self._session.get_outputs(), "output"),
        ):
            # What comes out need not be known in full before a size is; what goes in must be.
            fits = all(
                port.type == "tensor(uint8)"
                and (port.shape[3:] == [3] or (role == "output" and not port.shape))
                for port in ports
            )
            found = ", ".join(f"{port.type} {port.shape}" for port in ports)
            check_port(self.engine, role, [port.name for port in ports], fits, found)


def load_library() -> ModuleType:
    """The package `onnxruntime`, quiet but for errors.

    Raises:
        DeviceMissingError: It is not installed, or cannot be loaded.
    """
    try:
        library = import_module("onnxruntime")
        library.set_default_logger_severity(_ERRORS_ONLY)
    except ModuleNotFoundError as error:
        raise DeviceMissingError(f"ONNX Runtime is not installed: {_INSTALL}") from error
    except (ImportError, AttributeError) as error:
        raise DeviceMissingError(
            f"ONNX Runtime is installed but cannot be loaded ({one_line(error)}): {_INSTALL}"
        ) from error
    return library


def find_devices(library: ModuleType) -> list[str]:
    """The devices this library of ONNX Runtime was made for, the fastest first."""
    there = library.get_available_providers()
    return [device for device, provider in DEVICES.items() if provider in there]
