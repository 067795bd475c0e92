"""Graphics: NVIDIA's cards and their driver; Intel's, where OpenVINO lacks theirs."""

from __future__ import annotations

from pathlib import Path

from toonvid.doctor.check_result import CheckResult
from toonvid.ffmpeg.nvidia import NvidiaInfo, find_nvidia

_PCI = Path("/sys/bus/pci/devices")
_NVIDIA, _INTEL = "0x10de", "0x8086"  # vendors
_DISPLAY_CLASS = "0x03"
_INTEL_DRIVER = (
    "install intel-opencl-icd (Debian, Ubuntu) or intel-compute-runtime (Fedora, Arch),"
    " and join the group render"
)
_GIBI = 2**30


def check_gpus(nvidia: NvidiaInfo | None = None, pci: Path = _PCI) -> list[CheckResult]:
    """Ask the driver; where there is none, look for a card on the bus."""
    nvidia = nvidia or find_nvidia()
    if not nvidia.gpus:
        return [_without_gpus(nvidia, pci)]
    driver = CheckResult(
        "graphics",
        "nvidia-driver",
        "ok",
        f"{nvidia.driver or 'of unknown version'}, for CUDA up to {nvidia.cuda}",
        facts={"version": nvidia.driver, "cuda": nvidia.cuda},
    )
    cards = [
        CheckResult(
            "graphics",
            "nvidia-card",
            "ok",
            f"{card.name}, {card.memory_bytes / _GIBI:.1f} GiB, compute capability"
            f" {card.capability[0]}.{card.capability[1]} ({card.device})",
            facts={
                "device": card.device,
                "name": card.name,
                "memory_bytes": card.memory_bytes,
                "capability": f"{card.capability[0]}.{card.capability[1]}",
            },
        )
        for card in nvidia.gpus
    ]
    return [*cards, driver]


def _without_gpus(nvidia: NvidiaInfo, pci: Path) -> CheckResult:
    words, _, mend = nvidia.problem.partition(": ")
    if _is_on_bus(_NVIDIA, pci):
        return CheckResult(
            "graphics", "nvidia-card", "broken", f"one is in this machine, but {words}", mend
        )
    if mend and not words.startswith("there is no"):  # a driver that fails
        return CheckResult("graphics", "nvidia-card", "broken", words, mend)
    return CheckResult("graphics", "nvidia-card", "missing", words)


def check_intel_gpu(devices: list[str], pci: Path = _PCI) -> list[CheckResult]:
    """Say so where Intel's graphics are in the machine and not among OpenVINO's devices."""
    if not _is_on_bus(_INTEL, pci) or any(device.startswith("GPU") for device in devices):
        return []
    words = "Intel graphics are in this machine, and OpenVINO finds no driver for them"
    return [CheckResult("backends", "intel-graphics", "missing", words, _INTEL_DRIVER)]


def _is_on_bus(vendor: str, pci: Path) -> bool:
    """Whether Linux sees a vendor's graphics, with or without a driver."""
    return any(
        _text(device / "vendor") == vendor and _text(device / "class").startswith(_DISPLAY_CLASS)
        for device in (pci.iterdir() if pci.is_dir() else ())
    )


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
