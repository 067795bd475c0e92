"""`toonvid convert` from the command line: what is left behind, and what newcomers read."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from support.clips import Clip
from support.run_toonvid import run_here

from toonvid.commands import progress
from toonvid.errors import TargetError
from toonvid.ffmpeg import tone_table
from toonvid.resume.segmented import SegmentedConversion
from toonvid.resume.work_folder import WorkFolder
from toonvid.writing.contact_sheet import write_image
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


@pytest.mark.parametrize("stopped", ["before its join", "before the source's end was noted"])
def test_a_run_that_only_joins_reports_no_times_of_stages(
    stopped: str,
    scene_video: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise TargetError("the disk is full")

    command = ("convert", scene_video, "-o", tmp_path / "target.mkv", *STYLE, "--json")
    with monkeypatch.context() as patch:
        if stopped == "before its join":
            patch.setattr(SegmentedConversion, "join", fail)
        else:
            patch.setattr(WorkFolder, "record_source_end", fail)
        assert run_here(capsys, *command).code == 1
    ended = run_here(capsys, *command)
    printed = json.loads(ended.out)
    assert printed["resumed_frames"] == printed["frames"] == 12
    measured = ("stage_seconds", "first_frame_seconds", "slowest_stage")
    assert [printed[name] for name in measured] == [None, None, None]
    assert "slowest stage" not in ended.err


# What newcomers read.


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    """Three small images."""
    paths = [tmp_path / f"{name}.png" for name in "abc"]
    for path in paths:
        write_image(path, np.full((48, 64, 3), 90, np.uint8))
    return paths


def test_several_sources_make_the_folder_that_is_named(
    images: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = run_here(capsys, "convert", *images, "-o", tmp_path / "out", *STYLE)
    assert ended.code == 0
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["a.toon.png", "b.toon.png", "c.toon.png"]
    assert [f"{n} of 3: {path}" in ended.err for n, path in enumerate(images, 1)] == [True] * 3
    refused = run_here(capsys, "convert", *images, "-o", tmp_path / "out.mp4", *STYLE)
    assert refused.code == 1
    assert f"for a folder write {tmp_path / 'out.mp4'}/" in refused.err


def test_an_image_names_no_slowest_stage_and_a_video_does(
    images: list[Path], scene_video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = run_here(capsys, "convert", images[0], "-o", tmp_path / "x.jpg", *STYLE).err
    assert "1 frame in" in image
    assert "the slowest stage" not in image
    video = run_here(capsys, "convert", scene_video, "-o", tmp_path / "x.mkv", *STYLE).err
    assert "was the slowest stage" in video


@pytest.mark.parametrize(
    ("size", "is_noted"), [("720p", True), ("640x480", True), ("64p", False), ("48x640", False)]
)
def test_a_size_above_the_source_is_noted(
    size: str,
    is_noted: bool,
    scene_video: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The source is 96x64."""
    options = ("-o", tmp_path / "x.mkv", *STYLE, "--size", size)
    ended = run_here(capsys, "convert", scene_video, *options)
    assert (f"smaller than --size {size}, and stays so; --upscale" in ended.err) == is_noted
    if is_noted:
        ended = run_here(capsys, "convert", scene_video, *options, "--upscale", "-y")
        assert "--upscale" not in ended.err


