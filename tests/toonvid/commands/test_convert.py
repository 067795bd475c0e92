"""`toonvid convert` from the command line: what is left behind, and what newcomers read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.run_toonvid import run_here

from toonvid.resume.work_folder import WorkFolder
from toonvid.writing.part_folder import part_folder

pytestmark = pytest.mark.usefixtures("only_tiny_engines")
STYLE = ("--style", "identity")


def test_a_run_that_was_killed_before_it_could_tidy_is_finished_by_the_same_command(
    scene_video: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    target = tmp_path / "target.mkv"
    with monkeypatch.context() as patch:
        patch.setattr(WorkFolder, "remove", lambda _: None)
        assert run_here(capsys, "convert", scene_video, "-o", target, *STYLE).code == 0
    assert sorted(path.name for path in part_folder(target).iterdir()) != []
    whole = target.read_bytes()
    other = run_here(capsys, "convert", scene_video, "-o", target, *STYLE, "--crf", "40")
    assert (other.code, target.read_bytes()) == (1, whole)
    assert "is there already" in other.err
    ended = run_here(capsys, "convert", scene_video, "-o", target, *STYLE, "--json")
    assert ended.code == 0
    assert json.loads(ended.out)["done_before"]
    assert "was finished before; what was left beside it is removed" in ended.err
    assert target.read_bytes() == whole
    assert not part_folder(target).exists()
