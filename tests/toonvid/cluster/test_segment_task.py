"""What a node does with a request, and what the driver does with its results; without Ray."""

from __future__ import annotations

import json
import os
import pickle
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from support.clips import Clip, Tone, moving_frames
from support.tiny_engines import negative_engine

from toonvid.backends import Backend, open_backend
from toonvid.cluster.check_frames import check_digest
from toonvid.cluster.cluster_job import ClusterJob
from toonvid.cluster.request import SegmentRequest
from toonvid.cluster.segment_task import _task_folder, make_segments
from toonvid.cluster.source_copy import copies_folder, copy_once
from toonvid.pipeline import ConvertOptions
from toonvid.reading.options import DecodeOptions
from toonvid.resume import segmented
from toonvid.resume.job_state import read_job_state
from toonvid.stylizing.options import StylizeOptions
from toonvid.writing.options import EncodeOptions

F = Fraction
OPTIONS = ConvertOptions(segment_seconds=F(1, 5), command="toonvid convert secret.mp4")


@pytest.fixture(autouse=True)
def styles(engines_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nodes find the engine `identity` by its name."""
    monkeypatch.setenv("TOONVID_ENGINES", str(engines_folder))


@pytest.fixture
def video(tmp_path: Path) -> Path:
    clip = Clip(moving_frames(48), options={"g": "12"}, audio=(Tone(seconds=F(2)),))
    return clip.write(tmp_path / "video.mp4")


@pytest.fixture
def plain(video: Path, tmp_path: Path, identity: Backend) -> bytes:
    segmented.convert(video, tmp_path / "plain.mp4", identity, OPTIONS)
    return (tmp_path / "plain.mp4").read_bytes()


@pytest.fixture
def job(video: Path, tmp_path: Path, identity: Backend) -> Iterator[ClusterJob]:
    job = ClusterJob(str(video), str(tmp_path / "target.mp4"), identity, OPTIONS).open()
    yield job
    job.close()


def request(job: ClusterJob, piece: int | None) -> SegmentRequest:
    digest = check_digest(job.conversion.backend, OPTIONS, "check.mp4")
    return job.request(piece, driver_node="here", check_digest=digest)


def made(request: SegmentRequest) -> list[dict[str, object]]:
    return list(make_segments(request.to_plain(), []))


def test_segments_of_nodes_in_any_order_give_the_bytes_of_a_plain_run(job, plain, tmp_path):
    pieces = list(job.waiting)
    assert pieces == list(range(10))
    random.Random(4).shuffle(pieces)
    for number, piece in enumerate(pieces, start=1):
        (result,) = made(request(job, piece))
        assert job.take(piece, result)
        state = read_job_state(tmp_path / "target.mp4")
        assert state is not None
        assert state.segments == number
        assert state.finished_seconds <= 48 / 25 + 0.01
    assert job.is_made
    done = job.join()
    assert done.frames == 48
    assert (done.stage_seconds, done.first_frame_seconds, done.slowest_stage) == ({}, None, None)
    assert (tmp_path / "target.mp4").read_bytes() == plain


def test_a_source_without_a_plan_is_made_in_one_piece(tmp_path, identity):
    source = Clip(moving_frames(30)).write(tmp_path / "video.ts")
    segmented.convert(source, tmp_path / "plain.mp4", identity, OPTIONS)
    job = ClusterJob(str(source), str(tmp_path / "target.mp4"), identity, OPTIONS).open()
    assert list(job.waiting) == [None]
    results = make_segments(request(job, None).to_plain(), [])
    assert job.take(None, next(results))
    results.close()  # the node is lost
    for result in make_segments(request(job, None).to_plain(), []):
        assert job.take(None, result)
    assert job.is_made
    job.join()
    assert (tmp_path / "target.mp4").read_bytes() == (tmp_path / "plain.mp4").read_bytes()


def test_a_plan_that_does_not_hold_is_given_up(job, tmp_path, plain):
    (second,) = made(request(job, 1))
    assert job.take(1, second)
    (result,) = made(replace(request(job, 5), begin=F(26, 25)))  # a frame late
    assert job.take(5, result)  # nothing is wrong with it so far
    (fourth,) = made(request(job, 4))
    assert not job.take(4, fourth)  # but it does not follow this one
    assert list(job.waiting) == [None]
    for result in make_segments(request(job, None).to_plain(), []):
        assert job.take(None, result)
    job.join()
    assert (tmp_path / "target.mp4").read_bytes() == plain


def test_a_place_without_a_frame_is_a_plan_that_does_not_hold(job):
    (result,) = made(replace(request(job, 3), begin=F(31, 50)))
    assert result == {"kind": "misplanned"}
    assert not job.take(3, result)


@pytest.mark.parametrize("spoil", ["content", "number", "name"])
def test_a_result_that_was_damaged_on_the_way_is_refused(spoil, job):
    (result,) = made(request(job, 2))
    piece = 2
    if spoil == "content":
        result["content"] = bytes(result["content"])[:-1] + b"x"
    elif spoil == "number":
        piece = 3
    else:
        result["finished"]["segment"]["name"] = "../000002.segment"
    with pytest.raises(ValueError, match="damaged on the way"):
        job.take(piece, result)
    assert job.conversion.work_folder.finished == {}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"made_with": {"toonvid's version": "0.0.9"}}, "toonvid's version is .* here and 0.0.9"),
        ({"made_with": {"libx264's version": "200"}}, "libx264's version is not there here"),
        ({"check_digest": "f" * 64}, "other bytes here than on the machine of the run"),
    ],
)
def test_a_node_that_would_give_other_bytes_refuses(changes, reason, job):
    (result,) = made(replace(request(job, 0), **changes))
    assert result["kind"] == "refused"
    assert re.search(reason, str(result["reason"]))


def test_the_check_frames_tell_engines_and_encoders_apart(identity, tmp_path):
    with open_backend(negative_engine(tmp_path), precision="f32") as negative:
        digests = [
            check_digest(identity, OPTIONS, "check.mp4"),
            check_digest(negative, OPTIONS, "check.mp4"),
            check_digest(identity, replace(OPTIONS, encoding=EncodeOptions(crf=30)), "c.mp4"),
            check_digest(identity, OPTIONS, "check.mp4", encoder_threads=3),
        ]
    assert len(set(digests)) == 4
    assert check_digest(identity, OPTIONS, "check.mp4") == digests[0]


def test_a_full_disk_makes_a_node_refuse_and_a_source_that_it_cannot_read_fail(job, monkeypatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", "/tmp/copy")

    with monkeypatch.context() as patched:
        patched.setattr("toonvid.cluster.segment_task.source_on_this_node", full)
        (result,) = made(request(job, 0))
    assert result == {"kind": "refused", "reason": "No space left on device: /tmp/copy"}
    asked = request(job, 0)
    limited = replace(OPTIONS, decoding=DecodeOptions(max_pixels=9))  # of no effect on the bytes
    (result,) = made(replace(asked, options=limited))
    assert result["kind"] == "failed"
    assert "more than" in str(result["reason"]) or "pixels" in str(result["reason"])


class RayTaskError(FileNotFoundError):
    """As Ray raises it: a traceback for a text, and the error in `cause`."""

    def __init__(self, cause: OSError) -> None:
        super().__init__("\x1b[36mray::read_chunk()\x1b[39m\n  File ...\nFileNotFoundError")
        self.cause = cause


def test_a_source_that_the_driver_lost_is_named_in_one_line(job, monkeypatch):
    def lost(*_: object) -> None:
        raise RayTaskError(FileNotFoundError(2, "No such file or directory", "/films/a.mp4"))

    monkeypatch.setattr("toonvid.cluster.segment_task.source_on_this_node", lost)
    (result,) = made(request(job, 0))
    assert result == {"kind": "failed", "reason": "No such file or directory: /films/a.mp4"}


def test_a_node_that_fails_three_times_gets_no_more_of_the_source(job):
    for piece in range(2):
        job.note_failure(piece, "one", f"no {piece}")
    job.note_failure(0, "two", "no")
    assert job.failed_nodes == {}
    job.note_failure(0, "one", "no more")
    assert job.failed_nodes == {"one": "no more"}
    assert job.failures == {0: 3, 1: 1}


KILLED = """
import os, signal, sys
from toonvid.cluster.segment_task import _task_folder
with _task_folder() as folder:
    (folder / "000000.segment").write_bytes(b"x")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_folder_of_a_killed_task_is_deleted_by_the_next_and_that_of_a_live_one_is_not(
    job, tmp_path, monkeypatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    subprocess.run([sys.executable, "-c", KILLED], check=False)
    (left,) = (tmp_path / "cache").rglob("*.segment")
    with _task_folder() as live:
        assert not left.exists()
        (live / "000001.segment").write_bytes(b"x")
        (result,) = made(request(job, 0))
        assert result["kind"] == "segment"
        assert list((tmp_path / "cache").rglob("*.segment")) == [live / "000001.segment"]
    assert not list((tmp_path / "cache").rglob("*.segment"))
    assert list(live.parent.iterdir()) == []


def test_a_node_without_a_cache_folder_uses_the_temporary_one(job, tmp_path, monkeypatch):
    (tmp_path / "cache").write_bytes(b"a file where the folder would be")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    other = tmp_path / "temporary" / ".toonvid-segments-of-somebody-else.part"
    other.mkdir()
    subprocess.run([sys.executable, "-c", KILLED], check=False)
    (left,) = tmp_path.rglob("*.segment")
    (result,) = made(request(job, 0))
    assert result["kind"] == "segment"
    assert not left.exists()
    assert list((tmp_path / "temporary").iterdir()) == [other]


def test_a_copy_that_is_about_to_be_read_is_not_deleted_as_unused(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    copy = copies_folder("a node") / "copy.mp4"
    copy_once(copy, 1, lambda: iter([b"x"]))
    yesterday = time.time() - 25 * 3600
    os.utime(copy, (yesterday, yesterday))
    copy_once(copy, 1, lambda: pytest.fail("the copy is there"))
    with _task_folder():
        assert copy.is_file()


def test_requests_are_plain_values_without_the_command_line(job):
    asked = request(job, 7)
    plain = json.loads(json.dumps(asked.to_plain()))
    assert "secret" not in json.dumps(plain)
    assert SegmentRequest.from_plain(plain) == replace(asked, options=replace(OPTIONS, command=""))
    for wrong in ({"number": "7"}, {"begin": 3}, {"engine": None}):
        with pytest.raises((ValueError, NotImplementedError)):
            SegmentRequest.from_plain(plain | wrong)


def test_functions_cross_by_their_names():
    assert len(pickle.dumps(make_segments)) < 100


def test_other_options_cross_too(video, tmp_path, identity):
    options = replace(
        OPTIONS,
        stylizing=StylizeOptions(steady=0, compare="horizontal", strength=0.5),
        decoding=DecodeOptions(size=(48, 48), start=F(1, 3)),
    )
    segmented.convert(video, tmp_path / "plain.mp4", identity, options)
    job = ClusterJob(str(video), str(tmp_path / "target.mp4"), identity, options).open()
    for piece in list(job.waiting):
        (result,) = made(job.request(piece, "here", ""))
        assert result["kind"] == "segment", result
        assert job.take(piece, result)
    job.join()
    assert (tmp_path / "target.mp4").read_bytes() == (tmp_path / "plain.mp4").read_bytes()
