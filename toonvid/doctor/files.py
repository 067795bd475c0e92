"""Engines, held against their cards, and what is kept in caches."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from toonvid.backends.tensorrt.plan_cache import PlanCache, plan_folder
from toonvid.doctor.check_result import CheckResult
from toonvid.engine import engine_folders, read_engine, user_engines
from toonvid.errors import BackendError, EngineError

_MEGABYTE = 10**6


def check_files() -> list[CheckResult]:
    """Engines first, then caches."""
    return [*check_engines(), check_plans(), check_weights()]


def check_engines(folders: Iterable[Path] | None = None) -> list[CheckResult]:
    """Compare every file of every engine with its card."""
    good: list[str] = []
    broken: list[CheckResult] = []
    files = 0
    seen: set[str] = set()
    for card in (card for f in folders or engine_folders() for card in sorted(f.glob("*.json"))):
        if card.stem in seen:  # an earlier folder's is taken
            continue
        seen.add(card.stem)
        try:
            engine = read_engine(card)
            for precision in engine.card.precisions:
                engine.path(precision)
                files += 1
            good.append(engine.card.style)
        except EngineError as error:
            broken.append(CheckResult("files", "engine", "broken", str(error), _mend(card)))
    if not good:
        return [*broken, CheckResult("files", "engines", "broken", "there are none", _reinstall())]
    words = f"{', '.join(good)}: {files} files, each the one that its card describes"
    return [CheckResult("files", "engines", "ok", words, facts={"styles": good}), *broken]


def check_plans() -> CheckResult:
    """How large TensorRT's plans are."""
    folder = plan_folder()
    if not folder.is_dir():
        return CheckResult("files", "plans", "ok", "none are kept", facts={"bytes": 0})
    try:
        PlanCache(folder)
    except BackendError as error:
        words, _, mend = str(error).rpartition(": ")
        return CheckResult("files", "plans", "broken", words, mend)
    return _sized("plans", folder, "*.plan")


def check_weights() -> CheckResult:
    """How large the weights are that training has fetched, where PyTorch keeps them."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    home = Path(os.environ.get("TORCH_HOME") or cache / "torch")
    return _sized("fetched-weights", home / "hub" / "checkpoints", "*")


def _sized(name: str, folder: Path, pattern: str) -> CheckResult:
    counted = [path for path in folder.glob(pattern) if path.is_file()]
    size = sum(path.stat().st_size for path in folder.glob("*") if path.is_file())
    facts: dict[str, str | int | list[str]] = {"bytes": size, "folder": str(folder)}
    if not counted:
        return CheckResult("files", name, "ok", "none are kept", facts=facts)
    words = f"{len(counted)}, with {size / _MEGABYTE:.1f} MB in {folder}"
    return CheckResult("files", name, "ok", words, facts=facts)


def _mend(card: Path) -> str:
    """The user's own engines are nobody else's to bring back."""
    if card.parent == user_engines():
        return f"delete {card} and its .onnx, or export the style again"
    return _reinstall()


def _reinstall() -> str:
    return "pip install --force-reinstall toonvid"
