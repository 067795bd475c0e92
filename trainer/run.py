"""A run's folder: what is in it, whose config it holds, and what it records of every step.

run.json        the resolved config, the sources and the commit of the code
states/         training states
stats.jsonl     one line per logged step
tensorboard/    the same as curves
sheets/         contact sheets of held-out pictures
cache/          abstractions of the photos
"""

from __future__ import annotations

import hashlib
import json
import math
import subprocess
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from toonvid.errors import TrainingError
from trainer.config import HOUSEKEEPING, TrainConfig
from trainer.files import make_folder, write_atomically


@dataclass(frozen=True)
class Sources:
    """Where a run's pictures and pretrained weights come from."""

    photos: Path
    """Folder of the photos, searched with all folders in it."""
    content_weights: Path | None = None
    """ResNet-50 as safetensors; None if the config has no content loss."""
    heldout: Path | None = None
    """Folder of photos that are only drawn on contact sheets; None draws no sheets."""
    cache: Path | None = None
    """Folder for the abstractions, to be shared by runs; None takes one inside the run."""
    workers: int = 2
    """Threads that prepare batches."""


@dataclass(frozen=True)
class RunRecord:
    """What a run was started with."""

    preset: str
    config: TrainConfig
    photos: str
    """The folder, as an absolute path."""
    content_weights: str
    """SHA-256 of the file; empty if there is none."""
    source_commit: str
    """Commit of the code; empty when not known."""

    def differences(self, other: RunRecord) -> list[str]:
        """Names of the options by which another record would give other weights."""
        ours, theirs = asdict(self.config), asdict(other.config)
        names = [name for name in ours if ours[name] != theirs[name] and name not in HOUSEKEEPING]
        sources = [
            n for n in ("photos", "content_weights") if getattr(self, n) != getattr(other, n)
        ]
        return names + sources


@dataclass(frozen=True)
class Run:
    """The folder of a training run."""

    folder: Path

    @property
    def states(self) -> Path:
        return self.folder / "states"

    @property
    def sheets(self) -> Path:
        return self.folder / "sheets"

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    @property
    def stats(self) -> Path:
        return self.folder / "stats.jsonl"

    @property
    def tensorboard(self) -> Path:
        return self.folder / "tensorboard"

    def claim(self, preset: str, config: TrainConfig, sources: Sources) -> None:
        """Take the folder for a config: make it, or see that it was made for the same one.

        A folder without a training state has nothing to lose, and is taken for any config.

        Raises:
            TrainingError: It belongs to another config, or cannot be written.
        """
        record = RunRecord(
            preset,
            config,
            photos=str(sources.photos.resolve()),
            content_weights=_sha256_or_empty(sources.content_weights),
            source_commit=_source_commit(),
        )
        if self._record_path.exists() and any(self.states.iterdir()):
            if differing := self.record().differences(record):
                raise TrainingError(
                    f"{self.folder} holds a run with another {', '.join(differing)}: "
                    "give it the same options, or this run a folder of its own"
                )
            return
        for folder in (self.folder, self.states, self.sheets):
            make_folder(folder)
        text = json.dumps(asdict(record), indent=2) + "\n"
        write_atomically(self._record_path, text.encode())

    def record(self) -> RunRecord:
        """What the run was started with.

        Raises:
            TrainingError: The folder holds no run, or one of another version of toonvid.
        """
        try:
            values = json.loads(self._record_path.read_text(encoding="utf-8"))
            config = values.pop("config")
            if missing := {field.name for field in fields(TrainConfig)} - set(config):
                raise ValueError(f"no {', '.join(sorted(missing))}")
            config["frame_heights"] = tuple(config["frame_heights"])
            return RunRecord(config=TrainConfig(**config), **values)
        except OSError as error:
            raise TrainingError(f"{self.folder} is not a training run: no run.json") from error
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise TrainingError(
                f"{self._record_path} is not a run of this toonvid: {error}"
            ) from error

    @property
    def _record_path(self) -> Path:
        return self.folder / "run.json"


class RunLog:
    """Writes a run's losses to `stats.jsonl` and TensorBoard; `close` it."""

    def __init__(self, run: Run, first_step: int) -> None:
        """Go on after `first_step`; what was logged of later steps is dropped, they come again."""
        kept = []
        if run.stats.exists():
            lines = run.stats.read_text(encoding="utf-8").splitlines()
            kept = [line for line in lines if _logged_step(line) <= first_step]
        write_atomically(run.stats, "".join(line + "\n" for line in kept).encode())
        self._stats = run.stats.open("a", encoding="utf-8")
        self._tensorboard = SummaryWriter(run.tensorboard, purge_step=first_step + 1)

    def write(
        self, step: int, losses: dict[str, float], learning_rate: float, pictures_per_second: float
    ) -> None:
        """Log one step; losses by name, weighted."""
        figures = {**losses, "learning_rate": learning_rate}
        for name, value in figures.items():
            self._tensorboard.add_scalar(name, value, step)
        line = {"step": step, **figures, "pictures_per_second": round(pictures_per_second, 2)}
        self._stats.write(json.dumps(line) + "\n")
        self._stats.flush()

    def close(self) -> None:
        self._stats.close()
        self._tensorboard.close()


def _logged_step(line: str) -> float:
    """The step of a line of `stats.jsonl`; infinite for one that a crash has cut off."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError):
        return math.inf


def _sha256_or_empty(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise TrainingError(f"cannot read the content weights {path}: {error.strerror}") from error


def _source_commit() -> str:
    """The last commit that changed the trainer; `-dirty` is added where files differ from it."""
    try:
        commit = _git("log", "-1", "--format=%H", "--", ".")
        changed = _git("status", "--porcelain", "--", ".")
    except (OSError, subprocess.SubprocessError):
        return ""  # installed from a wheel, or no git
    return f"{commit}-dirty" if commit and changed else commit


def _git(*arguments: str) -> str:
    """What git says about the folder of this file."""
    command = ["git", "-C", str(Path(__file__).resolve().parent), *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=10
    ).stdout.strip()
