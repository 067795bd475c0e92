"""`toonvid live` and `toonvid bench --live` on the command line."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import av
import pytest
from support.http_camera import MjpegCamera
from support.run_toonvid import (
    START_SECONDS,
    killed_at_end,
    page_address,
    run_here,
    start_subprocess,
)
from support.scripted_feed import repeat

from toonvid.errors import TargetError
from toonvid.live.recording import Recording

Capsys = pytest.CaptureFixture[str]
DRAWN = "lavfi:testsrc2=size=96x64:rate=25"


pytestmark = pytest.mark.usefixtures("only_tiny_engines")


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_figures_are_printed_at_the_end(capsys: Capsys) -> None:
    options = ("--style", "negative", "--headless", "--seconds", "0.5", "--mirror")
    ended = run_here(capsys, "live", DRAWN, *options, "--size", "48x32", "--json")
    assert ended.code == 0
    assert "Negative: openvino on CPU" in ended.err
    assert re.search(r"Showed \d+ frames? of lavfi:.*delay \d+ ms \(95 %: \d+ ms\)", ended.err)
    printed = json.loads(ended.out)
    assert (printed["width"], printed["height"], printed["style"]) == (48, 32, "negative")
    assert 0 <= printed["delay_ms"] <= printed["delay_95_ms"]
    assert run_here(capsys, "live", DRAWN, *options, "-q").err == ""


def test_network_camera_is_recorded_as_a_negative(tmp_path: Path, capsys: Capsys) -> None:
    with MjpegCamera(64, 48, rate=10) as server:
        video = tmp_path / "video.mkv"
        options = ("--style", "negative", "--headless", "--seconds", "3", "--record", video)
        ended = run_here(capsys, "live", server.url, *options)
    assert ended.code == 0
    assert f"recording {video}, without audio: {server.url} has none" in ended.err
    with av.open(video) as container:
        levels = [f.to_ndarray(format="rgb24").mean() for f in container.decode(video=0)]
    # The camera's frames grow lighter, for 20 seconds.
    assert levels == sorted(levels, reverse=True)
    assert len(levels) > 1


def test_the_size_that_holds_the_rate_is_printed(capsys: Capsys) -> None:
    options = ("--style", "negative", "--headless", "--seconds", "0.2", "--size", "auto")
    assert "96x64 reaches 1 fps" in run_here(
        capsys, "live", DRAWN, *options, "--fps", "1"
    ).err  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["gone.mp4"], 1, "gone.mp4: no such file"),
        (["/dev/video97"], 1, "cannot open camera /dev/video97: is it plugged in"),
        ([DRAWN, "--style", "nobody"], 1, "no style named 'nobody'"),
        ([DRAWN, "--size", "huge"], 2, "'huge' is not a size"),
        ([DRAWN, "--record", "film.txt"], 1, "cannot record film.txt"),
        ([DRAWN, "--record", "there.mkv"], 1, "there.mkv is there already"),
        (["browser"], 2, "only with --serve"),
        ([DRAWN, "--host", "0.0.0.0"], 2, "only with --serve"),
    ],
)
def test_wrong_arguments_give_one_line_and_an_exit_code(
    capsys: Capsys, tmp_path: Path, arguments: list[str], code: int, line: str
) -> None:
    (tmp_path / "there.mkv").touch()
    style = [] if "--style" in arguments else ["--style", "negative"]
    ended = run_here(capsys, "live", "--headless", *style, *arguments)
    assert ended.code == code
    assert line in " ".join(ended.err.split())
    assert "Traceback" not in ended.err


def test_a_recording_that_cannot_begin_ends_with_1(capsys: Capsys) -> None:
    options = ("--style", "negative", "--headless", "--seconds", "1", "--record", "no/film.mkv")
    ended = run_here(capsys, "live", DRAWN, *options)
    assert ended.code == 1
    assert "cannot record no/film.mkv: there is no folder no" in ended.err
    assert "Showed" not in ended.err


def test_failed_recording_ends_with_1(capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(recording: Recording, _: object) -> None:
        raise TargetError(f"cannot record {recording.target}: no space left on device")

    monkeypatch.setattr(Recording, "write", fail)
    options = ("--style", "negative", "--headless", "--seconds", "1", "--record", "film.mkv")
    ended = run_here(capsys, "live", DRAWN, *options)
    assert ended.code == 1
    assert "cannot record film.mkv: no space left" in ended.err
    assert "Showed" in ended.err  # the live image went on


def test_a_source_is_not_recorded_over_itself(scene_video: Path, capsys: Capsys) -> None:
    own = Path("own.mp4")
    own.write_bytes(scene_video.read_bytes())
    options = ("--style", "negative", "--headless", "--record", own, "--overwrite")
    ended = run_here(capsys, "live", own, *options)
    assert ended.code == 1
    assert "own.mp4 would be recorded over itself" in ended.err
    assert own.read_bytes() == scene_video.read_bytes()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
def test_a_signal_completes_the_recording(tmp_path: Path) -> None:
    video = tmp_path / "video.mp4"
    running = start_subprocess(
        *("live", DRAWN, "--style", "negative", "--headless", "--record", video, "--json"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with killed_at_end(running):
        for _ in repeat("nothing was recorded", seconds=START_SECONDS):
            if video.exists() and video.stat().st_size >= 5000:
                break
            assert running.poll() is None
            time.sleep(0.02)
        running.send_signal(signal.SIGINT)
        figures, printed = running.communicate(timeout=START_SECONDS)
    assert running.returncode == 130
    assert json.loads(figures)["shown"] > 0
    found = re.search(r"wrote .*video.mp4: (\d+) frames", " ".join(printed.decode().split()))
    assert found, printed
    with av.open(video) as container:
        assert sum(1 for _ in container.decode(video=0)) == int(found[1])


def test_page_is_served_at_the_address_that_is_printed() -> None:
    pytest.importorskip("aiohttp", reason="the extra live is not installed")
    running = start_subprocess(
        *("live", "browser", "--style", "negative", "--headless", "--serve", "--port", "0"),
        stderr=subprocess.PIPE,
    )
    with killed_at_end(running):
        address = page_address(running)
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        with opener.open(address, timeout=60) as answer:
            assert b"<title>toonvid live</title>" in answer.read()
        base = address.partition("?")[0]
        with opener.open(f"{base}state", timeout=60) as answer:
            state = json.loads(answer.read())
        assert state["figures"]["source"] == "a browser's camera"
        assert "identity" in state["styles"]
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=START_SECONDS)
    assert running.returncode == 130


def test_bench_live_prints_a_table_or_json(capsys: Capsys) -> None:
    options = ("bench", "--live", "--style", "identity", "--size", "96x64", "--seconds", "0.3")
    table = run_here(capsys, *options).out
    assert "96x64" in table and "95 % within, ms" in table
    printed = json.loads(run_here(capsys, *options, "--json").out)
    assert 0 <= printed["delay_ms"] <= printed["delay_95_ms"]
    assert printed["camera_rate"] == 30


@pytest.mark.skipif(sys.platform != "linux", reason="other systems always have a display")
@pytest.mark.parametrize("problem", ["no display", "no OpenCV"])
def test_a_page_is_served_where_no_window_can_be_opened(
    problem: str, capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISPLAY", "")
    if problem == "no OpenCV":
        monkeypatch.setitem(sys.modules, "cv2", None)
    options = ("--serve", "--port", "0", "--seconds", "0.1", "--style", "identity")
    ended = run_here(capsys, "live", "lavfi:color=s=64x48:r=25", *options)
    assert ended.code == 0, ended.err
    assert "the cartoon is on the page alone" in ended.err
    assert "use --headless" not in ended.err
    assert "open http://127.0.0.1:" in ended.err


def test_the_time_is_up_even_if_no_frame_ever_comes(capsys: Capsys) -> None:
    options = ("--serve", "--headless", "--port", "0", "--seconds", "0.2", "--style", "identity")
    ended = run_here(capsys, "live", "browser", *options)
    assert ended.code == 0
    assert "Showed 0 frames" in ended.err
