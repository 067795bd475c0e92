"""Names of files that are not UTF-8, as old archives and other systems leave them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from PIL import Image
from support.clips import Clip, frame_times
from support.run_toonvid import run_here

from toonvid.resume.join import join

NAME = os.fsdecode(b"name_\xff")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / os.fsdecode(b"folder_\xfe")
    (folder / NAME).mkdir(parents=True)
    Clip().write(tmp_path / "a.mp4").rename(folder / f"{NAME}.mp4")
    Clip().write(tmp_path / "b.mkv").rename(folder / NAME / f"{NAME}.mkv")
    Image.new("RGB", (32, 32), "red").save(tmp_path / "c.png")
    (tmp_path / "c.png").rename(folder / f"{NAME}.png")
    return folder


@pytest.mark.usefixtures("only_tiny_engines")
def test_a_folder_of_such_names_is_converted_and_known_again(folder, tmp_path, capsys):
    command = ["convert", folder, "-o", f"{tmp_path}/{NAME}/", "--style", "identity", "--json"]
    ended = run_here(capsys, *command)
    assert ended.code == 0, ended.err
    results = [json.loads(line) for line in ended.out.splitlines()]
    assert [Path(result["target"]).exists() for result in results] == [True] * 3
    assert {Path(result["source"]).suffix for result in results} == {".mp4", ".mkv", ".png"}
    again = run_here(capsys, *command)
    assert again.code == 0
    assert [json.loads(line)["done_before"] for line in again.out.splitlines()] == [True] * 3


@pytest.mark.usefixtures("only_tiny_engines")
def test_a_stopped_conversion_is_shown_and_resumed(folder, tmp_path, capsys, monkeypatch):
    source, target = folder / f"{NAME}.mp4", tmp_path / f"{NAME}.mp4"
    command = ["convert", source, "-o", target, "--style", "identity"]
    monkeypatch.setattr("toonvid.resume.segmented.join", _fail)
    assert run_here(capsys, *command).code != 0
    status = run_here(capsys, "convert", "--status", target, "--json")
    assert status.code == 0 and json.loads(status.out)["frames"] == 6
    assert "name_" in run_here(capsys, "convert", "--status", target).out
    monkeypatch.setattr("toonvid.resume.segmented.join", join)
    ended = run_here(capsys, *command)
    assert ended.code == 0, ended.err
    assert "6 more were finished before" in ended.err
    assert len(frame_times(target)) == 6


def _fail(**_: object) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.usefixtures("only_tiny_engines")
def test_an_error_names_the_file(tmp_path, capsys):
    ended = run_here(capsys, "convert", tmp_path / f"{NAME}.mp4", "--style", "identity")
    assert ended.code == 1
    assert "no such file" in ended.err and len(ended.err.splitlines()) <= 2
