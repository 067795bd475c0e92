"""Training states: what a run resumes from, written so that no crash can take the last good one.

Leaves out what a state holds: `trainer.training.train` knows that.
"""

from __future__ import annotations

import hashlib
import io
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from toonvid.errors import TrainingError
from trainer.files import write_atomically

log = logging.getLogger(__name__)

Values = Mapping[str, "Values | Tensor | int | float | str | None"]
"""Nested state dicts, as `state_dict()` gives them."""

KEPT = 3
"""States kept in a run: the newest, and two to fall back to."""

_DIGEST = hashlib.sha256().digest_size


@dataclass(frozen=True)
class TrainingState:
    """Everything that the rest of a run depends on, after a number of steps."""

    step: int
    """Steps done."""
    values: Values
    """Generator, running mean, optimizer, random numbers."""


def save_state(folder: Path, state: TrainingState, name: str | None = None) -> Path:
    """Write a state beside the older ones, and drop those that are too many.

    Args:
        folder: Of the run's states.
        state: What to write.
        name: Of the file; None names it by its step. A named one is kept for good.

    Raises:
        TrainingError: It cannot be written; the older ones are all still there.
    """
    buffer = io.BytesIO()
    torch.save({"step": state.step, "values": state.values}, buffer)
    content = buffer.getvalue()
    path = folder / (name or f"state-{state.step:09d}.pt")
    write_atomically(path, hashlib.sha256(content).digest() + content)
    for old in _newest_first(folder)[KEPT:]:
        old.unlink(missing_ok=True)
    return path


def load_newest_state(folder: Path) -> TrainingState | None:
    """Load the newest state that is whole; None where there is none at all.

    Raises:
        TrainingError: There are states, and all of them are damaged.
    """
    found = _newest_whole(folder)
    return found[1] if found else None


def find_state(place: Path) -> Path:
    """The training state that a run, or a part of one, is named by.

    Args:
        place: A run's folder, for its newest state that is whole; or a state itself.

    Raises:
        TrainingError: There is none.
    """
    if place.is_file():
        return place
    found = _newest_whole(place / "states")
    if found is None:
        raise TrainingError(f"{place} is neither a run with a training state nor a state")
    return found[0]


def load_state(path: Path) -> TrainingState:
    """Load one state.

    Raises:
        TrainingError: It cannot be read, or is damaged.
    """
    try:
        return _load(path)
    except (OSError, ValueError, RuntimeError) as error:
        raise TrainingError(f"{path} is not a whole training state: {error}") from error


def _newest_whole(folder: Path) -> tuple[Path, TrainingState] | None:
    paths = _newest_first(folder)
    for path in paths:
        try:
            return path, _load(path)
        except (OSError, ValueError, RuntimeError) as error:
            log.warning("%s is damaged (%s); falling back to the state before it", path, error)
    if paths:
        raise TrainingError(
            f"every training state in {folder} is damaged; remove it to begin again"
        )
    return None


def _load(path: Path) -> TrainingState:
    content = path.read_bytes()
    digest, content = content[:_DIGEST], content[_DIGEST:]
    if hashlib.sha256(content).digest() != digest:
        raise ValueError("SHA-256 differs")
    loaded = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    return TrainingState(loaded["step"], loaded["values"])


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob("state-*.pt"), reverse=True)
