"""The journal of an unfinished conversion: lines that are only ever added, each safe on disk before
the work goes on, each with a checksum.

A line that a crash or a full disk cut short is as good as never written. What the lines say is
`toonvid.resume.segmented`'s.
"""

from __future__ import annotations

import json
import os
import zlib
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

from toonvid.writing.part_folder import sync_folder

JournalEntry: TypeAlias = dict[str, object]


def read_journal(path: Path) -> list[JournalEntry]:
    """The entries up to the first line that is not whole; none where there is no journal."""
    return _whole_entries(path)[0]


class Journal:
    """A journal that is added to. Whoever does it holds the folder's lock."""

    def __init__(self, path: Path) -> None:
        """Cut off what is not whole at the end of a journal that is there.

        Raises:
            OSError: It cannot be read or written.
        """
        self.path = path
        self.entries, size = _whole_entries(path)
        if path.exists() and path.stat().st_size > size:
            os.truncate(path, size)

    def add(self, entry: JournalEntry) -> None:
        """Write one more entry, safe on disk when this returns.

        Raises:
            OSError: The disk refuses it. The journal is then as it was.
        """
        text = json.dumps(entry, ensure_ascii=False)
        size = self.path.stat().st_size if self.path.exists() else 0
        try:
            with self.path.open("ab") as file:
                file.write(_line(text.encode()))
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            with suppress(OSError):
                os.truncate(self.path, size)
                if size == 0:
                    self.path.unlink()
            raise
        if size == 0:
            sync_folder(self.path.parent)
        self.entries.append(entry)


def _line(text: bytes) -> bytes:
    return b"%08x %b\n" % (zlib.crc32(text), text)


def _whole_entries(path: Path) -> tuple[list[JournalEntry], int]:
    """The entries, and how many bytes they take."""
    entries: list[JournalEntry] = []
    size = 0
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return [], 0
    for line in content.splitlines(keepends=True):
        text = line[9:-1]
        if line != _line(text):
            break
        entries.append(json.loads(text))
        size += len(line)
    return entries, size
