"""The TensorRT library that is installed: `tensorrt` for data-center GPUs, else `tensorrt_rtx`.

Out: the module, its version, and the errors that it logs. Both packages have the same Python API as
far as it is used here. Neither ships type annotations, so mypy does not check calls of `trt`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from toonvid.errors import BackendError, DeviceMissingError

OLDEST_CAPABILITY = (7, 5)
"""Compute capability of the oldest GPUs that TensorRT supports: RTX 20 and GTX 16."""
_RTX_CAPABILITIES = (OLDEST_CAPABILITY, (8, 0), (8, 6), (8, 9))
_RTX_CAPABILITIES_FROM = (12, 0)
TENSORRT_PACKAGES = ("tensorrt", "tensorrt_rtx")
"""Packages with a TensorRT, in the order in which they are tried."""
TENSORRT_INSTALL = "pip install 'toonvid[tensorrt]'"
"""Installs TensorRT-RTX."""

_OLD_DRIVER = "driver version is insufficient"
_OUT_OF_MEMORY = ("out of memory", "outofmemory", "cudaerrormemoryallocation")


@dataclass(frozen=True)
class TensorRTLibrary:
    """A loaded TensorRT, and the errors it has logged."""

    package: str
    """`tensorrt` or `tensorrt_rtx`."""
    version: str
    trt: ModuleType
    logger: object
    """TensorRT's logger. The library accepts a single one per process."""
    errors: list[str] = field(default_factory=list)
    """Errors logged since they were last taken, oldest first."""

    @property
    def name(self) -> str:
        """Product name and version, for messages."""
        product = "TensorRT-RTX" if self.is_portable else "TensorRT"
        return f"{product} {self.version}"

    @property
    def is_portable(self) -> bool:
        """Whether plans can be built without a GPU and run on GPUs of several models."""
        return self.package == "tensorrt_rtx"

    def make(self, kind: str) -> Any:
        """Make a `Builder` or a `Runtime`.

        Raises:
            BackendError: CUDA does not start, or has too little memory; `errors` then tells.
        """
        try:
            return getattr(self.trt, kind)(self.logger)
        except TypeError as error:  # pybind11, where NVIDIA's factory gives nothing
            if self.is_out_of_memory():
                raise BackendError("the GPU is out of memory: close what else uses it") from error
            raise BackendError(f"TensorRT does not start: {self.take_error()}") from error

    def take_error(self) -> str:
        """Return why the last call failed, on one line, and clear `errors`.

        TensorRT returns None or False on failure; the reason is only in its log.
        """
        errors = [" ".join(text.split()) for text in self.errors]
        self.errors.clear()
        if any(_OLD_DRIVER in text for text in errors):
            return "the NVIDIA driver is missing or too old for it: update the driver"
        return errors[0] if errors else "it does not say why"

    def is_out_of_memory(self) -> bool:
        """Whether one of `errors` is about too little GPU memory."""
        text = " ".join(self.errors).lower()
        return any(words in text for words in _OUT_OF_MEMORY)


def is_supported_by_rtx(capability: tuple[int, int]) -> bool:
    """Whether TensorRT-RTX runs on GPUs of a compute capability.

    It does not on data-center GPUs from Hopper on (9.0, 10.0) and on Jetson. Version 1.7.1 named
    those that it supports when it refused an H200.
    """
    return capability in _RTX_CAPABILITIES or capability >= _RTX_CAPABILITIES_FROM


def tensorrt_install(capability: tuple[int, int]) -> str:
    """Return the command that installs a TensorRT for GPUs of a compute capability."""
    return TENSORRT_INSTALL if is_supported_by_rtx(capability) else "pip install tensorrt"


@cache
def load_tensorrt() -> TensorRTLibrary:
    """Load the TensorRT that is installed.

    Raises:
        DeviceMissingError: None is installed, or it cannot be loaded.
    """
    failures = []
    for package in TENSORRT_PACKAGES:
        if find_spec(package) is None:
            continue
        try:
            trt = import_module(package)
            if not hasattr(trt.ICudaEngine, "create_runtime_config"):
                version = f"{package} {trt.__version__}"
                failures.append(f"{version} is too old: 10.11 or newer is needed")
                continue
            errors: list[str] = []
            logger = _make_logger(trt, errors)
            return TensorRTLibrary(package, trt.__version__, trt, logger, errors)
        except (ImportError, OSError, AttributeError, RuntimeError) as error:
            failures.append(f"{package} cannot be loaded: {' '.join(str(error).split())}")
    reason = "; ".join(failures) or "TensorRT is not installed"
    raise DeviceMissingError(f"{reason}: {TENSORRT_INSTALL}")


def _make_logger(trt: ModuleType, errors: list[str]) -> object:
    # The base class is known only once the library is loaded, hence a class in a function.
    class Logger(trt.ILogger):  # type: ignore[name-defined, misc]
        """Keeps errors and drops everything else."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: object, message: str) -> None:
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                errors.append(message)

    return Logger()
