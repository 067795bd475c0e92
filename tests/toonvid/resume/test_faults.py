"""Kills, full disks, lost engines and signals cost no finished segment, and change no byte."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest
from support.clips import frame_times
from support.faults import finish, start, write_film
from support.run_toonvid import START_SECONDS, killed_at_end, start_subprocess
from support.scripted_feed import repeat

from toonvid.bench.demo_scene import write_scene
from toonvid.resume.job_state import read_job_state
from toonvid.writing.part_folder import part_folder

KILLS = int(os.environ.get("TOONVID_KILLS", "4"))  # scripts/long/faults asks for 25


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_film(tmp_path_factory.mktemp("videos") / "video.mp4")


@pytest.fixture(scope="module")
def whole(video: Path, engines_folder: Path) -> bytes:
    """The target of a run that nothing stopped."""
    target = video.with_name("whole.mp4")
    assert finish(start(video, target, engines_folder / "negative.onnx")) == (0, "")
    return target.read_bytes()


@pytest.fixture
def engine(engines_folder: Path, tmp_path: Path) -> Path:
    """A copy of an engine that the test may delete or change."""
    for suffix in (".onnx", ".json"):
        shutil.copy(engines_folder / f"negative{suffix}", tmp_path)
    return tmp_path / "negative.onnx"


@pytest.mark.skipif(sys.platform == "win32", reason="no kill -9")
def test_a_conversion_that_is_killed_at_random_moments_ends_with_the_same_bytes(
    video, whole, engine, tmp_path
):
    target = tmp_path / "target.mp4"
    moments = random.Random(8)
    done_before = 0
    for _ in range(KILLS):
        process = start(video, target, engine, pause=0.01)
        for _ in range(moments.randrange(25)):
            if not process.stdout.readline():
                break
        time.sleep(moments.random() * 0.05)  # not only between frames
        process.kill()
        process.communicate()
        if target.exists():  # killed when all was done: the next round begins anew
            assert target.read_bytes() == whole
            target.unlink()
            shutil.rmtree(part_folder(target), ignore_errors=True)
            done_before = 0
            continue
        state = read_job_state(target)
        frames = 0 if state is None else state.frames
        assert frames >= done_before  # nothing that was finished is ever lost
        done_before = frames
        assert state is None or state.process_id is None
    assert finish(start(video, target, engine)) == (0, "")
    assert not part_folder(target).exists()
    assert target.read_bytes() == whole


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MB of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("only root mounts file systems")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("room", [0, 20_000, 1_060_000, 1_090_000, 1_130_000])
def test_a_full_disk_costs_no_finished_segment_in_any_phase(room, video, whole, engine, small_disk):
    target = small_disk / "target.mp4"
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(shutil.disk_usage(small_disk).free - room))
    code, said = finish(start(video, target, engine))
    if code:
        assert code == 1
        assert said.startswith("TargetError cannot write") and said.count("\n") == 1
        assert not target.exists()
    ballast.unlink()
    if code:
        assert finish(start(video, target, engine)) == (0, "")
    assert target.read_bytes() == whole
    assert sorted(small_disk.iterdir()) == [target]


@pytest.mark.parametrize("after", [12, 47])
def test_a_source_that_is_cut_off_while_it_is_read_is_reported_as_damaged(
    after, video, engine, tmp_path
):
    source = tmp_path / "source.mp4"
    shutil.copy(video, source)
    target = tmp_path / "target.mp4"
    process = start(source, target, engine, pause=0.02)
    for _ in range(after):
        process.stdout.readline()
    os.truncate(source, 1000)
    code, said = finish(process)
    assert "Traceback" not in said
    assert code in (1, 4)
    if code == 4:
        assert len(frame_times(target)) >= after


def test_an_encoder_that_fails_costs_no_finished_segment(video, whole, engine, tmp_path):
    target = tmp_path / "target.mp4"
    broken = """
from toonvid.writing.encoder import Encoder
from av.error import FFmpegError
encode = Encoder._encode
def fail(self, frame, force_key_frame):
    if frame.seconds > 2:
        raise FFmpegError(1, "generic error in an external library")
    return encode(self, frame, force_key_frame)
Encoder._encode = fail
"""
    code, said = finish(start(video, target, engine, before=broken))
    assert (code, said.count("\n")) == (1, 1)
    assert said.startswith("TargetError cannot write")
    state = read_job_state(target)
    assert state is not None and state.frames == 50
    assert finish(start(video, target, engine)) == (0, "")
    assert target.read_bytes() == whole


@pytest.mark.parametrize("fate", ["deleted", "changed"])
def test_an_engine_file_may_be_deleted_or_changed_while_it_runs(
    fate, video, whole, engine, tmp_path
):
    target = tmp_path / "target.mp4"
    process = start(video, target, engine, pause=0.01)
    for _ in range(20):
        process.stdout.readline()
    content = engine.read_bytes()
    if fate == "deleted":
        engine.unlink()
    else:
        engine.write_bytes(bytes(len(content)))
    assert finish(process) == (0, "")
    assert target.read_bytes() == whole


def test_jumps_of_the_system_clock_change_nothing(video, whole, engine, tmp_path):
    target = tmp_path / "target.mp4"
    jumping = "import random; time.time = lambda: random.uniform(-1e9, 4e9)"
    process = start(video, target, engine, pause=0.01, before=jumping)
    for _ in range(40):
        process.stdout.readline()
    process.kill()
    process.communicate()
    for number, path in enumerate(sorted(part_folder(target).iterdir())):
        os.utime(path, (number % 2 * 4e9, number % 2 * 4e9))
    assert finish(start(video, target, engine, before=jumping)) == (0, "")
    assert target.read_bytes() == whole


@pytest.fixture(scope="module")
def long_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four segments."""
    video = tmp_path_factory.mktemp("videos") / "my video.mp4"
    write_scene(video, 320, 240, Fraction(24), 40.0)
    return video


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_finishes_the_segment_and_prints_how_to_go_on(
    number, long_video, engines_folder, tmp_path
):
    video, target = long_video, tmp_path / "target.mp4"
    arguments = ("convert", video, "-o", target, "--style", "negative", "--restart")
    folder = {"TOONVID_ENGINES": str(engines_folder)}
    running = start_subprocess(*arguments, env=folder, stderr=subprocess.PIPE)
    with killed_at_end(running):
        for _ in repeat("no segment was finished", seconds=START_SECONDS):
            if (state := read_job_state(target)) is not None and state.segments:
                break
            assert running.poll() is None
            time.sleep(0.02)
        running.send_signal(number)
        _, said = running.communicate(timeout=START_SECONDS)
    assert running.returncode == 128 + number
    text = said.decode()
    assert "stopped; nothing was left half-written" in text
    assert "of the video are finished and kept. Resume with" in text
    assert f"toonvid convert '{video}' -o {target} --style negative\n" in text
    assert not target.exists()
    told = start_subprocess("convert", "--status", target, stdout=subprocess.PIPE)
    with killed_at_end(told):
        assert b"no process is working on it" in told.communicate(timeout=START_SECONDS)[0]
