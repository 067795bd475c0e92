"""The TensorRT that is installed: `tensorrt` for data-centre cards, else `tensorrt_rtx`.

Both have the same Python API for what is used here. Neither ships annotations, so that `trt` stands
for a module that mypy does not look into.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from toonvid.errors import DeviceMissingError

OLDEST_CAPABILITY = (7, 5)
"""Compute capability of the oldest cards that TensorRT runs on: RTX 20 and GTX 16."""
TENSORRT_PACKAGES = ("tensorrt", "tensorrt_rtx")
"""The flavours of TensorRT, in the order in which they are looked for."""
TENSORRT_INSTALL = "pip install 'toonvid[tensorrt]'"

_OLD_DRIVER = "driver version is insufficient"
_OUT_OF_MEMORY = ("out of memory", "outofmemory", "cudaerrormemoryallocation")


@dataclass(frozen=True)
class TensorRTLibrary:
    """A TensorRT, and what it has complained of."""

    package: str
    """`tensorrt` or `tensorrt_rtx`."""
    version: str
    trt: ModuleType
    logger: object
    """The one logger that TensorRT takes in a process."""
    complaints: list[str] = field(default_factory=list)
    """Errors since they were last taken, the oldest first."""

    @property
    def name(self) -> str:
        """For a user."""
        product = "TensorRT-RTX" if self.is_portable else "TensorRT"
        return f"{product} {self.version}"

    @property
    def is_portable(self) -> bool:
        """Whether plans are built without a card, and run on more than one."""
        return self.package == "tensorrt_rtx"

    def take_complaint(self) -> str:
        """Why the last call failed, on one line."""
        complaints = [" ".join(text.split()) for text in self.complaints]
        self.complaints.clear()
        if any(_OLD_DRIVER in text for text in complaints):
            return "the NVIDIA driver is missing or too old for it: update the driver"
        return complaints[0] if complaints else "it does not say why"

    def is_out_of_memory(self) -> bool:
        """Whether it complained of too little memory on the card."""
        text = " ".join(self.complaints).lower()
        return any(words in text for words in _OUT_OF_MEMORY)


@cache
def load_tensorrt() -> TensorRTLibrary:
    """Load the TensorRT that is installed.

    Raises:
        DeviceMissingError: There is none, or it cannot be loaded.
    """
    failures = []
    for package in TENSORRT_PACKAGES:
        if find_spec(package) is None:
            continue
        try:
            trt = import_module(package)
            complaints: list[str] = []
            logger = _make_logger(trt, complaints)
            return TensorRTLibrary(package, trt.__version__, trt, logger, complaints)
        except (ImportError, OSError, AttributeError, RuntimeError) as error:
            failures.append(f"{package} cannot be loaded: {' '.join(str(error).split())}")
    reason = "; ".join(failures) or "TensorRT is not installed"
    raise DeviceMissingError(f"{reason}: {TENSORRT_INSTALL}")


def _make_logger(trt: ModuleType, complaints: list[str]) -> object:
    class Logger(trt.ILogger):  # type: ignore[name-defined, misc]
        """Keeps errors, and is silent of the rest."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: object, message: str) -> None:
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                complaints.append(message)

    return Logger()
