"""Checks of GPUs: NVIDIA GPUs and their driver, and Intel GPUs without a driver.

In: NVIDIA's driver and, on Linux, the PCI bus. Out: a result for each GPU and one for the driver.
The names `nvidia-card` and `graphics` are those of report version 1.
"""

from __future__ import annotations

from pathlib import Path

from toonvid.doctor.check_result import CheckResult
from toonvid.ffmpeg.nvidia import NvidiaInfo, find_nvidia

_PCI = Path("/sys/bus/pci/devices")
_NVIDIA, _INTEL = "0x10de", "0x8086"  # PCI vendor ids
_DISPLAY_CLASS = "0x03"  # beginning of the PCI class of display controllers
_INTEL_DRIVER = (
    "install intel-opencl-icd (Debian, Ubuntu) or intel-compute-runtime (Fedora, Arch),"
    " and join the group render"
)
_GIBIBYTE = 2**30  # bytes


def check_gpus(nvidia: NvidiaInfo | None = None, pci: Path = _PCI) -> list[CheckResult]:
    """Report NVIDIA GPUs and their driver; without a driver, look for a GPU on the PCI bus."""
    nvidia = nvidia or find_nvidia()
    if not nvidia.gpus:
        return [_explain_missing_gpu(nvidia, pci)]
    driver = CheckResult(
        "graphics",
        "nvidia-driver",
        "ok",
        f"{nvidia.driver or 'of unknown version'}, for CUDA up to {nvidia.cuda}",
        facts={"version": nvidia.driver, "cuda": nvidia.cuda},
    )
    gpus = [
        CheckResult(
            "graphics",
            "nvidia-card",
            "ok",
            f"{gpu.name}, {gpu.memory_bytes / _GIBIBYTE:.1f} GiB, compute capability"
            f" {gpu.capability[0]}.{gpu.capability[1]} ({gpu.device})",
            facts={
                "device": gpu.device,
                "name": gpu.name,
                "memory_bytes": gpu.memory_bytes,
                "capability": f"{gpu.capability[0]}.{gpu.capability[1]}",
            },
        )
        for gpu in nvidia.gpus
    ]
    return [*gpus, driver]


def _explain_missing_gpu(nvidia: NvidiaInfo, pci: Path) -> CheckResult:
    message, _, fix = nvidia.problem.partition(": ")
    if _is_on_bus(_NVIDIA, pci):
        return CheckResult(
            "graphics", "nvidia-card", "broken", f"one is in this machine, but {message}", fix
        )
    if fix and not message.startswith("there is no"):  # there is a driver, and it fails
        return CheckResult("graphics", "nvidia-card", "broken", message, fix)
    return CheckResult("graphics", "nvidia-card", "missing", message)


def check_intel_gpu(devices: list[str], pci: Path = _PCI) -> list[CheckResult]:
    """Report an Intel GPU that OpenVINO does not find.

    Args:
        devices: OpenVINO's devices.
        pci: Folder of PCI devices.
    """
    if not _is_on_bus(_INTEL, pci) or any(device.startswith("GPU") for device in devices):
        return []
    message = "an Intel GPU is in this machine, and OpenVINO finds no driver for it"
    return [CheckResult("backends", "intel-graphics", "missing", message, _INTEL_DRIVER)]


def _is_on_bus(vendor: str, pci: Path) -> bool:
    """Whether a GPU of a vendor is on the PCI bus, with or without a driver. Linux only."""
    return any(
        _read_text(device / "vendor") == vendor
        and _read_text(device / "class").startswith(_DISPLAY_CLASS)
        for device in (pci.iterdir() if pci.is_dir() else ())
    )


def _read_text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
