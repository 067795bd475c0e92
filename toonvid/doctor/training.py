"""PyTorch, which only training needs: whether it is here, and whether it is one for the card.

It is loaded only in a process of its own, and only where a card might be lying idle for its sake.
"""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from toonvid.doctor.check_result import CheckResult
from toonvid.ffmpeg.nvidia import NvidiaInfo, find_nvidia

_CUDA = re.compile(r"^cuda\b[^=]*=\s*'([\d.]+)'", re.MULTILINE)
_PROBE = "from trainer.device import open_device; open_device('cuda')"
_PROBE_SECONDS = 40.0
_INSTALL = "pip install 'toonvid[train]'"
_NEWER = "see pytorch.org/get-started for the build for this card's CUDA"


def check_torch(nvidia: NvidiaInfo | None = None) -> list[CheckResult]:
    """Read PyTorch's own files, and let it try the card."""
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        return [CheckResult("training", "torch", "missing", "not installed", _INSTALL)]
    try:
        release = version("torch")
    except PackageNotFoundError:
        release = "of unknown version"
    cuda = built_for(Path(spec.origin).with_name("version.py"))
    nvidia = nvidia or find_nvidia()
    build = f"{release}, built for {f'CUDA {cuda}' if cuda else 'the processor alone'}"
    facts: dict[str, str | int | list[str]] = {"version": release, "cuda": cuda}
    if not nvidia.gpus:
        return [CheckResult("training", "torch", "ok", build, facts=facts)]
    name = nvidia.gpus[0].name
    if not cuda:
        words = f"{build}, beside {name}"
        return [CheckResult("training", "torch", "broken", words, _reinstall(), facts)]
    if problem := _problem():
        return [CheckResult("training", "torch", "broken", f"{build}: {problem}", _NEWER, facts)]
    return [CheckResult("training", "torch", "ok", f"{build}; works on {name}", facts=facts)]


def built_for(version_file: Path) -> str:
    """The CUDA of a PyTorch, as its own file of versions says; empty for none."""
    try:
        found = _CUDA.search(version_file.read_text(errors="replace"))
    except OSError:
        return ""
    return found[1] if found else ""


def _problem() -> str:
    """Why training would not take the card; empty when it would."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROBE], capture_output=True, timeout=_PROBE_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return f"it does not open the card within {_PROBE_SECONDS:g} seconds"
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    if done.returncode == 0:
        return ""
    return lines[-1].partition(": ")[2] if lines else f"exit code {done.returncode}"


def _reinstall() -> str:
    """Linux's usual wheel is for CUDA; elsewhere it is for the processor."""
    return "pip install --force-reinstall torch" if sys.platform == "linux" else _NEWER
