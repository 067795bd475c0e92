"""A file is replaced as a whole, safe on disk, or not at all."""

from __future__ import annotations

import os
import stat
import sys
import threading
from pathlib import Path

import pytest

from toonvid.files import move_into_place, write_atomically


def test_content_is_written_and_replaced_and_nothing_else_is_left(tmp_path):
    path = tmp_path / "file"
    write_atomically(path, b"one")
    assert path.read_bytes() == b"one"
    write_atomically(path, b"\r\ntwo\n")
    assert path.read_bytes() == b"\r\ntwo\n"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(sys.platform == "win32", reason="permissions of POSIX")
def test_permissions_are_those_asked_for_less_the_umask(tmp_path):
    before = os.umask(0o022)
    try:
        write_atomically(tmp_path / "shared", b"")
        write_atomically(tmp_path / "private", b"", mode=0o600)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "shared").stat().st_mode) == 0o644
    assert stat.S_IMODE((tmp_path / "private").stat().st_mode) == 0o600


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_disk_that_fails_leaves_the_old_file_and_nothing_beside_it(
    failing, tmp_path, monkeypatch
):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, failing, fail)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "none" / "file", b"")


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="only Linux has /proc")
def test_the_file_is_synced_before_it_is_moved_and_its_folder_after_that(tmp_path, monkeypatch):
    done: list[str] = []
    fsync, replace = os.fsync, os.replace

    def noted_fsync(descriptor: int) -> None:
        done.append(f"sync {Path(f'/proc/self/fd/{descriptor}').readlink().name}")
        fsync(descriptor)

    def noted_replace(source: Path, target: Path) -> None:
        done.append("move")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    write_atomically(tmp_path / "file", b"new")
    name = f".file.{os.getpid()}-{threading.get_ident()}.part"
    assert done == [f"sync {name}", "move", f"sync {tmp_path.name}"]


def test_a_link_in_the_place_of_the_temporary_file_is_not_followed(tmp_path):
    diary = tmp_path / "diary.txt"
    diary.write_text("mine")
    name = f".file.{os.getpid()}-{threading.get_ident()}.part"
    (tmp_path / name).symlink_to(diary)
    write_atomically(tmp_path / "file", b"new")
    assert diary.read_text() == "mine"
    assert (tmp_path / "file").read_bytes() == b"new"


def test_threads_that_write_the_same_file_leave_one_of_their_contents(tmp_path):
    path = tmp_path / "file"
    contents = [bytes([number]) * 10_000 for number in range(8)]
    threads = [threading.Thread(target=write_atomically, args=(path, c)) for c in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_bytes() in contents
    assert list(tmp_path.iterdir()) == [path]


def test_a_finished_file_is_moved(tmp_path):
    written = tmp_path / "part"
    written.write_bytes(b"new")
    (tmp_path / "file").write_bytes(b"old")
    move_into_place(written, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]
