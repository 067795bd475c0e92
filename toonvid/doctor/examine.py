"""Examine: all looks, side by side, in the order in which they are told."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from toonvid._version import __version__
from toonvid.doctor import cpu, files
from toonvid.doctor.check import Check
from toonvid.doctor.child_process import Look

REPORT_VERSION = 1
"""Of the JSON's shape: raised when a name in it goes or means something else."""

_PATIENCE_SECONDS = (
    60.0  # where TensorRT may build a plan, PyTorch is loaded, a display is far away
)
_REINSTALL = "pip install --force-reinstall"


def _apart(group: str, name: str, place: str, seconds: float = 20.0, package: str = "") -> Look:
    mend = f"{_REINSTALL} {package}" if package else ""
    return Look(group, name, f"toonvid.doctor.{place}", seconds, mend)


_LOOKS: tuple[Callable[[], list[Check]], ...] = (
    cpu.look,
    _apart("graphics", "nvidia-card", "gpu:look"),
    _apart("backends", "auto", "backends:look_auto", _PATIENCE_SECONDS),
    _apart("backends", "openvino", "backends:look_openvino", package="openvino"),
    _apart(
        "backends",
        "tensorrt",
        "backends:look_tensorrt",
        _PATIENCE_SECONDS,
        package="'toonvid[tensorrt]'",
    ),
    _apart("backends", "onnxruntime", "backends:look_onnxruntime", package="onnxruntime"),
    _apart("training", "torch", "training:look", _PATIENCE_SECONDS),
    _apart("coders", "encoders", "codecs:look_software", package="av"),
    _apart("coders", "nvdec", "codecs:look_nvidia"),
    _apart("coders", "other-hardware", "codecs:look_others"),
    _apart("live", "camera", "devices:look_cameras"),
    _apart("live", "virtual-camera", "devices:look_virtual_camera", package="pyvirtualcam"),
    _apart("live", "display", "devices:look_display", _PATIENCE_SECONDS),
    files.look,
)
_SPARE_LOOKS = 1  # beside one for each core: some only wait


@dataclass(frozen=True)
class Report:
    """All that was looked at."""

    checks: tuple[Check, ...]

    def find(self, name: str) -> Check | None:
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


def examine() -> Report:
    """Look at everything. Nothing is raised for what is broken."""
    with ThreadPoolExecutor((os.cpu_count() or 1) + _SPARE_LOOKS) as pool:
        found = list(pool.map(lambda look: look(), _LOOKS))
    return Report(tuple(check for checks in found for check in checks))
