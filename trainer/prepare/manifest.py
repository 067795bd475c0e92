"""The ledger of a prepared folder: which sources were looked at, with what options, and what became
of every frame.

An SQLite file in the folder, and the only place that knows what belongs to it. A source is entered
in one transaction once all its pictures are safe on the disk, so whatever ends a run, what the
ledger names is there and whole. Pictures of a source that was not entered are removed when the
folder is next opened. Pictures that a user took out of the folder stay out.
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

LEDGER_NAME = "ledger.sqlite"
VERSION = 1
"""Of the ledger and of all that decides what a frame becomes."""

_SOURCES_A_FOLDER = 1000  # so that no folder has too many files for a file manager
_OWN = re.compile(r"\.?.*-(\d{6,})-\d{9,}-\d+-\d+\.jpg(\.\d+-\d+\.part)?")

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
class Source:
    """A film or picture to take frames from."""

    root: str
    """The source as it was named by the user: a file, or the folder that it was found in."""
    path: str
    """Absolute."""
    fingerprint: str
    """Size and time of change: another one is another source."""


@dataclass
class Entry:
    """What became of one source."""

    source: Source
    number: int
    """Of the source in the folder, from 1."""
    counts: Counter[str] = field(default_factory=Counter)
    """How many frames were seen, kept, and left out for each reason; and of crops likewise."""
    hashes: list[bytes] = field(default_factory=list)
    """Perceptual hashes of the frames kept."""
    pictures: list[str] = field(default_factory=list)
    """Paths of what was written, relative to the folder."""
    problem: str | None = None
    """Why the source, or part of it, could not be read."""


class Ledger:
    """Opens a folder for one run; a context manager."""

    def __init__(self, folder: Path, options: dict[str, object]) -> None:
        """Remember what to open.

        Args:
            folder: Made if it is not there.
            options: All that decides what a source becomes, by name; plain values.
        """
        self.folder = folder
        self.options: dict[str, object] = json.loads(json.dumps(options))  # tuples become lists

    def __enter__(self) -> Ledger:
        """Open the folder.

        Raises:
            TargetError: It holds something else or was prepared with other options, or another run
                has it open.
            TrainingError: It cannot be written.
        """
        path = self.folder / LEDGER_NAME
        if self.folder.exists() and not path.exists():
            self._refuse_strangers()
        make_folder(self.folder)
        with self._translated():
            # The frames are read on a thread of their own, which asks what is known; SQLite lets
            # one in at a time.
            self._db = sqlite3.connect(path, timeout=0, check_same_thread=False)
            try:
                self._claim()
            except BaseException:
                self._db.close()
                raise
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def knows(self, source: Source) -> bool:
        """Whether a source was looked at before and is unchanged."""
        asked = (source.path, source.fingerprint)
        found = self._db.execute("SELECT 1 FROM sources WHERE (path, fingerprint) = (?, ?)", asked)
        return found.fetchone() is not None

    def next_number(self) -> int:
        """The number that the next source gets."""
        (last,) = self._db.execute("SELECT MAX(number) FROM sources").fetchone()
        return (last or 0) + 1

    def hashes(self) -> NDArray[np.uint8]:
        """Perceptual hashes of all frames kept, (N, 8) uint8."""
        rows = self._db.execute("SELECT hash FROM frames")
        return np.frombuffer(b"".join(row[0] for row in rows), np.uint8).reshape(-1, HASH_BYTES)

    def enter(self, entry: Entry) -> None:
        """Enter a source that is done, whole or not at all.

        Raises:
            TargetError: The disk refuses it.
        """
        source, number = entry.source, entry.number
        row = (number, source.root, source.path, source.fingerprint, entry.problem)
        counts = [(number, name, count) for name, count in entry.counts.items()]
        with self._translated(), self._db:
            self._db.execute("INSERT INTO sources VALUES (?, ?, ?, ?, ?)", row)
            self._db.executemany("INSERT INTO counts VALUES (?, ?, ?)", counts)
            for table, values in (("frames", entry.hashes), ("pictures", entry.pictures)):
                self._db.executemany(
                    f"INSERT INTO {table} VALUES (?, ?)", ((number, value) for value in values)
                )

    def counts(self) -> dict[str, Counter[str]]:
        """For each source as the user named it, in the order of their first coming."""
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
        """Path of each source that could not be read, or not to its end -> why."""
        asked = "SELECT path, problem FROM sources WHERE problem IS NOT NULL ORDER BY number"
        return dict(self._db.execute(asked))

    def some_pictures(self, count: int) -> list[Path]:
        """At most so many pictures, spread evenly over all of them."""
        (total,) = self._db.execute("SELECT COUNT(*) FROM pictures").fetchone()
        step = max(1, -(-total // count))
        asked = "SELECT path FROM pictures WHERE (rowid - 1) % ? = 0 ORDER BY rowid"
        return [self.folder / row[0] for row in self._db.execute(asked, (step,))]

    def _claim(self) -> None:
        """Lock the ledger, see that it is for the same options, and tidy up after a dead run."""
        self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
        self._db.execute("PRAGMA journal_mode = WAL")  # pictures are synced before they are entered
        self._db.executescript(_TABLES)
        found = dict(self._db.execute("SELECT name, value FROM settings"))
        settings = {"version": VERSION, **self.options}
        wanted = {name: json.dumps(value) for name, value in settings.items()}
        if not found:
            with self._db:
                self._db.executemany("INSERT INTO settings VALUES (?, ?)", wanted.items())
        elif found != wanted:
            self._refuse_options(found, wanted)
        self._remove_leftovers()

    def _refuse_strangers(self) -> None:
        try:
            stranger = next(
                (p for p in sorted(self.folder.iterdir()) if not p.name.startswith(".")), None
            )
        except OSError as error:
            raise TargetError(f"{self.folder} is not a folder to write to: {error.strerror}") from (
                error
            )
        if stranger is not None:
            raise TargetError(
                f"{self.folder} holds other files ({stranger.name}); name a new folder with -o"
            )

    def _refuse_options(self, found: dict[str, str], wanted: dict[str, str]) -> None:
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
        """Remove pictures of the source that was in hand when a run died."""
        number = self.next_number()
        for folder in self.folder.glob("[0-9]*/"):
            if int(folder.name) < number // _SOURCES_A_FOLDER:
                continue
            for path in folder.iterdir():
                own = _OWN.fullmatch(path.name)
                if own is not None and int(own[1]) >= number:
                    path.unlink()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            if "locked" in str(error):
                raise TargetError(f"another toonvid is preparing {self.folder} now") from error
            raise TargetError(f"cannot write {self.folder / LEDGER_NAME}: {error}") from error


def picture_path(number: int, stem: str, milliseconds: int, short_side: int, crop: int) -> str:
    """Where a crop is written, relative to the folder.

    Args:
        number: Of its source.
        stem: Of the source's name; kept as far as any file system takes it.
        milliseconds: When its frame is shown.
        short_side: What the frame was resized to, in pixels.
        crop: From 0.
    """
    readable = re.sub(r"[^A-Za-z0-9_.-]+", "_", stem)[:40].strip("._-") or "source"
    name = f"{readable}-{number:06}-{milliseconds:09}-{short_side}-{crop}.jpg"
    return f"{number // _SOURCES_A_FOLDER:04}/{name}"


def sheet_path(folder: Path) -> Path:
    """Where a folder's contact sheet is written: beside it, where no training finds it."""
    return folder.with_name(f"{folder.name}.sheet.png")
