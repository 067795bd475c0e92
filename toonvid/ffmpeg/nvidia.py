"""NVIDIA GPUs and their driver, as the driver itself reports them.

In: nothing. Out: `NvidiaInfo`, with the GPUs, or the reason why there are none. Running engines on
a GPU is the task of `toonvid.backends.tensorrt`.

The GPUs are counted through the CUDA driver, by ctypes, because NVML cannot replace it: NVML
numbers GPUs by their position on the bus and ignores `CUDA_VISIBLE_DEVICES`, so its indices are not
those of `cuda:N`; and it reports GPUs on which CUDA cannot start. NVML (the package nvidia-ml-py)
gives the driver's version, which CUDA does not know.
"""

from __future__ import annotations

import ctypes
import sys
import uuid
from dataclasses import dataclass
from typing import Protocol

_LIBRARY = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
_NO_DEVICE = 100  # CUDA_ERROR_NO_DEVICE
_CAPABILITY_MAJOR, _CAPABILITY_MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_…
_MAX_NAME_BYTES = 256

_INSTALL_DRIVER = "install NVIDIA's driver, from nvidia.com/drivers or your system's packages"


@dataclass(frozen=True)
class Gpu:
    """One NVIDIA GPU."""

    index: int
    """Index in CUDA's order, from 0."""
    name: str
    """Product name, such as `NVIDIA GeForce RTX 3050 Laptop GPU`."""
    capability: tuple[int, int]
    """Compute capability: (8, 6) for the RTX 30 family."""
    memory_bytes: int
    """Total memory, free or not."""
    uuid: str = ""
    """Identifier as NVML takes it, `GPU-…`; empty where the driver does not tell."""

    @property
    def device(self) -> str:
        """Value of `--device` that selects this GPU."""
        return f"cuda:{self.index}"


@dataclass(frozen=True)
class NvidiaInfo:
    """NVIDIA GPUs and driver of this machine."""

    gpus: tuple[Gpu, ...] = ()
    """GPUs in CUDA's order."""
    cuda_version: int = 0
    """Newest CUDA version that the driver supports, 1000 * major + 10 * minor; 0 without one."""
    problem: str = ""
    """Why there are no GPUs, and what to do; empty when there are some."""
    driver: str = ""
    """Version of the driver, such as 580.95.05; empty when it is unknown."""

    @property
    def cuda(self) -> str:
        """Newest CUDA version that the driver supports, such as 13.0."""
        return f"{self.cuda_version // 1000}.{self.cuda_version % 1000 // 10}"


class Driver(Protocol):
    """The functions of the CUDA driver that are called; each returns 0 on success."""

    def cuInit(self, flags: int) -> int: ...
    def cuDriverGetVersion(self, version: object) -> int: ...
    def cuDeviceGetCount(self, count: object) -> int: ...
    def cuDeviceGetName(self, name: object, length: int, device: int) -> int: ...
    def cuDeviceGetAttribute(self, value: object, attribute: int, device: int) -> int: ...
    def cuDeviceTotalMem_v2(self, size: object, device: int) -> int: ...
    def cuDeviceGetUuid_v2(self, uuid: object, device: int) -> int: ...


def find_nvidia(driver: Driver | None = None) -> NvidiaInfo:
    """Ask the driver for its GPUs. Never raises: failures are in `problem`.

    Args:
        driver: The CUDA driver; None for the one of this machine.
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
        return NvidiaInfo((), version.value, "the NVIDIA driver finds no GPU")
    if failed:
        problem = f"the NVIDIA driver cannot start (CUDA error {failed}): restart the machine"
        return NvidiaInfo((), version.value, problem)
    gpus = tuple(_describe(driver, index) for index in range(count.value))
    return NvidiaInfo(gpus, version.value, driver=driver_version())


def driver_version() -> str:
    """Return the version of NVIDIA's driver; empty when NVML is missing or fails.

    Containers often have CUDA without NVML, so this must not decide whether there is a GPU.
    """
    import pynvml  # 330 kB of Python that a machine without a GPU never needs

    try:
        pynvml.nvmlInit()
        try:
            return str(pynvml.nvmlSystemGetDriverVersion())
        finally:
            pynvml.nvmlShutdown()
    except pynvml.NVMLError:
        return ""


def _describe(driver: Driver, index: int) -> Gpu:
    name = ctypes.create_string_buffer(_MAX_NAME_BYTES)
    major, minor, size = ctypes.c_int(), ctypes.c_int(), ctypes.c_size_t()
    driver.cuDeviceGetName(name, _MAX_NAME_BYTES, index)
    driver.cuDeviceGetAttribute(ctypes.byref(major), _CAPABILITY_MAJOR, index)
    driver.cuDeviceGetAttribute(ctypes.byref(minor), _CAPABILITY_MINOR, index)
    driver.cuDeviceTotalMem_v2(ctypes.byref(size), index)
    capability = (major.value, minor.value)
    shown = name.value.decode(errors="replace")
    return Gpu(index, shown, capability, size.value, _read_uuid(driver, index))


def _read_uuid(driver: Driver, index: int) -> str:
    found = (ctypes.c_ubyte * 16)()
    try:
        failed = driver.cuDeviceGetUuid_v2(found, index)
    except AttributeError:  # drivers before CUDA 11.4
        return ""
    return "" if failed else f"GPU-{uuid.UUID(bytes=bytes(found))}"
