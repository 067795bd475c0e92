"""Copies of sources and engines on a node: once, whole, and checked."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.tiny_engines import identity_engine

from toonvid.cluster import source_copy
from toonvid.cluster.request import EngineRequest, SourceRequest
from toonvid.cluster.source_copy import (
    copy_once,
    copy_path,
    delete_unused,
    engine_files,
    engine_on_this_node,
)
from toonvid.errors import EngineError
from toonvid.resume.fingerprint import fingerprint
from toonvid.writing.part_folder import PartFolder


class Asked(Exception):
    """Raised by tests in place of a copy over the network."""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "video.mp4"
    path.write_bytes(bytes(range(256)) * 4)
    return path


def request_for(path: Path) -> SourceRequest:
    return SourceRequest(str(path), fingerprint(path, 0), "elsewhere")


def test_a_source_at_the_same_path_is_read_there_and_another_file_is_not(source, monkeypatch):
    def ask() -> None:
        raise Asked

    monkeypatch.setattr(source_copy, "load_ray", ask)
    asked = request_for(source)
    assert source_copy.source_on_this_node(asked, 0) == source
    source.write_bytes(source.read_bytes()[:-1] + b"x")
    with pytest.raises(Asked):
        source_copy.source_on_this_node(asked, 0)
    source.unlink()
    with pytest.raises(Asked):
        source_copy.source_on_this_node(asked, 0)


def test_a_copy_is_made_once_for_all_processes_of_a_node(source, tmp_path):
    copy = copy_path(tmp_path / "copies" / "node", request_for(source))
    all_started, reads = threading.Event(), []

    def chunks() -> Iterator[bytes]:
        reads.append(1)
        all_started.wait(60)
        yield source.read_bytes()[:100]
        yield source.read_bytes()[100:]

    threads = [threading.Thread(target=copy_once, args=(copy, 1, chunks)) for _ in range(3)]
    for thread in threads:
        thread.start()
    all_started.set()
    for thread in threads:
        thread.join(60)
    assert len(reads) == 1
    assert copy.read_bytes() == source.read_bytes()
    assert [path.name for path in copy.parent.iterdir()] == [copy.name]


def test_a_copy_that_does_not_fit_or_breaks_off_leaves_nothing(tmp_path):
    copy = tmp_path / "copies" / "node" / "copy.mp4"
    with pytest.raises(OSError, match="No space left"):
        copy_once(copy, 10**18, lambda: iter([b"x"]))

    def broken() -> Iterator[bytes]:
        yield b"begin"
        raise ConnectionError

    with pytest.raises(ConnectionError):
        copy_once(copy, 1, broken)
    assert list(copy.parent.iterdir()) == []


def test_what_killed_runs_left_is_deleted_after_a_day(tmp_path):
    used, unused = tmp_path / "used", tmp_path / "unused"
    for folder in (used, unused):
        for name in ("1.mp4", "2.mp4", ".3.mp4.part/target.mp4", ".4.mp4.part/target.mp4"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(b"x")
    two_days_ago = time.time() - 2 * 86400
    with PartFolder(used / "4.mp4") as written:
        written.file.write_bytes(b"x")
        for path in [*tmp_path.rglob("*")]:
            if path != used / "1.mp4":
                os.utime(path, (two_days_ago, two_days_ago))
        delete_unused(tmp_path)
        assert {path.name for path in used.iterdir()} == {"1.mp4", ".4.mp4.part"}
        assert written.file.exists()
    assert list(tmp_path.iterdir()) == [used]


class Store:
    """Ray's object store, whose references are the values themselves."""

    @staticmethod
    def get(reference: object) -> object:
        return reference


def test_an_engine_is_taken_from_what_was_sent_if_it_is_the_right_one(tmp_path, monkeypatch):
    monkeypatch.setattr(source_copy, "load_ray", Store)
    sent = identity_engine(tmp_path / "driver", style="sent")
    asked = EngineRequest("sent", sent.card.sha256, "openvino", "CPU", "f32")
    folder = tmp_path / "node"
    folder.mkdir()
    with engine_on_this_node(asked, folder, [engine_files(sent)]) as engine:
        assert engine.folder == folder
        engine.check_files()
    other = replace(asked, sha256={"sent.onnx": "0" * 64})
    with pytest.raises(EngineError), engine_on_this_node(other, folder, [engine_files(sent)]):
        pass
    outside = engine_files(sent) | {"../outside": b"x"}
    with pytest.raises(EngineError), engine_on_this_node(asked, folder, [outside]):
        pass
    assert not (tmp_path / "outside").exists()


def test_an_engine_that_is_here_is_not_fetched(tmp_path, monkeypatch):
    here = identity_engine(tmp_path / "engines", style="here")
    monkeypatch.setenv("TOONVID_ENGINES", str(tmp_path / "engines"))
    asked = EngineRequest("here", here.card.sha256, "openvino", "CPU", "f32")
    with engine_on_this_node(asked, tmp_path, []) as engine:
        assert engine.folder == tmp_path / "engines"
