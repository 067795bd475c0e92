"""A run over a folder leaves finished targets as they are, and no other file counts as finished."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from support.clips import Clip, Tone, image_file, moving_frames
from support.run_toonvid import Ended, run_here

from toonvid.backends import Backend
from toonvid.pipeline import ConvertOptions
from toonvid.reading.options import DecodeOptions
from toonvid.resume.finished_target import is_finished_target
from toonvid.resume.segmented import convert
from toonvid.stylizing.options import StylizeOptions
from toonvid.writing.options import EncodeOptions
from toonvid.writing.part_folder import part_folder

SUFFIXES = ["mp4", "mov", "m4v", "mkv", "webm", "ts", "gif", "png", "jpg", "webp"]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return Clip(moving_frames(75), audio=(Tone(seconds=3),)).write(tmp_path / "source.mp4")


@pytest.fixture
def made(source: Path, identity: Backend, tmp_path: Path) -> Callable[[str], tuple[Path, Path]]:
    """A source and a target of a kind, finished."""

    def make(suffix: str) -> tuple[Path, Path]:
        target = tmp_path / f"target.{suffix}"
        begin = source
        if suffix in ("png", "jpg", "webp"):
            begin = tmp_path / "image.png"
            begin.write_bytes(image_file(moving_frames(1)[0], "png"))
        convert(begin, target, identity)
        return begin, target

    return make


def is_finished(
    pair: tuple[Path, Path], backend: Backend, options: ConvertOptions | None = None
) -> bool:
    return is_finished_target(str(pair[0]), str(pair[1]), backend, options or ConvertOptions())


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_finished_target_is_recognized(suffix, made, identity):
    assert is_finished(made(suffix), identity)


@pytest.mark.parametrize("suffix", [suffix for suffix in SUFFIXES if suffix != "ts"])
@pytest.mark.parametrize("share", [0.5, 0.99])
def test_a_target_that_was_cut_short_is_not_finished(suffix, share, made, identity):
    source, target = made(suffix)
    content = target.read_bytes()
    target.write_bytes(content[: int(len(content) * share)])
    assert not is_finished((source, target), identity)


@pytest.mark.parametrize("suffix", ["mp4", "gif", "png"])
def test_a_target_of_other_options_or_another_engine_is_not_finished(
    suffix, made, identity, engines_folder
):
    from toonvid.backends import open_backend
    from toonvid.engine import find_engine

    pair = made(suffix)
    for other in (
        ConvertOptions(decoding=DecodeOptions(size=32)),
        ConvertOptions(stylizing=StylizeOptions(strength=0.5)),
        ConvertOptions(encoding=EncodeOptions(crf=30)),
    ):
        assert not is_finished(pair, identity, other)
    unlimited = DecodeOptions(max_pixels=9**9, stall_seconds=1)
    assert is_finished(pair, identity, ConvertOptions(decoding=unlimited))
    with open_backend(find_engine(str(engines_folder / "negative.onnx")), precision="f32") as other:
        assert not is_finished(pair, other)


def test_a_target_of_a_source_that_was_changed_is_not_finished(made, identity):
    source, target = made("mp4")
    later = target.stat().st_mtime + 5
    os.utime(source, (later, later))
    assert not is_finished((source, target), identity)
    os.utime(source, (later - 100, later - 100))
    assert is_finished((source, target), identity)
    content = bytearray(source.read_bytes())
    content[-1] ^= 1
    source.write_bytes(content)
    os.utime(source, (later - 100, later - 100))
    assert not is_finished((source, target), identity)


def test_a_file_that_toonvid_did_not_write_is_not_finished(source, identity, tmp_path):
    assert not is_finished((source, source), identity)
    assert not is_finished((source, tmp_path / "none.mp4"), identity)
    assert not is_finished((tmp_path / "none.mp4", source), identity)


def test_leftovers_of_a_run_that_was_killed_after_publishing_are_deleted(made, identity):
    source, target = made("mp4")
    folder = part_folder(target)
    folder.mkdir()
    for name in ("journal", "000000.segment", "lock"):
        (folder / name).write_bytes(b"x")
    assert is_finished((source, target), identity)
    assert not folder.exists()


def test_the_same_command_again_converts_what_is_missing(
    scene_video, engines_folder, tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv("TOONVID_ENGINES", str(engines_folder))
    videos = tmp_path / "videos"
    videos.mkdir()
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        (videos / name).write_bytes(scene_video.read_bytes())
    (videos / "d.png").write_bytes(image_file(moving_frames(1)[0], "png"))

    def run(*words: str) -> Ended:
        return run_here(capsys, "convert", videos, "-o", f"{tmp_path}/out/", "--style", "negative",
                        *words)  # fmt: skip

    first = run()
    assert first.code == 0 and "finished before" not in first.err
    out = tmp_path / "out"
    times = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    assert len(times) == 4
    (out / "b.toon.mp4").unlink()
    again = run("--json")
    assert again.code == 0
    assert "3 of 4 sources were finished before and skipped" in again.err
    lines = [json.loads(line) for line in again.out.splitlines()]
    assert [line.get("done_before", False) for line in lines] == [True, False, True, True]
    for path in out.iterdir():
        assert (path.stat().st_mtime_ns == times[path.name]) == (path.name != "b.toon.mp4")
    other = run("--crf", "30")
    assert other.code == 1
    assert (
        other.err.count("is there already") == 3
    )  # --crf has no effect on an image, but is part of its job
    anew = run("--overwrite")
    assert anew.code == 0 and "finished before" not in anew.err


def test_an_existing_target_of_one_source_is_refused(
    scene_video, engines_folder, tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv("TOONVID_ENGINES", str(engines_folder))
    options = ("convert", scene_video, "-o", tmp_path / "a.mp4", "--style", "negative")
    assert run_here(capsys, *options).code == 0
    refused = run_here(capsys, *options)
    assert refused.code == 1 and "is there already" in refused.err
