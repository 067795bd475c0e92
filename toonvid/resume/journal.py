"""The journal of an unfinished conversion: a file of lines that are only ever appended.

JSON objects go in and come out, one on each line, with a checksum before it. A line is safe on disk
before the conversion goes on. A line that a crash or a full disk cut short counts as never written.
The meaning of the objects is left out; it is in `toonvid.resume.journal_entries`.
"""

from __future__ import annotations

import errno
import json
import os
import stat
import zlib
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

from toonvid.files import sync_folder, write_atomically

JOURNAL_NAME = "journal"
"""Name of the file in the work folder."""

_MAX_BYTES = 2**28  # a line has less than 2,000 bytes, for ten seconds of video
_CHECKSUM_DIGITS = 8
_ENTRY_START = b' {"finished"'  # of the second line, behind its checksum
_NO_LINKS = getattr(os, "O_NOFOLLOW", 0)
_NOT_BLOCKING = getattr(os, "O_NONBLOCK", 0)
_BINARY = getattr(os, "O_BINARY", 0)

JournalEntry: TypeAlias = dict[str, object]
"""One line of a journal, as JSON reads it."""


def read_journal(path: Path) -> list[JournalEntry]:
    """Returns the entries that are whole; an empty list if there is no file.

    Nothing behind a damaged line is believed, unless that line is the first: what the first line
    says may be known otherwise, and the others then cost nothing.

    Raises:
        OSError: There is something that cannot be read, or that is no journal.
    """
    return _read_complete_lines(path)[0]


class Journal:
    """A journal that can be appended to, by the one process that holds the work folder's lock."""

    def __init__(self, path: Path) -> None:
        """Reads the journal, if there is one, and cuts off an incomplete line at its end.

        `has_lost_start` is whether its first line is damaged.

        Args:
            path: The file. It need not exist; the folder must.

        Raises:
            OSError: The file cannot be read or written.
        """
        self.path = path
        self.entries, begin, end = _read_complete_lines(path)
        self.has_lost_start = begin > 0 and bool(self.entries)
        if path.exists() and path.stat().st_size > end:
            os.truncate(path, end)

    def restore_start(self, entry: JournalEntry) -> None:
        """Writes the first line anew where it was damaged; the other lines are kept.

        Raises:
            OSError: The disk is full or fails. The journal is then as it was before.
        """
        entries = [entry, *self.entries]
        write_atomically(self.path, b"".join(map(_line_of, entries)))
        self.entries, self.has_lost_start = entries, False

    def append(self, entry: JournalEntry) -> None:
        """Appends one entry, which is safe on disk when this returns.

        Raises:
            OSError: The disk is full or fails. The journal is then as it was before.
        """
        size = self.path.stat().st_size if self.path.exists() else 0
        try:
            with self.path.open("ab") as file:
                file.write(_line_of(entry))
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


def _line_of(entry: JournalEntry) -> bytes:
    return _line(json.dumps(entry).encode())  # ASCII, so that names that are not UTF-8 can be kept


def _line(text: bytes) -> bytes:
    """One line of the file: CRC-32 in eight hexadecimal digits, a space, the JSON text."""
    return b"%08x %b\n" % (zlib.crc32(text), text)


def _read_complete_lines(path: Path) -> tuple[list[JournalEntry], int, int]:
    """Returns the whole entries, and the offsets in bytes at which they begin and end."""
    entries: list[JournalEntry] = []
    content = _read_file(path)
    begin = end = 0
    for line in content.split(b"\n")[:-1]:
        entry = _entry_of(line)
        if entry is None and not entries and (cut := line.rfind(_ENTRY_START)) >= _CHECKSUM_DIGITS:
            # The damage is in the line's end, and has made one line of the first two.
            end += cut - _CHECKSUM_DIGITS
            line = line[cut - _CHECKSUM_DIGITS :]
            entry = _entry_of(line)
        if entry is not None:
            begin = begin if entries else end
            entries.append(entry)
        elif entries:
            break
        end += len(line) + 1
    return entries, begin, end if entries else 0


def _entry_of(line: bytes) -> JournalEntry | None:
    """Returns the entry of a line without its end; None if it is damaged or no JSON object."""
    text = line[_CHECKSUM_DIGITS + 1 :]
    if line + b"\n" != _line(text):
        return None
    try:
        entry = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) else None


def _read_file(path: Path) -> bytes:
    try:
        # Not blocking: to open a pipe that somebody put here would wait for its other end.
        descriptor = os.open(path, os.O_RDONLY | _NOT_BLOCKING | _NO_LINKS | _BINARY)
    except FileNotFoundError:
        return b""
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_size > _MAX_BYTES:
            raise OSError(errno.EINVAL, "the journal beside it is not one of toonvid", str(path))
        return file.read()
