"""Journals that toonvid 0.1 has written are read, and what is written now has the same names."""

from __future__ import annotations

import json
import shutil
from fractions import Fraction
from pathlib import Path

import pytest

from toonvid.resume.job_state import read_job_state
from toonvid.resume.journal import Journal, JournalEntry, read_journal
from toonvid.resume.journal_entries import (
    FinishedSegment,
    SourceEnd,
    frame_kind,
    job_entry,
    read_job,
    read_segments,
    read_source_end,
    segment_entry,
    source_end_entry,
)
from toonvid.resume.segment_file import Segment
from toonvid.writing.part_folder import part_folder

OLD_JOURNAL = Path(__file__).parent / "data" / "journal-0.1"
"""A journal as toonvid 0.1 left it when it was stopped before the join."""
LAST_HASH = "65b3cc12ef816acd6730c79dc3c6e7d9"


@pytest.fixture
def entries() -> list[JournalEntry]:
    return read_journal(OLD_JOURNAL)


def test_the_job_of_an_old_journal_is_read(entries):
    job = read_job(entries)
    assert job is not None
    assert job.source.endswith("film.mp4")
    assert job.command == "toonvid convert film.mp4"
    assert job.duration_seconds == 0.48
    assert job.options["--strength"] == "1.0"
    assert job.versions["toonvid's version"] == "0.1.0"


def test_the_identity_of_a_job_is_the_one_that_old_targets_carry(entries):
    job = read_job(entries)
    assert job is not None
    assert job.identity == "46cf37c0571c6185"


def test_the_segments_of_an_old_journal_are_read(entries):
    finished = read_segments(entries)
    assert sorted(finished) == [0, 1, 2]
    last = finished[2]
    assert (last.segment.name, last.segment.size) == ("000002.segment", 925)
    assert last.end_seconds == 0.48
    assert last.last_source_frames[-1] == ["11/25", LAST_HASH]
    assert last.source_is_intact
    frame = last.template_frame
    assert frame.pixels.shape == (48, 64, 3)
    assert (frame.time_base, frame.alpha) == (Fraction(1, 12800), None)
    assert frame_kind(frame) == last.frame_kind


def test_the_end_of_an_old_journal_is_read(entries):
    end = SourceEnd(segments=3, frames=12, end_seconds=0.48, notices=[], damage=None)
    assert read_source_end(entries) == end
    assert read_source_end(entries[:-1]) is None


def test_what_is_written_now_is_what_was_written_then(entries, tmp_path):
    job, end = read_job(entries), read_source_end(entries)
    assert job is not None and end is not None
    journal = Journal(tmp_path / "journal")
    journal.append(job_entry(job))
    for finished in read_segments(entries).values():
        journal.append(segment_entry(finished))
    journal.append(source_end_entry(end))
    assert journal.path.read_bytes() == OLD_JOURNAL.read_bytes()


def test_the_state_of_an_old_conversion_is_known(tmp_path):
    target = tmp_path / "target.mp4"
    part_folder(target).mkdir()
    shutil.copy(OLD_JOURNAL, part_folder(target) / "journal")
    state = read_job_state(target)
    assert state is not None
    assert (state.segments, state.frames, state.finished_seconds) == (3, 12, 0.48)
    assert state.awaits_join
    assert state.process_id is None


def test_the_last_line_of_a_segment_counts():
    segment = Segment("000000.segment", 1, "0" * 64, 1, 0)
    lines = [
        segment_entry(FinishedSegment(0, segment, seconds, [], True, ["1", "1", "1", "False"]))
        for seconds in (1.0, 2.0)
    ]
    assert read_segments(lines)[0].end_seconds == 2.0


@pytest.mark.parametrize("before", [None, [], [["0", "0" * 32]]])
def test_what_a_segment_was_made_behind_is_read_as_it_was_written(before):
    segment = Segment("000001.segment", 1, "0" * 64, 1, 0)
    kind = ["1", "1", "1", "False"]
    finished = FinishedSegment(1, segment, 1.0, [], True, kind, frames_before=before)
    (found,) = read_segments([segment_entry(finished)]).values()
    assert found == finished
    assert found.follows([["1", "1" * 32]]) == (before is None)


@pytest.mark.parametrize(
    "spoilt",
    [
        {"job": {"source": "film.mp4", "mood": "good"}},
        {"job": ["film.mp4"]},
        {"finished": {}},
        {},
    ],
)
def test_a_journal_of_another_version_has_no_job(spoilt, entries):
    assert read_job([spoilt, *entries[1:]]) is None
    assert read_job([]) is None


def change(entry: JournalEntry, *keys: str, to: object) -> JournalEntry:
    """Return a copy of an entry with another value at a place."""
    changed = json.loads(json.dumps(entry))
    place = changed
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = to
    return changed


@pytest.mark.parametrize(
    ("line", "keys", "value"),
    [
        (0, ("job", "fingerprint"), [1]),
        (0, ("job", "options"), None),
        (0, ("job", "seconds"), "x"),
        (1, ("finished", "number"), "0"),
        (1, ("finished", "number"), -1),
        (1, ("finished", "number"), 10**9),
        (1, ("finished", "film_seconds"), None),
        (1, ("finished", "like"), ["x", "1", "1/12", "False"]),
        (1, ("finished", "like"), ["1000000000", "1000000000", "1/12", "False"]),
        (1, ("finished", "like"), ["1", "1", "1/0", "False"]),
        (1, ("finished", "like"), []),
        (1, ("finished", "tail"), 5),
        (1, ("finished", "tail"), [["1/0", "0"]]),
        (1, ("finished", "tail"), [["1"]]),
        (1, ("finished", "segment", "name"), "../000000.segment"),
        (1, ("finished", "segment", "name"), 5),
        (1, ("finished", "segment", "size"), "x"),
        (1, ("finished", "segment", "frames"), None),
        (1, ("finished", "segment", "depth"), -1),
        (4, ("whole", "notices"), 5),
        (4, ("whole", "frames"), "x"),
    ],
)
def test_wrong_contents_with_the_right_checksum_are_refused(line, keys, value, entries, tmp_path):
    entries[line] = change(entries[line], *keys, to=value)
    assert read_job(entries) is None
    target = tmp_path / "target.mp4"
    part_folder(target).mkdir()
    for entry in entries:
        Journal(part_folder(target) / "journal").append(entry)
    assert read_job_state(target) is None
