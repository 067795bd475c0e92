"""Files of training states, from which a run resumes.

In: the values of a training state as nested dictionaries of tensors and numbers. Out: a file, and
the values again. A file is written atomically and starts with the SHA-256 of its content, so that a
crash or a bad disk never costs more than the newest state.

Left out: what the values mean, which `trainer.training.state` knows.
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

from toonvid.engine import STYLE_NAME, Engine, find_engine
from toonvid.errors import EngineError, TrainingError
from trainer.files import write_atomically

log = logging.getLogger(__name__)

Values = Mapping[str, "Values | Tensor | int | float | str | None"]
"""Nested state dictionaries, as `state_dict()` of a module or an optimizer returns them."""

STATES_KEPT = 3
"""Number of states that a run keeps: the newest, and two in case it is damaged."""

OLD_KEYS = {"mean": "ema", "retreats": "rollbacks"}
"""Top-level keys of files that earlier versions wrote -> today's."""

_DIGEST_SIZE = hashlib.sha256().digest_size


@dataclass(frozen=True)
class SavedState:
    """Everything that the rest of a run depends on, after a number of steps."""

    step: int
    """Number of steps done, from 0."""
    values: Values
    """Weights, optimizer states, EMA, random number generator: see `TrainingState.capture`."""


def save_state(folder: Path, state: SavedState, name: str | None = None) -> Path:
    """Write a state, and delete all but the newest `STATES_KEPT` of the folder.

    Args:
        folder: Folder of the run's states.
        state: What to write.
        name: File name. None names the file by its step; only such files are ever deleted.

    Returns:
        Path of the file.

    Raises:
        TrainingError: The file cannot be written; the older ones are untouched.
    """
    buffer = io.BytesIO()
    torch.save({"step": state.step, "values": state.values}, buffer)
    content = buffer.getvalue()
    path = folder / (name or state_name(state.step))
    write_atomically(path, hashlib.sha256(content).digest() + content)
    for old in _newest_first(folder)[STATES_KEPT:]:
        old.unlink(missing_ok=True)
    return path


def state_name(step: int) -> str:
    """File name of the state after a number of steps."""
    return f"state-{step:09d}.pt"


def load_newest_state(folder: Path) -> SavedState | None:
    """Load the newest undamaged state of a folder; None if the folder has no states.

    Raises:
        TrainingError: There are states, and all of them are damaged.
    """
    found = _find_newest(folder)
    return found[1] if found else None


def find_state(place: Path) -> Path:
    """Find the file of a training state.

    Args:
        place: A run's folder, which stands for its newest undamaged state, or the file of a state.

    Raises:
        TrainingError: There is none.
    """
    if place.is_file():
        return place
    found = _find_newest(place / "states")
    if found is None:
        raise TrainingError(f"{place} is neither a run with a training state nor a state")
    return found[0]


def is_style_name(place: Path) -> bool:
    """Whether a place to start from is the name of a style, and not a folder or file."""
    return bool(STYLE_NAME.fullmatch(str(place))) and not place.exists()


def find_start(place: Path) -> Path | Engine:
    """Find the generator that a run starts with.

    Args:
        place: As for `find_state`; else name of a style, or path of an engine's card or file.

    Returns:
        The file of a state, or an engine.

    Raises:
        EngineError, TrainingError: There is none.
    """
    if place.suffix in (".onnx", ".json"):
        return find_engine(place)
    if is_style_name(place):
        try:
            return find_engine(place)
        except EngineError as error:
            message = f"{place} is neither a run with a training state nor a state; {error}"
            raise TrainingError(message) from error
    return find_state(place)


def load_state(path: Path) -> SavedState:
    """Load one state.

    Raises:
        TrainingError: It cannot be read, or is damaged.
    """
    try:
        return _load(path)
    except (OSError, ValueError) as error:
        raise TrainingError(f"{path} is not a whole training state: {error}") from error


def _find_newest(folder: Path) -> tuple[Path, SavedState] | None:
    paths = _newest_first(folder)
    for path in paths:
        try:
            return path, _load(path)
        except (OSError, ValueError) as error:
            log.warning("%s is damaged (%s); falling back to the state before it", path, error)
    if paths:
        raise TrainingError(
            f"every training state in {folder} is damaged; remove it to begin again"
        )
    return None


def _load(path: Path) -> SavedState:
    """Load one state.

    Raises:
        OSError: It cannot be read.
        ValueError: It is no training state, or damaged.
    """
    if not path.is_file():  # to read a pipe may wait for ever
        raise ValueError("it is not a file")
    content = path.read_bytes()
    digest, content = content[:_DIGEST_SIZE], content[_DIGEST_SIZE:]
    if hashlib.sha256(content).digest() != digest:
        raise ValueError("SHA-256 differs")
    # weights_only: a state may come from somebody else, and a pickle can run code.
    try:
        loaded = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        values = {OLD_KEYS.get(key, key): value for key, value in loaded["values"].items()}
        _rename_parameters(values)
        state = SavedState(loaded["step"], values)
    except Exception as error:  # the reader of pickles raises whatever its operations raise
        raise ValueError(f"its content is not that of a state ({type(error).__name__})") from error
    if type(state.step) is not int or state.step < 0:
        raise ValueError("its step is not a number from 0 on")
    return state


def _rename_parameters(values: dict[object, object]) -> None:
    """Rename, in place, parameters of networks that earlier versions spelled differently."""
    for key, value in list(values.items()):
        if isinstance(value, dict):
            _rename_parameters(value)
        elif isinstance(key, str) and ".colour." in key:
            values[key.replace(".colour.", ".color.")] = values.pop(key)


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob("state-*.pt"), reverse=True)
