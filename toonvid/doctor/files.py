"""Checks of files: engines against their cards, cached plans and models, downloaded weights.

In: the folders that toonvid and PyTorch use. Out: a result for the engines and for each cache.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from toonvid.backends.openvino_cache import model_folder
from toonvid.backends.private_folder import PrivateFolder
from toonvid.backends.tensorrt.plan_cache import PlanCache, plan_folder
from toonvid.doctor.check_result import CheckResult, Fact
from toonvid.engine import engine_folders, read_engine, user_engines
from toonvid.errors import BackendError, EngineError

_MEGABYTE = 10**6  # bytes
_REINSTALL = "pip install --force-reinstall toonvid"


def check_files() -> list[CheckResult]:
    """Check the engines, then the caches."""
    return [*check_engines(), check_plans(), check_models(), check_weights()]


def check_engines(folders: Iterable[Path] | None = None) -> list[CheckResult]:
    """Compare each file of each engine with the hash in its card.

    Args:
        folders: Folders with engines. None: those in which names are searched for.
    """
    good: list[str] = []
    broken: list[CheckResult] = []
    file_count = 0
    seen: set[str] = set()
    paths = (path for f in folders or engine_folders() for path in sorted(f.glob("*.json")))
    for path in paths:
        if path.stem in seen:  # the engine in an earlier folder is the one in use
            continue
        seen.add(path.stem)
        try:
            engine = read_engine(path)
            engine.check_files()
            file_count += len(engine.card.sha256)
            good.append(engine.card.style)
        except EngineError as error:
            broken.append(CheckResult("files", "engine", "broken", str(error), _engine_fix(path)))
    if not good:
        return [*broken, CheckResult("files", "engines", "broken", "there are none", _REINSTALL)]
    message = f"{', '.join(good)}: {file_count} files, each as its card describes it"
    return [CheckResult("files", "engines", "ok", message, facts={"styles": good}), *broken]


def check_plans() -> CheckResult:
    """Count TensorRT's cached plans, and check that nobody else can write to them."""
    folder = plan_folder()
    if folder.is_dir():  # else PlanCache would make it
        try:
            PlanCache(folder)
        except BackendError as error:
            message, _, fix = str(error).rpartition(": ")
            return CheckResult("files", "plans", "broken", message, fix)
    return _measure_folder("plans", folder, "*.plan")


def check_models() -> CheckResult:
    """Count the models that OpenVINO has compiled, and check that nobody else can write there."""
    folder = model_folder()
    if folder.is_dir() and not PrivateFolder(folder).is_private:
        message = f"others can write to {folder}, and compiled models are not kept there"
        return CheckResult("files", "models", "broken", message, f"chmod 700 {folder}")
    return _measure_folder("models", folder, "*.blob")


def check_weights() -> CheckResult:
    """Count the weights that training has downloaded into PyTorch's folder."""
    # As torch.hub.get_dir() does; importing torch takes seconds.
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    home = Path(os.environ.get("TORCH_HOME") or cache / "torch")
    return _measure_folder("fetched-weights", home / "hub" / "checkpoints", "*")


def _measure_folder(name: str, folder: Path, pattern: str) -> CheckResult:
    """Count the files that match a pattern, and add up the sizes of all files."""
    counted = [path for path in folder.glob(pattern) if path.is_file()]
    size = sum(path.stat().st_size for path in folder.glob("*") if path.is_file())
    facts: dict[str, Fact] = {"bytes": size, "folder": str(folder)}
    if not counted:
        return CheckResult("files", name, "ok", "there are none", facts=facts)
    message = f"{len(counted)}, with {size / _MEGABYTE:.1f} MB in {folder}"
    return CheckResult("files", name, "ok", message, facts=facts)


def _engine_fix(card_path: Path) -> str:
    # Reinstalling brings back shipped engines only.
    if card_path.parent == user_engines():
        return f"delete {card_path} and its .onnx, or export the style again"
    return _REINSTALL
