"""Folder of a training run, and the record of what the run was started with.

    run.json        the config, the sources and the commit of the code
    states/         training states
    stats.jsonl     one line for each logged step, and one for each event
    tensorboard/    the same as curves, and the contact sheets
    sheets/         contact sheets of held-out photos
    cache/          drawings of the photos
    exports.json    the SHA-256 of the card of each engine that was exported

In: a path, a config and the sources. Out: the paths of the parts, and the guarantee that a folder
belongs to one config. Left out: the log (`trainer.training.run_log`) and the training states
(`trainer.training.state_file`).
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from dataclasses import asdict, dataclass, replace
from operator import attrgetter
from pathlib import Path

from toonvid.engine import Engine
from toonvid.errors import TrainingError
from trainer.config import CHANGEABLE_ON_RESUME, PhaseName, TrainConfig, option_names
from trainer.files import make_folder, write_atomically
from trainer.training.state_file import find_start, is_style_name, state_name


@dataclass(frozen=True)
class Sources:
    """Where the images and the pretrained weights of a run come from."""

    photos: Path
    """Folder of the photos p, or of the art whose line art is colored; searched recursively."""
    cartoons: Path | None = None
    """Folder of the cartoons c, searched recursively; None if the config has no adversarial
    phase."""
    content_weights: Path | None = None
    """File of the content network's weights; None downloads them if a loss needs them."""
    start_from: Path | None = None
    """Run or training state whose generator a new run starts with; None starts at random."""
    teacher: str | None = None
    """Run or engine whose output, or whose layers, are the content target; None for no teacher."""
    heldout: Path | None = None
    """Folder of photos for contact sheets, which are not trained on; None draws no sheets."""
    cache: Path | None = None
    """Folder for cached drawings, which several runs may share; None puts it inside the run."""


@dataclass(frozen=True)
class RunRecord:
    """What a run was started with, as `run.json` stores it."""

    preset: str
    """Name of the preset."""
    config: TrainConfig
    """Config of the run."""
    photos: str
    """Absolute path of the folder of photos."""
    cartoons: str
    """Absolute path of the folder of cartoons; empty if there is none."""
    start_from: str
    """Absolute path of the run, state or engine that the generator was taken from, or name of a
    style; empty if none."""
    start_sha256: str
    """SHA-256 of the file of that state or engine; empty if none."""
    teacher: str
    """Teacher as named by the user; empty if none."""
    content_weights: str
    """SHA-256 of the file of the content network's weights; empty if none was given."""
    source_commit: str
    """Commit of the trainer's code; empty if unknown."""
    teacher_sha256: str = ""
    """SHA-256 of the file of the teacher's weights; empty if none."""

    def differences(self, other: RunRecord) -> list[str]:
        """List the options and sources that differ and would lead to other weights."""
        options = [n for n in option_names(self.config) if n not in CHANGEABLE_ON_RESUME]
        names = [n for n in options if attrgetter(n)(self.config) != attrgetter(n)(other.config)]
        sources = ("photos", "cartoons", "start_from", "teacher", "content_weights")
        return names + [name for name in sources if getattr(self, name) != getattr(other, name)]

    def may_become(self, config: TrainConfig, differing: list[str]) -> bool:
        """Whether the run may go on with another config: one whose last phase is only longer.

        The steps that are done must be the same in both, so the learning rate may not depend on
        the number of steps.

        Args:
            config: The other config.
            differing: Names of the options and sources that differ.
        """
        last = self._last_phase()
        is_longer = getattr(config, last).steps > getattr(self.config, last).steps
        return differing == [f"{last}.steps"] and is_longer and bool(self.lengthening_option())

    def lengthening_option(self) -> str | None:
        """Option of `toonvid train` that makes the run longer; None if it cannot get longer."""
        last = self._last_phase()
        if getattr(self.config, last).learning_rate_schedule != "constant":
            return None
        return f"--{last}-steps"

    def _last_phase(self) -> PhaseName:
        return "adversarial" if self.config.adversarial.steps else "initialization"


