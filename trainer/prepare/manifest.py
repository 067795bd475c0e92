"""The manifest of a prepared folder: sources, options, and what was made of every frame.

In: finished sources. Out: what is known from earlier runs. The manifest is an SQLite file in the
folder. A source is recorded in one transaction after all its crops are synced to disk, so every
crop in the manifest exists, however a run ends. Crops of a source that was not recorded are deleted
when the folder is opened again. Crops that the user has deleted are not made again.

The file is called `ledger.sqlite`, and its tables and columns keep their names, so that folders
prepared by earlier versions can be continued.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from toonvid.errors import TargetError
from trainer.files import make_folder
from trainer.prepare.quality_filter import HASH_BYTES

MANIFEST_NAME = "ledger.sqlite"
VERSION = 1
"""Version of the file and of everything that decides which crops a frame gives."""

_SOURCES_PER_FOLDER = 1000  # keeps folders small enough for file managers
_CROP_NAME = re.compile(r"\.?.*-(\d{6,})-\d{9,}-\d+-\d+\.jpg(\.\d+-\d+\.part)?")

_TABLES = """
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT);
CREATE TABLE IF NOT EXISTS sources (
    number INTEGER PRIMARY KEY, root TEXT, path TEXT, fingerprint TEXT, problem TEXT
);
CREATE INDEX IF NOT EXISTS known ON sources (path, fingerprint);
CREATE TABLE IF NOT EXISTS counts (number INTEGER, name TEXT, count INTEGER);
CREATE TABLE IF NOT EXISTS frames (number INTEGER, hash BLOB);
CREATE TABLE IF NOT EXISTS pictures (number INTEGER, path TEXT);
"""


@dataclass(frozen=True)
class SourceFile:
    """A video or image to take frames from."""

    root: str
    """The source as the user named it: a file, or the folder in which it was found."""
    path: str
    """Absolute path."""
    fingerprint: str
    """Size and modification time; a source in which they change counts as a new one."""


@dataclass
class ManifestEntry:
    """What was made of one source."""

    source: SourceFile
    number: int
    """Number of the source in the folder, from 1."""
    counts: Counter[str] = field(default_factory=Counter)
    """Number of frames and crops that were seen, kept, and rejected for each reason, by name."""
    hashes: list[bytes] = field(default_factory=list)
    """Perceptual hashes of the frames that were kept, 8 bytes each."""
    crops: list[str] = field(default_factory=list)
    """Paths of the crops that were written, relative to the folder."""
    problem: str | None = None
    """Why the source, or part of it, could not be read; None when all was read."""


class Manifest:
    """Opens a prepared folder for one run. A context manager that locks the folder."""

    def __init__(self, folder: Path, options: dict[str, object]) -> None:
        """Note what to open.

        Args:
            folder: Created if it does not exist.
            options: Everything that decides which crops a source gives, by name; plain values.
        """
        self.folder = folder
        self.options: dict[str, object] = json.loads(json.dumps(options))  # tuples become lists

    def __enter__(self) -> Manifest:
        """Open the folder.

        Raises:
            TargetError: The folder contains something else, was prepared with other options, or is
                open in another run.
            TrainingError: The folder cannot be written.
        """
        path = self.folder / MANIFEST_NAME
        if self.folder.exists() and not path.exists():
            self._check_unused()
        make_folder(self.folder)
        with self._translated_errors():
            # Frames are read on another thread, which calls `knows`. SQLite serializes the calls.
            self._db = sqlite3.connect(path, timeout=0, check_same_thread=False)
            try:
                self._lock()
            except BaseException:
                self._db.close()
                raise
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def knows(self, source: SourceFile) -> bool:
        """Whether a source was processed before and is unchanged."""
        key = (_stored(source.path), source.fingerprint)
        found = self._db.execute("SELECT 1 FROM sources WHERE (path, fingerprint) = (?, ?)", key)
        return found.fetchone() is not None

    def next_number(self) -> int:
        """Return the number of the next source."""
        (last,) = self._db.execute("SELECT MAX(number) FROM sources").fetchone()
        return (last or 0) + 1

    def hashes(self) -> NDArray[np.uint8]:
        """Return the perceptual hashes of all kept frames, (N, 8) uint8."""
        rows = self._db.execute("SELECT hash FROM frames")
        return np.frombuffer(b"".join(row[0] for row in rows), np.uint8).reshape(-1, HASH_BYTES)

    def record(self, entry: ManifestEntry) -> None:
        """Record a finished source, in one transaction.

        Raises:
            TargetError: The file cannot be written.
        """
        source, number = entry.source, entry.number
        problem = _stored(entry.problem) if entry.problem else None
        row = (number, _stored(source.root), _stored(source.path), source.fingerprint, problem)
        counts = [(number, name, count) for name, count in entry.counts.items()]
        with self._translated_errors(), self._db:
            self._db.execute("INSERT INTO sources VALUES (?, ?, ?, ?, ?)", row)
            self._db.executemany("INSERT INTO counts VALUES (?, ?, ?)", counts)
            for table, values in (("frames", entry.hashes), ("pictures", entry.crops)):
                self._db.executemany(
                    f"INSERT INTO {table} VALUES (?, ?)", ((number, value) for value in values)
                )

    def counts(self) -> dict[str, Counter[str]]:
        """Return the counts of all runs by the source's name, in the order first named."""
        found: dict[str, Counter[str]] = {}
        for root, sources in self._db.execute(
            "SELECT root, COUNT(*) FROM sources GROUP BY root ORDER BY MIN(number)"
        ):
            found[root] = Counter(sources=sources)
        for root, name, count in self._db.execute(
            "SELECT root, name, SUM(count) FROM sources JOIN counts USING (number) GROUP BY 1, 2"
        ):
            found[root][name] = count
        return found

    def problems(self) -> dict[str, str]:
        """Return the reason for each source that could not be read completely, by its path."""
        query = "SELECT path, problem FROM sources WHERE problem IS NOT NULL ORDER BY number"
        return dict(self._db.execute(query))

    def sample(self, count: int) -> list[Path]:
        """Return the paths of at most `count` crops, spread evenly over all of them."""
        (total,) = self._db.execute("SELECT COUNT(*) FROM pictures").fetchone()
        step = max(1, -(-total // count))
        query = "SELECT path FROM pictures WHERE (rowid - 1) % ? = 0 ORDER BY rowid"
        return [self.folder / row[0] for row in self._db.execute(query, (step,))]

    def _lock(self) -> None:
        """Lock the file, check its options, and clean up after an interrupted run."""
        # Held until the run ends: two runs would otherwise give the same number to two sources.
        self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
        self._db.execute("PRAGMA journal_mode = WAL")  # crops are synced before they are recorded
        self._db.executescript(_TABLES)
        found = dict(self._db.execute("SELECT name, value FROM settings"))
        settings = {"version": VERSION, **self.options}
        wanted = {name: json.dumps(value) for name, value in settings.items()}
        if not found:
            with self._db:
                self._db.executemany("INSERT INTO settings VALUES (?, ?)", wanted.items())
        elif found != wanted:
            self._raise_other_options(found, wanted)
        self._remove_leftovers()

    def _check_unused(self) -> None:
        try:
            other_file = next(
                (p for p in sorted(self.folder.iterdir()) if not p.name.startswith(".")), None
            )
        except OSError as error:
            raise TargetError(f"{self.folder} is not a folder to write to: {error.strerror}") from (
                error
            )
        if other_file is not None:
            raise TargetError(
                f"{self.folder} contains other files ({other_file.name}); name a new folder with -o"
            )

    def _raise_other_options(self, found: dict[str, str], wanted: dict[str, str]) -> None:
        if found.get("version") != wanted["version"]:
            raise TargetError(
                f"{self.folder} was prepared by another version of toonvid; name a new folder"
            )
        differing = [
            f"{name} {found.get(name)} (now {value})"
            for name, value in wanted.items()
            if found.get(name) != value
        ]
        raise TargetError(
            f"{self.folder} was prepared with {', '.join(differing)}: "
            "give the same options, or another folder with -o"
        )

    def _remove_leftovers(self) -> None:
        """Delete the crops of the source that was being processed when a run was interrupted."""
        number = self.next_number()
        for folder in self.folder.glob("[0-9]*/"):
            # The user may have put other folders here, such as `0000 rejected`.
            if not folder.name.isdecimal() or int(folder.name) < number // _SOURCES_PER_FOLDER:
                continue
            for path in folder.iterdir():
                match = _CROP_NAME.fullmatch(path.name)
                if match is not None and int(match[1]) >= number:
                    path.unlink()

    @contextmanager
    def _translated_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            if "locked" in str(error):
                raise TargetError(f"another toonvid is preparing {self.folder} now") from error
            raise TargetError(f"cannot write {self.folder / MANIFEST_NAME}: {error}") from error


def _stored(text: str) -> str:
    """Return text as SQLite can store it: bytes of a file name that are not UTF-8 as `\\udce9`."""
    return text.encode(errors="backslashreplace").decode()


def crop_path(number: int, stem: str, milliseconds: int, short_side: int, crop: int) -> str:
    """Return the path of a crop, relative to the folder.

    Args:
        number: Number of its source.
        stem: File name of the source; characters that a file system may reject are replaced.
        milliseconds: Presentation time of its frame.
        short_side: Short side to which the frame was reduced, in pixels.
        crop: Index of the crop at that scale, from 0.
    """
    readable = re.sub(r"[^A-Za-z0-9_.-]+", "_", stem)[:40].strip("._-") or "source"
    name = f"{readable}-{number:06}-{milliseconds:09}-{short_side}-{crop}.jpg"
    return f"{number // _SOURCES_PER_FOLDER:04}/{name}"


def sheet_path(folder: Path) -> Path:
    """Return the path of a folder's contact sheet: beside the folder, outside the dataset."""
    return folder.with_name(f"{folder.name}.sheet.png")
