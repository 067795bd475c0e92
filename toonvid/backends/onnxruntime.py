"""Backend on ONNX Runtime: older NVIDIA GPUs, CoreML, DirectML and CPUs.

In: an engine and frames, out: cartoons, as `toonvid.backends.contract` says. Which kinds of devices
there are depends on the build of the package: `onnxruntime`, `onnxruntime-gpu` or
`onnxruntime-directml`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import redirect_stdout
from importlib import import_module
from io import StringIO
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from toonvid.backends.contract import (
    ControlValues,
    Port,
    check_cartoons,
    check_inputs,
    check_outputs,
    frames_failed,
    one_line,
    probe_shape,
)
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
"""Kind of device, as `--device` takes it -> ONNX Runtime's execution provider; fastest first."""

_INSTALL = "pip install 'toonvid[onnxruntime]'"
_CUDA_INSTALL = "pip install 'onnxruntime-gpu[cuda,cudnn]'"
_LOG_ERRORS_ONLY = 3
_LOG_NOTHING = 4  # above "fatal"


class OnnxRuntimeBackend:
    """An engine in ONNX Runtime. Frames may change their size from call to call."""

    name = "onnxruntime"
    batch_size = 1  # one frame keeps a device busy, and memory low

    def __init__(
        self, engine: Engine, device: str | None = None, precision: RequestedPrecision = "auto"
    ) -> None:
        """Load an engine; see `toonvid.backends.open_backend`.

        Args:
            engine: Engine to run. Its file is checked before it is loaded.
            device: A key of `DEVICES`, with or without a number: `cuda`, `cuda:1`. None: the
                first key that this build supports.
            precision: `auto`: f16 on GPUs, f32 on CPUs.
        """
        self.engine = engine
        self._ort = load_library()
        self.device = device.lower() if device else find_devices(self._ort)[0]
        self._check_device(device or self.device)
        self.precision, self.reason = self._choose_precision(precision)
        self._session = self._open()
        self._check_contract()

    def prepare(self, shape: tuple[int, ...]) -> None:
        """See `toonvid.backends.Backend.prepare`: nothing is done."""

    def run(self, frames: Pixels, controls: ControlValues | None = None) -> Pixels:
        """See `toonvid.backends.Backend.run`."""
        card = self.engine.card
        inputs: dict[str, NDArray[Any]] = {card.input: frames}
        for name, value in card.control_values(controls).items():
            inputs[name] = np.array([value], np.float32)
        try:
            [cartoons] = self._session.run([card.output], inputs)
        except Exception as error:  # its error classes share no other base
            library = f"ONNX Runtime on {self.device}"
            raise frames_failed(library, frames.shape, one_line(error)) from error
        check_cartoons(self.engine, frames.shape, np.shape(cartoons))
        return np.asarray(cartoons, np.uint8)

    def stream(
        self, batches: Iterable[Pixels], controls: ControlValues | None = None
    ) -> Iterator[Pixels]:
        """See `toonvid.backends.Backend.stream`."""
        return (self.run(batch, controls) for batch in batches)

    def __enter__(self) -> OnnxRuntimeBackend:
        return self

    def __exit__(self, *_: object) -> None:
        del self._session

    @property
    def _device_kind(self) -> str:
        return self.device.split(":")[0]

    def _check_device(self, asked: str) -> None:
        devices = find_devices(self._ort)
        number = self.device.partition(":")[2] or "0"
        if self._device_kind not in devices or not number.isdecimal():
            raise DeviceMissingError(
                f"this ONNX Runtime has no device {asked!r}; it has {', '.join(devices)}"
            )

    def _choose_precision(self, asked: RequestedPrecision) -> tuple[Precision, str]:
        if asked == "bf16":
            raise BackendError("ONNX Runtime does not compute in bf16; ask for f32")
        if asked != "auto":
            return asked, ""
        if self._device_kind in ("cuda", "dml") and "f16" in self.engine.card.precisions:
            return "f16", "the engine has f16, the fastest on GPUs"
        return "f32", f"every {self.device} device has f32"

    def _open(self) -> ort.InferenceSession:
        path = self.engine.path(self.precision)
        options = self._ort.SessionOptions()
        options.log_severity_level = _LOG_NOTHING  # every failure is raised as well
        options.enable_mem_pattern = self._device_kind != "dml"  # not supported by DirectML
        provider = DEVICES[self._device_kind]
        number = self.device.partition(":")[2]
        if self._device_kind == "cuda":
            _load_cuda_libraries(self._ort)
        try:
            session: ort.InferenceSession = self._ort.InferenceSession(
                str(path),
                options,
                providers=[provider],
                provider_options=[{"device_id": number} if number else {}],
                enable_fallback=0,  # to the CPU, which it would print, on standard output
            )
        except Exception as error:  # its error classes share no other base
            raise BackendError(
                f"ONNX Runtime cannot open {path} on {self.device}: {one_line(error)}"
            ) from error
        # ONNX Runtime only logs it when a provider's libraries are missing, and uses the CPU.
        if provider not in session.get_providers():
            advice = f": {_CUDA_INSTALL}" if self._device_kind == "cuda" else ""
            raise DeviceMissingError(
                f"ONNX Runtime cannot use {self.device}: its driver or libraries are missing"
                + advice
            )
        session.disable_fallback()  # before 1.23, the option above is not known
        return session

    def _check_contract(self) -> None:
        """Check that the graph keeps the engine contract."""
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        check_inputs(self.engine, {port.name: _port(port) for port in inputs})
        # An output's shape may be unknown until the input's is; an input must state its own.
        check_outputs(self.engine, {p.name: _port(p, may_be_unknown=True) for p in outputs})
        self._check_output_size()

    def _check_output_size(self) -> None:
        """Run a small frame, because ONNX Runtime tells no output's shape without running."""
        card, shape = self.engine.card, probe_shape(self.engine)
        inputs: dict[str, NDArray[Any]] = {card.input: np.zeros(shape, np.uint8)}
        for name, value in card.control_values().items():
            inputs[name] = np.array([value], np.float32)
        try:
            [cartoons] = self._session.run([card.output], inputs)
        except Exception:  # that the library fails is said with the first frame, and its size
            return
        check_cartoons(self.engine, shape, np.shape(cartoons))