@dataclass(frozen=True)
class Run:
    """The folder of a training run."""

    folder: Path
    """Path of the folder, which need not exist yet."""

    @property
    def states(self) -> Path:
        """Folder of the training states."""
        return self.folder / "states"

    @property
    def sheets(self) -> Path:
        """Folder of the contact sheets."""
        return self.folder / "sheets"

    @property
    def cache(self) -> Path:
        """Folder of cached drawings, if the run has its own."""
        return self.folder / "cache"

    @property
    def stats(self) -> Path:
        """Log, as JSON lines."""
        return self.folder / "stats.jsonl"

    @property
    def tensorboard(self) -> Path:
        """Folder of the TensorBoard files."""
        return self.folder / "tensorboard"

    def claim(self, preset: str, config: TrainConfig, sources: Sources) -> None:
        """Create the folder for a config, or check that it was created for the same one.

        A run whose last phase gets more steps goes on, and its record changes. A folder without a
        training state has nothing to lose, and may be claimed by any config.

        Args:
            preset: Name of the preset, for the record.
            config: Config of the run.
            sources: Where the images come from.

        Raises:
            TrainingError: It belongs to another config, or cannot be written.
        """
        existing = self.record() if self.has_begun() else None
        # Only for a new run: the run that it starts from may have gone on since, or be deleted.
        record = RunRecord(
            preset,
            config,
            photos=_path_or_empty(sources.photos),
            cartoons=_path_or_empty(sources.cartoons),
            start_from=_place_or_empty(sources.start_from),
            start_sha256="" if existing else _weights_sha256(sources.start_from),
            teacher=sources.teacher or "",
            content_weights=_sha256_or_empty(sources.content_weights),
            source_commit=_source_commit(),
            teacher_sha256="" if existing else _weights_sha256(sources.teacher),
        )
        if existing:
            differing = existing.differences(record)
            if differing and not existing.may_become(config, differing):
                raise TrainingError(
                    f"{self.folder} holds a run with another {', '.join(differing)}: "
                    f"give it the same options, or this run a folder of its own{_hint(differing)}"
                )
            if existing.config != config:
                self._write(replace(existing, config=config))
            return
        for folder in (self.folder, self.states, self.sheets):
            make_folder(folder)
        if not self._exports_path.exists():
            write_atomically(self._exports_path, b"[]")
        self._write(record)

    def has_begun(self) -> bool:
        """Whether the run has a training state."""
        has_states = self.states.is_dir() and any(self.states.iterdir())
        return has_states and self._record_path.exists()

    def has_other_enlargement(self) -> bool:
        """Whether the run has begun, and enlarges photos."""
        return self.has_begun() and self.record().config.max_enlargement != 1

    def note_export(self, engine: Engine) -> None:
        """Remember an engine that was exported from this run, for `may_replace`.

        Raises:
            TrainingError: The folder cannot be written.
        """
        known = {*self._exports(), hashlib.sha256(engine.card.to_json().encode()).hexdigest()}
        write_atomically(self._exports_path, json.dumps(sorted(known), indent=2).encode())

    def has_exported(self, card: Path) -> bool:
        """Whether a card, as it is now, was exported from this run."""
        try:
            return hashlib.sha256(card.read_bytes()).hexdigest() in self._exports()
        except OSError:
            return False

    def may_replace(self, card: Path) -> bool:
        """Whether an engine may be replaced by one of this run: it is its own, or may be.

        Runs of earlier versions did not note what was exported from them.
        """
        return self.has_exported(card) or (self.has_begun() and not self._exports_path.exists())

    def _exports(self) -> list[str]:
        try:
            found = json.loads(self._exports_path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return []
        return found if isinstance(found, list) else []

    def is_finished(self) -> bool:
        """Whether the run's last step is done and on disk."""
        return (self.states / state_name(self.record().config.steps)).is_file()

    def record(self) -> RunRecord:
        """Read what the run was started with; records of earlier versions are accepted.

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

    def _write(self, record: RunRecord) -> None:
        text = json.dumps(asdict(record), indent=2) + "\n"
        write_atomically(self._record_path, text.encode())

    @property
    def _record_path(self) -> Path:
        return self.folder / "run.json"

    @property
    def _exports_path(self) -> Path:
        return self.folder / "exports.json"


def _hint(differing: list[str]) -> str:
    """Remedy for options that say how long a phase is; empty for others."""
    if not all(name.endswith(".steps") for name in differing):
        return ""
    return (
        " (only the last phase can be lengthened, and not where its learning rate falls to 0), and"
        " --start-from takes over the generator"
    )


def _path_or_empty(path: Path | None) -> str:
    return str(path.resolve()) if path else ""


def _place_or_empty(place: Path | None) -> str:
    """Text of `start_from`: the name of a style stays one, whatever the current folder is."""
    return str(place) if place and is_style_name(place) else _path_or_empty(place)


def _weights_sha256(place: Path | str | None) -> str:
    """SHA-256 of the file that a run's first weights, or its targets, come from; empty if none."""
    found = find_start(Path(place)) if place else None
    return _sha256_or_empty(found.path() if isinstance(found, Engine) else found)


def _sha256_or_empty(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise TrainingError(f"cannot read {path}: {error.strerror}") from error


def _source_commit() -> str:
    """Return the last commit that changed the trainer, with `-dirty` if files differ from it."""
    try:
        commit = _git("log", "-1", "--format=%H", "--", ".")
        changed = _git("status", "--porcelain", "--", ".")
    except (OSError, subprocess.SubprocessError):
        return ""  # installed from a wheel, or git is not installed
    return f"{commit}-dirty" if commit and changed else commit


def _git(*arguments: str) -> str:
    """Run git in the trainer's folder and return its output."""
    command = ["git", "-C", str(Path(__file__).resolve().parents[1]), *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=10
    ).stdout.strip()
