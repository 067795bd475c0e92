"""Examine the machine: runs all checks at once and collects a report.

In: nothing. Out: a `DoctorReport`. What a check does is left to the other modules of the folder.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from toonvid._version import __version__
from toonvid.doctor.check_result import CheckResult
from toonvid.doctor.child_process import SubprocessCheck
from toonvid.doctor.cpu import check_cpu
from toonvid.doctor.files import check_files

REPORT_VERSION = 1
"""Version of the JSON report, raised when a key or a name disappears or changes its meaning."""

# For checks in which TensorRT builds a plan, PyTorch is imported or a remote display answers.
_LONG_TIMEOUT_SECONDS = 60.0
_REINSTALL = "pip install --force-reinstall"


def _in_subprocess(
    group: str, name: str, function: str, timeout_seconds: float = 20.0, package: str = ""
) -> SubprocessCheck:
    """Describe a check of a module in this folder; `package` is what to reinstall if it fails."""
    fix = f"{_REINSTALL} {package}" if package else ""
    return SubprocessCheck(group, name, f"toonvid.doctor.{function}", timeout_seconds, fix)


# In the order of the report. The first and the last one only read files, so they need no process.
_CHECKS: tuple[Callable[[], list[CheckResult]], ...] = (
    check_cpu,
    _in_subprocess("graphics", "nvidia-card", "gpu:check_gpus"),
    _in_subprocess("backends", "auto", "backends:check_auto", _LONG_TIMEOUT_SECONDS),
    _in_subprocess("backends", "openvino", "backends:check_openvino", package="openvino"),
    _in_subprocess(
        "backends",
        "tensorrt",
        "backends:check_tensorrt",
        _LONG_TIMEOUT_SECONDS,
        package="'toonvid[tensorrt]'",
    ),
    _in_subprocess("backends", "onnxruntime", "backends:check_onnxruntime", package="onnxruntime"),
    _in_subprocess("training", "torch", "training:check_torch", _LONG_TIMEOUT_SECONDS),
    _in_subprocess("cluster", "ray", "cluster:check_cluster", _LONG_TIMEOUT_SECONDS),
    _in_subprocess("coders", "encoders", "codecs:check_software_codecs", package="av"),
    _in_subprocess("coders", "nvdec", "codecs:check_nvidia_codecs"),
    _in_subprocess("coders", "other-hardware", "codecs:check_other_hardware"),
    _in_subprocess("live", "camera", "devices:check_cameras"),
    _in_subprocess(
        "live", "virtual-camera", "devices:check_virtual_camera", package="pyvirtualcam"
    ),
    _in_subprocess("live", "display", "devices:check_display", _LONG_TIMEOUT_SECONDS),
    check_files,
)
_EXTRA_THREADS = 1  # beside one per core, because some checks only wait


@dataclass(frozen=True)
class DoctorReport:
    """Results of all checks, in the order in which they are shown."""

    checks: tuple[CheckResult, ...]

    def find(self, name: str) -> CheckResult | None:
        """Return the first result with a name; None if there is none."""
        return next((check for check in self.checks if check.name == name), None)

    def to_json(self) -> dict[str, object]:
        """Return the report as JSON values; docs/doctor.md describes them."""
        return {
            "report_version": REPORT_VERSION,
            "toonvid": __version__,
            "python": platform.python_version(),
            "system": f"{platform.system()} {platform.machine()}",
            "checks": [check.to_json() for check in self.checks],
        }


def examine() -> DoctorReport:
    """Run all checks. Nothing is raised for what is broken; it is in the report."""
    # Threads are enough: each one waits for a process.
    with ThreadPoolExecutor((os.cpu_count() or 1) + _EXTRA_THREADS) as pool:
        found = list(pool.map(lambda check: check(), _CHECKS))
    return DoctorReport(tuple(result for results in found for result in results))
