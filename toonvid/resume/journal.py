"""The journal of an unfinished conversion: a file of lines that are only ever appended.

JSON objects go in and come out, one on each line, with a checksum before it. A line is safe on disk
before the conversion goes on. A line that a crash or a full disk cut short counts as never written.
The meaning of the objects is left out; it is in `toonvid.resume.journal_entries`.
"""

from __future__ import annotations

import json
import os
import zlib
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

from toonvid.files import sync_folder

JOURNAL_NAME = "journal"
"""Name of the file in the work folder."""

JournalEntry: TypeAlias = dict[str, object]
"""One line of a journal, as JSON reads it."""


def read_journal(path: Path) -> list[JournalEntry]:
    """Returns the entries before the first incomplete line; an empty list if there is no file."""
    return _read_complete_lines(path)[0]


class Journal:
    """A journal that can be appended to, by the one process that holds the work folder's lock."""

    def __init__(self, path: Path) -> None:
        """Reads the journal, if there is one, and cuts off an incomplete line at its end.

        Args:
            path: The file. It need not exist; the folder must.

        Raises:
            OSError: The file cannot be read or written.
        """
        self.path = path
        self.entries, size = _read_complete_lines(path)
        if path.exists() and path.stat().st_size > size:
            os.truncate(path, size)

    def append(self, entry: JournalEntry) -> None:
        """Appends one entry, which is safe on disk when this returns.

        Raises:
            OSError: The disk is full or fails. The journal is then as it was before.
        """
        text = json.dumps(entry)  # in ASCII, so that names that are not UTF-8 can be kept
        size = self.path.stat().st_size if self.path.exists() else 0
        try:
            with self.path.open("ab") as file:
                file.write(_line(text.encode()))
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            # Half a line would hide the lines that a later run appends behind it.
            with suppress(OSError):
                os.truncate(self.path, size)
                if size == 0:
                    self.path.unlink()
            raise
        if size == 0:
            sync_folder(self.path.parent)
        self.entries.append(entry)


def _line(text: bytes) -> bytes:
    """One line of the file: CRC-32 in eight hexadecimal digits, a space, the JSON text."""
    return b"%08x %b\n" % (zlib.crc32(text), text)


def _read_complete_lines(path: Path) -> tuple[list[JournalEntry], int]:
    """Returns the entries before the first incomplete line, and how many bytes they take."""
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
