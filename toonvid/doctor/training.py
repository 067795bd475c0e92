"""Check of PyTorch: whether it is installed, and whether it is a build that can use the GPU.

In: the files of the package `torch`, which only training needs. Out: one result. PyTorch is
imported only where there is an NVIDIA GPU, and then in a process of its own: that takes seconds.
"""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from toonvid.child_python import child_python
from toonvid.doctor.check_result import CheckResult, Fact
from toonvid.ffmpeg.nvidia import NvidiaInfo, find_nvidia

_CUDA = re.compile(r"^cuda\b[^=]*=\s*'([\d.]+)'", re.MULTILINE)
_PROBE = "from trainer.device import open_device; open_device('cuda')"
_PROBE_TIMEOUT_SECONDS = 40.0
_INSTALL = "pip install 'toonvid[train]'"
_OTHER_BUILD = "see pytorch.org/get-started for the build for this GPU's CUDA"


def check_torch(nvidia: NvidiaInfo | None = None) -> list[CheckResult]:
    """Read PyTorch's version and build; where there is an NVIDIA GPU, run a probe on it."""
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        return [CheckResult("training", "torch", "missing", "not installed", _INSTALL)]
    try:
        release = version("torch")
    except PackageNotFoundError:
        release = "of unknown version"
    # Read and not imported: the import takes seconds, and a broken PyTorch may crash in it.
    cuda = read_cuda_version(Path(spec.origin).with_name("version.py"))
    nvidia = nvidia or find_nvidia()
    build = f"{release}, built for {f'CUDA {cuda}' if cuda else 'the CPU only'}"
    facts: dict[str, Fact] = {"version": release, "cuda": cuda}
    if not nvidia.gpus:
        return [CheckResult("training", "torch", "ok", build, facts=facts)]
    name = nvidia.gpus[0].name
    if not cuda:
        message = f"{build}, although {name} is here"
        return [CheckResult("training", "torch", "broken", message, _reinstall_command(), facts)]
    if problem := _probe_problem():
        return [
            CheckResult("training", "torch", "broken", f"{build}: {problem}", _OTHER_BUILD, facts)
        ]
    return [CheckResult("training", "torch", "ok", f"{build}; works on {name}", facts=facts)]


def read_cuda_version(version_file: Path) -> str:
    """Return the CUDA version of a PyTorch build; empty for a build without CUDA.

    Args:
        version_file: `version.py` of the package `torch`.
    """
    try:
        found = _CUDA.search(version_file.read_text(errors="replace"))
    except OSError:
        return ""
    return found[1] if found else ""


def _probe_problem() -> str:
    """Return why training cannot use the GPU; empty if it can."""
    try:
        done = subprocess.run(
            [*child_python(), "-c", _PROBE],
            capture_output=True,
            timeout=_PROBE_TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"it does not open the GPU within {_PROBE_TIMEOUT_SECONDS:g} seconds"
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    if done.returncode == 0:
        return ""
    return lines[-1].partition(": ")[2] if lines else f"exit code {done.returncode}"


def _reinstall_command() -> str:
    # On Linux the default wheel is built for CUDA, on other systems for the CPU.
    return "pip install --force-reinstall torch" if sys.platform == "linux" else _OTHER_BUILD