def _port(node: ort.NodeArg, may_be_unknown: bool = False) -> Port:
    return Port(
        is_image=node.type == "tensor(uint8)"
        and (node.shape[3:] == [3] or (may_be_unknown and not node.shape)),
        is_scalar=node.type == "tensor(float)" and node.shape == [1],
        found=f"{node.type} {node.shape}",
    )


def load_library() -> ModuleType:
    """Import the package `onnxruntime`, and let it log errors only.

    Raises:
        DeviceMissingError: The package is not installed, or cannot be loaded.
    """
    try:
        library = import_module("onnxruntime")
        library.set_default_logger_severity(_LOG_ERRORS_ONLY)
    except ModuleNotFoundError as error:
        raise DeviceMissingError(f"ONNX Runtime is not installed: {_INSTALL}") from error
    except (ImportError, AttributeError) as error:
        raise DeviceMissingError(
            f"ONNX Runtime is installed but cannot be loaded ({one_line(error)}): {_INSTALL}"
        ) from error
    return library


def _load_cuda_libraries(library: ModuleType) -> None:
    """Load CUDA and cuDNN where they were installed by pip, which the system does not search.

    What is missing is found when the session is opened; until then ONNX Runtime only prints it.
    """
    if preload := getattr(library, "preload_dlls", None):  # from 1.21 on
        with redirect_stdout(StringIO()):
            preload()


def find_devices(library: ModuleType) -> list[str]:
    """List the kinds of devices that this build of ONNX Runtime supports, fastest first."""
    available = library.get_available_providers()
    return [device for device, provider in DEVICES.items() if provider in available]
