"""A run's folder: what is in it, and whose config it holds. Its log is `trainer.training.run_log`.

run.json        the resolved config, the sources and the commit of the code
states/         training states
stats.jsonl     one line per logged step, and one for each thing that happened
tensorboard/    the same as curves, and the contact sheets
sheets/         contact sheets of held-out pictures
cache/          drawings of the photos
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from dataclasses import asdict, dataclass
from operator import attrgetter
from pathlib import Path

from toonvid.errors import TrainingError
from trainer.config import HOUSEKEEPING, TrainConfig, option_names
from trainer.files import make_folder, write_atomically
from trainer.training.state import find_state


@dataclass(frozen=True)
class Sources:
    """Where a run's pictures and pretrained weights come from."""

    photos: Path
    """Folder of the photos, searched with all folders in it."""
    cartoons: Path | None = None
    """Folder of the cartoons, likewise; None if the config has no adversarial phase."""
    content_weights: Path | None = None
    """Weights of the content network; None if there is none, or if they are to be fetched."""
    start_from: Path | None = None
    """Run, or training state, whose generator this run begins with; None begins at random."""
    teacher: str | None = None
    """Run or engine whose pictures the generator learns to make; None if the config has none."""
    heldout: Path | None = None
    """Folder of photos that are only drawn on contact sheets; None draws no sheets."""
    cache: Path | None = None
    """Folder for the drawings, to be shared by runs; None takes one inside the run."""


@dataclass(frozen=True)
class RunRecord:
    """What a run was started with."""

    preset: str
    config: TrainConfig
    photos: str
    """The folder, as an absolute path."""
    cartoons: str
    """The same; empty if there is none."""
    start_from: str
    """Where the run's first generator is from, as an absolute path; empty if it was random."""
    start_sha256: str
    """Of the training state that it is from; empty if it was random."""
    teacher: str
    """As it was named; empty if there is none."""
    content_weights: str
    """SHA-256 of the file; empty if there is none."""
    source_commit: str
    """Commit of the code; empty when not known."""

    def differences(self, other: RunRecord) -> list[str]:
        """Names of the options by which another record would give other weights."""
        asked = [name for name in option_names(self.config) if name not in HOUSEKEEPING]
        names = [n for n in asked if attrgetter(n)(self.config) != attrgetter(n)(other.config)]
        sources = ("photos", "cartoons", "start_from", "teacher", "content_weights")
        return names + [name for name in sources if getattr(self, name) != getattr(other, name)]


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
        begun = self._record_path.exists() and any(self.states.iterdir())
        there = self.record() if begun else None
        # What it began with may have gone on, or away, since.
        start = find_state(sources.start_from) if sources.start_from and not there else None
        record = RunRecord(
            preset,
            config,
            photos=_path_or_empty(sources.photos),
            cartoons=_path_or_empty(sources.cartoons),
            start_from=_path_or_empty(sources.start_from),
            start_sha256=_sha256_or_empty(start),
            teacher=sources.teacher or "",
            content_weights=_sha256_or_empty(sources.content_weights),
            source_commit=_source_commit(),
        )
        if there:
            if differing := there.differences(record):
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
            config = TrainConfig.from_values(values.pop("config"))
            return RunRecord(config=config, **values)
        except OSError as error:
            raise TrainingError(f"{self.folder} is not a training run: no run.json") from error
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise TrainingError(
                f"{self._record_path} is not a run of this toonvid: {error}"
            ) from error

    @property
    def _record_path(self) -> Path:
        return self.folder / "run.json"


def _path_or_empty(path: Path | None) -> str:
    return str(path.resolve()) if path else ""


def _sha256_or_empty(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise TrainingError(f"cannot read {path}: {error.strerror}") from error


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
