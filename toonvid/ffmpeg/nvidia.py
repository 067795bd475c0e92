"""NVIDIA cards and their driver, as the driver itself tells of them.

Needs no package: the driver's library is there where a driver is. How engines run on a card is not
known here (`toonvid.backends.tensorrt.backend`).
"""

from __future__ import annotations

import ctypes
import sys
from dataclasses import dataclass
from typing import Protocol

_LIBRARY = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
_MANAGEMENT_LIBRARY = "nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1"
_NO_DEVICE = 100  # CUDA_ERROR_NO_DEVICE
_CAPABILITY_MAJOR, _CAPABILITY_MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_…
_LONGEST_NAME = 256  # bytes
_LONGEST_VERSION = 80  # bytes: NVML_SYSTEM_DRIVER_VERSION_BUFFER_SIZE

_INSTALL_DRIVER = "install NVIDIA's driver, from nvidia.com/drivers or your system's packages"


@dataclass(frozen=True)
class Gpu:
    """One graphics card."""

    index: int
    """As CUDA counts them."""
    name: str
    capability: tuple[int, int]
    """Compute capability: (8, 6) for the RTX 30 family."""
    memory_bytes: int
    """All of it, free or not."""

    @property
    def device(self) -> str:
        """What `--device` calls it."""
        return f"cuda:{self.index}"


@dataclass(frozen=True)
class NvidiaInfo:
    """What there is of NVIDIA in this machine."""

    gpus: tuple[Gpu, ...] = ()
    cuda_version: int = 0
    """The newest CUDA that the driver knows, 1000 * major + 10 * minor; 0 without a driver."""
    problem: str = ""
    """Why there are no cards, and what to do; empty when there are some."""
    driver: str = ""
    """The driver's own version, such as 580.95.05; empty when it does not tell."""

    @property
    def cuda(self) -> str:
        """The newest CUDA that the driver knows, as NVIDIA writes it."""
        return f"{self.cuda_version // 1000}.{self.cuda_version % 1000 // 10}"


class Driver(Protocol):
    """What is called of the driver's library; each call gives 0 when it went well."""

    def cuInit(self, flags: int) -> int: ...
    def cuDriverGetVersion(self, version: object) -> int: ...
    def cuDeviceGetCount(self, count: object) -> int: ...
    def cuDeviceGetName(self, name: object, length: int, device: int) -> int: ...
    def cuDeviceGetAttribute(self, value: object, attribute: int, device: int) -> int: ...
    def cuDeviceTotalMem_v2(self, size: object, device: int) -> int: ...


def find_nvidia(driver: Driver | None = None) -> NvidiaInfo:
    """Ask the driver which cards there are. Never raises: what is amiss is in `problem`.

    Args:
        driver: None for this machine's own.
    """
    if driver is None:
        try:
            driver = ctypes.CDLL(_LIBRARY)
        except OSError:
            return NvidiaInfo(problem=f"there is no NVIDIA driver: {_INSTALL_DRIVER}")
    version, count = ctypes.c_int(), ctypes.c_int()
    if driver.cuDriverGetVersion(ctypes.byref(version)):
        return NvidiaInfo(problem=f"the NVIDIA driver does not answer: {_INSTALL_DRIVER}")
    failed = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
    if failed == _NO_DEVICE or (not failed and count.value == 0):
        return NvidiaInfo((), version.value, "the NVIDIA driver finds no card")
    if failed:
        problem = f"the NVIDIA driver cannot start (CUDA error {failed}): restart the machine"
        return NvidiaInfo((), version.value, problem)
    gpus = tuple(_describe(driver, index) for index in range(count.value))
    return NvidiaInfo(gpus, version.value, driver=_driver_version())


def _driver_version() -> str:
    """What the driver's other library tells; empty where that is not installed."""
    try:
        library = ctypes.CDLL(_MANAGEMENT_LIBRARY)
    except OSError:
        return ""
    version = ctypes.create_string_buffer(_LONGEST_VERSION)
    if library.nvmlInit_v2():
        return ""
    failed = library.nvmlSystemGetDriverVersion(version, _LONGEST_VERSION)
    library.nvmlShutdown()
    return "" if failed else version.value.decode(errors="replace")


def _describe(driver: Driver, index: int) -> Gpu:
    name = ctypes.create_string_buffer(_LONGEST_NAME)
    major, minor, size = ctypes.c_int(), ctypes.c_int(), ctypes.c_size_t()
    driver.cuDeviceGetName(name, _LONGEST_NAME, index)
    driver.cuDeviceGetAttribute(ctypes.byref(major), _CAPABILITY_MAJOR, index)
    driver.cuDeviceGetAttribute(ctypes.byref(minor), _CAPABILITY_MINOR, index)
    driver.cuDeviceTotalMem_v2(ctypes.byref(size), index)
    capability = (major.value, minor.value)
    return Gpu(index, name.value.decode(errors="replace"), capability, size.value)
