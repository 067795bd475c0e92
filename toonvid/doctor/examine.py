"""Examine: all looks, side by side, in the order in which they are told."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from toonvid._version import __version__
from toonvid.doctor import cpu, files
from toonvid.doctor.check_result import CheckResult
from toonvid.doctor.child_process import SubprocessCheck

REPORT_VERSION = 1
"""Of the JSON's shape: raised when a name in it goes or means something else."""

_PATIENCE_SECONDS = (
    60.0  # where TensorRT may build a plan, PyTorch is loaded, a display is far away
)
_REINSTALL = "pip install --force-reinstall"


def _in_subprocess(
    group: str, name: str, place: str, seconds: float = 20.0, package: str = ""
) -> SubprocessCheck:
    mend = f"{_REINSTALL} {package}" if package else ""
    return SubprocessCheck(group, name, f"toonvid.doctor.{place}", seconds, mend)


_CHECKS: tuple[Callable[[], list[CheckResult]], ...] = (
    cpu.check_cpu,
    _in_subprocess("graphics", "nvidia-card", "gpu:check_gpus"),
    _in_subprocess("backends", "auto", "backends:check_auto", _PATIENCE_SECONDS),
    _in_subprocess("backends", "openvino", "backends:check_openvino", package="openvino"),
    _in_subprocess(
        "backends",
        "tensorrt",
        "backends:check_tensorrt",
        _PATIENCE_SECONDS,
        package="'toonvid[tensorrt]'",
    ),
    _in_subprocess("backends", "onnxruntime", "backends:check_onnxruntime", package="onnxruntime"),
    _in_subprocess("training", "torch", "training:check_torch", _PATIENCE_SECONDS),
    _in_subprocess("coders", "encoders", "codecs:check_software_codecs", package="av"),
    _in_subprocess("coders", "nvdec", "codecs:check_nvidia_codecs"),
    _in_subprocess("coders", "other-hardware", "codecs:check_other_hardware"),
    _in_subprocess("live", "camera", "devices:check_cameras"),
    _in_subprocess(
        "live", "virtual-camera", "devices:check_virtual_camera", package="pyvirtualcam"
    ),
    _in_subprocess("live", "display", "devices:check_display", _PATIENCE_SECONDS),
    files.check_files,
)
_EXTRA_THREADS = 1  # beside one for each core: some only wait


@dataclass(frozen=True)
class DoctorReport:
    """All that was looked at."""

    checks: tuple[CheckResult, ...]

    def find(self, name: str) -> CheckResult | None:
        """The check of a name; of several cards the first."""
        return next((check for check in self.checks if check.name == name), None)

    def to_json(self) -> dict[str, object]:
        """All of it, as JSON has it; docs/doctor.md describes it."""
        return {
            "report_version": REPORT_VERSION,
            "toonvid": __version__,
            "python": platform.python_version(),
            "system": f"{platform.system()} {platform.machine()}",
            "checks": [check.to_json() for check in self.checks],
        }


def examine() -> DoctorReport:
    """Look at everything. Nothing is raised for what is broken."""
    with ThreadPoolExecutor((os.cpu_count() or 1) + _EXTRA_THREADS) as pool:
        found = list(pool.map(lambda check: check(), _CHECKS))
    return DoctorReport(tuple(check for checks in found for check in checks))