def test_without_a_terminal_lines_tell_how_far_it_is(
    scene_video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = run_here(capsys, "convert", scene_video, "-o", tmp_path / "x.mkv", *STYLE)
    shares = [int(found) for found in re.findall(r"scene\.mp4: (\d+)%", ended.err)]
    assert len(shares) >= 5 and shares == sorted(shares)
    quiet = run_here(capsys, "convert", scene_video, "-o", tmp_path / "y.mkv", *STYLE, "-q")
    assert quiet.err == ""


def test_a_line_is_printed_every_tenth_or_thirty_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    lines: list[str] = []
    show = progress.progress_lines(lines.append, "film")
    for step in range(101):
        show(step, 100, "x")
    assert lines == [f"film: {share}%, x" for share in range(10, 100, 10)]
    for now in range(0, 100, 5):
        show(now, None, "y")
    assert lines[9:] == ["film: y"] * 3


def test_a_demo_may_be_run_twice_but_replaces_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        ended = run_here(capsys, "demo", "--seconds", "0.5", *STYLE)
        assert ended.code == 0
        assert "Drawing: 50%" in ended.err
    Path("toonvid-demo.mp4").write_bytes(b"a film of mine")
    assert run_here(capsys, "demo", "--seconds", "0.5", *STYLE).code == 1
    assert Path("toonvid-demo.mp4").read_bytes() == b"a film of mine"


def test_a_signal_before_the_first_segment_says_what_is_lost(
    scene_video: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class StoppedError(BaseException):
        """Not an `Exception`, as what a signal raises."""

    def stop(*_: object) -> None:
        raise StoppedError

    monkeypatch.setattr(WorkFolder, "record_segment", stop)
    with pytest.raises(StoppedError):
        run_here(capsys, "convert", scene_video, "-o", tmp_path / "x.mkv", *STYLE)
    printed = capsys.readouterr().err
    assert re.search(r"No segment was finished: the work on \d+ frames? is lost", printed)


def test_a_line_says_that_the_colors_of_hdr_are_prepared_which_takes_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hdr = Clip(pix_fmt="yuv420p10le", color=(9, 9, 16))
    source = hdr.write(tmp_path / "hdr.mkv")
    monkeypatch.setattr(tone_table, "tone_table_folder", lambda: tmp_path / "tables")
    monkeypatch.setattr(tone_table, "_mapped_grid", lambda *_: np.zeros((33, 33, 33, 3)))
    said = []
    for name in ("a.mp4", "b.mp4"):
        ended = run_here(capsys, "convert", source, "-o", tmp_path / name, *STYLE)
        assert ended.code == 0
        said.append("Preparing the colors of HDR" in ended.err)
    assert said == [True, False]
    (tmp_path / "tables").rename(tmp_path / "old")
    ended = run_here(capsys, "convert", source, "-o", tmp_path / "c.mp4", *STYLE, "--quiet")
    assert (ended.code, ended.err) == (0, "")


def test_images_beside_videos_are_written_without_the_options_of_videos(
    scene_video: Path, images: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ("convert", scene_video, images[0], "-o", tmp_path / "made", *STYLE)
    ended = run_here(capsys, *command, "--crf", "30", "--codec", "libx265")
    assert ended.code == 0, ended.err
    assert "images are written without --codec, --crf, meant for videos" in ended.err
    assert len(list((tmp_path / "made").iterdir())) == 2
    again = run_here(capsys, *command, "--crf", "30", "--codec", "libx265")
    assert again.code == 0, again.err  # both are known as finished
    alone = run_here(capsys, "convert", images[1], "-o", tmp_path / "x.png", *STYLE, "--crf", "30")
    assert alone.code == 1
    assert "codec png takes no --crf" in alone.err


def test_a_forecast_of_a_folder_passes_over_its_images(
    scene_video: Path, images: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ("convert", scene_video, images[0], "-o", tmp_path / "made", *STYLE, "--dry-run")
    ended = run_here(capsys, *command)
    assert ended.code == 0, ended.err
    assert "a.png does not state how long it is" in ended.err
    assert str(scene_video) in ended.out


def test_a_dry_run_fails_for_images_that_are_not_there(
    tmp_path: Path, scene_video: Path, images: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    gone = tmp_path / "gone.png"
    command = ("convert", scene_video, images[0], gone, "-o", tmp_path / "made", *STYLE)
    ended = run_here(capsys, *command, "--dry-run")
    assert ended.code == 1
    assert "gone.png: no such file" in ended.err
    assert "1 of 3 sources" in ended.err
