"""Lines of a journal are complete and checked, or count as never written."""

from __future__ import annotations

import errno
import os
import zlib
from pathlib import Path

import pytest

from toonvid.resume.journal import Journal, JournalEntry, read_journal

ENTRIES: list[JournalEntry] = [
    {"job": "a"},
    {"finished": {"number": 0, "name": "ä\n"}},
    {"whole": 1},
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    journal = Journal(tmp_path / "journal")
    for entry in ENTRIES:
        journal.append(entry)
    return tmp_path / "journal"


def test_entries_are_read_as_they_were_appended(path):
    assert read_journal(path) == ENTRIES
    assert Journal(path).entries == ENTRIES


def test_no_file_is_a_journal_without_entries(tmp_path):
    assert read_journal(tmp_path / "journal") == []
    assert Journal(tmp_path / "journal").entries == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("lost", [1, 5])
def test_a_line_that_was_cut_short_is_removed_before_the_next_is_appended(lost, path):
    path.write_bytes(path.read_bytes()[:-lost])
    assert read_journal(path) == ENTRIES[:2]
    Journal(path).append({"whole": 2})
    assert read_journal(path) == [*ENTRIES[:2], {"whole": 2}]


def test_nothing_after_a_changed_line_is_believed(path):
    lines = path.read_bytes().splitlines(keepends=True)
    lines[1] = lines[1].replace(b'"number": 0', b'"number": 1')
    path.write_bytes(b"".join(lines))
    assert read_journal(path) == ENTRIES[:1]


@pytest.mark.parametrize("has_entries", [False, True])
def test_a_disk_that_fails_leaves_the_journal_as_it_was(has_entries, tmp_path, monkeypatch):
    journal = Journal(tmp_path / "journal")
    if has_entries:
        journal.append(ENTRIES[0])
    before = journal.path.read_bytes() if has_entries else None

    def fail(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        journal.append(ENTRIES[1])
    assert (journal.path.read_bytes() if journal.path.exists() else None) == before
    assert len(journal.entries) == has_entries


def flip(path: Path, bit: int) -> None:
    """Flip one bit of a file."""
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def test_no_bit_of_the_first_line_costs_another_line(path):
    first_line = path.read_bytes().index(b"\n") + 1
    whole = path.read_bytes()
    for bit in range(8 * first_line):
        path.write_bytes(whole)
        flip(path, bit)
        assert read_journal(path) == ENTRIES[1:], bit
        journal = Journal(path)
        assert journal.has_lost_start
        journal.restore_start(ENTRIES[0])
        assert path.read_bytes() == whole
        assert not Journal(path).has_lost_start


@pytest.mark.parametrize("text", [b"no JSON", b"[1]", b"5", b"null", b"\xff", b"[" * 10**5])
def test_a_line_with_the_right_checksum_that_is_no_entry_counts_as_damaged(text, path):
    with path.open("ab") as file:
        file.write(b"%08x %b\n" % (zlib.crc32(text), text))
    assert read_journal(path) == ENTRIES
    Journal(path).append({"more": 1})
    assert read_journal(path) == [*ENTRIES, {"more": 1}]


@pytest.mark.parametrize("kind", ["folder", "pipe", "link"])
def test_what_is_not_a_file_is_an_error_and_not_waited_for(kind, tmp_path):
    path = tmp_path / "journal"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises(OSError):
        read_journal(path)
