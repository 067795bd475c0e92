"""A fingerprint changes with the file; a job's identity with what changes the target."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from support.tiny_engines import controlled_engine, identity_engine

from toonvid.backends import Backend, open_backend
from toonvid.errors import SourceError
from toonvid.pipeline import ConvertOptions
from toonvid.resume.fingerprint import SIZE_KEY, Job, fingerprint
from toonvid.stylizing.options import StylizeOptions

LARGE = 64 * 65536 + 1000  # more than is read of a file
TIME = "the source's time of change"


@pytest.fixture(params=[0, 100, LARGE])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "film.mp4"
    path.write_bytes(bytes(range(250)) * (request.param // 250) + b"x" * (request.param % 250))
    return path


def test_the_same_file_has_the_same_fingerprint(source):
    assert fingerprint(source, 0) == fingerprint(source, 30)
    assert fingerprint(source, 0)[SIZE_KEY] == str(source.stat().st_size)


def test_a_changed_end_changes_the_fingerprint_even_at_the_same_time(source):
    before, status = fingerprint(source, 0), source.stat()
    with source.open("r+b") as file:
        file.seek(max(0, status.st_size - 1))
        file.write(b"\0")
    os.utime(source, ns=(status.st_atime_ns, status.st_mtime_ns))
    after = fingerprint(source, 0)
    assert after != before
    assert after[TIME] == before[TIME]


def test_a_missing_source_is_named(tmp_path):
    with pytest.raises(SourceError, match=r"film\.mp4 cannot be read: No such file"):
        fingerprint(tmp_path / "film.mp4", 0)


def test_identity_is_that_of_content_and_options_alone():
    job = Job("a.mp4", {SIZE_KEY: "1", TIME: "1"}, {"--crf": "18", "--decode": "software"}, {})
    for same in (
        replace(job, source="b.mp4", versions={"toonvid's version": "9"}, command="x"),
        replace(job, fingerprint={SIZE_KEY: "1", TIME: "2"}),
        replace(job, options={"--crf": "18", "--decode": "nvdec"}),
    ):
        assert same.identity == job.identity
    for other in (
        replace(job, fingerprint={SIZE_KEY: "2", TIME: "1"}),
        replace(job, options={"--crf": "19", "--decode": "software"}),
    ):
        assert other.identity != job.identity


def test_a_job_names_the_controls_of_its_style_with_their_values(tmp_path, identity):
    source = tmp_path / "film.mp4"
    source.touch()

    def options(backend: Backend, **controls: float) -> dict[str, str]:
        asked = ConvertOptions(stylizing=StylizeOptions(**controls))
        return Job.describe(source, backend, asked).options

    with open_backend(controlled_engine(tmp_path), precision="f32") as backend:
        default, changed = options(backend), options(backend, ink=0.5)
        assert (default["--ink"], default["--tones"]) == ("1.0", "4.0")
        assert {name for name in default if default[name] != changed[name]} == {"--ink"}
        assert changed["--ink"] == "0.5"
        assert options(backend, ink=1, tones=4) == default
        assert "--saturation" not in default
    # As before there were controls, so that finished targets are known again.
    assert not {"--ink", "--tones", "--saturation"} & set(options(identity))


def test_a_difference_names_what_differs():
    job = Job("a.mp4", {}, {"--crf": "18"}, {"toonvid's version": "1"})
    assert job.difference(replace(job, source="b.mp4")) is None
    assert job.difference(replace(job, options={"--crf": "20"})) == "--crf was 18, is 20"
    assert job.difference(replace(job, versions={})) == "toonvid's version was 1, is not there"


def test_the_multiple_of_an_engine_belongs_to_the_job(source, tmp_path):
    """Frames are padded to it, so the cartoon's right and lower edges depend on it."""
    jobs = []
    for multiple_of in (1, 8):
        engine = identity_engine(tmp_path / str(multiple_of), multiple_of)
        with open_backend(engine, precision="f32") as backend:
            jobs.append(Job.describe(source, backend, ConvertOptions()))
    assert jobs[0].identity != jobs[1].identity
    assert jobs[0].difference(jobs[1]) == "the multiple of its sides was 1, is 8"


def test_a_stored_command_has_no_passwords(source, tmp_path):
    with open_backend(identity_engine(tmp_path), precision="f32") as backend:
        options = ConvertOptions(command="toonvid convert film.mp4 rtsp://me:secret@box/1")
        job = Job.describe(source, backend, options)
    assert job.command == "toonvid convert film.mp4 rtsp://box/1"
