"""Sources that stop answering are given up after a time limit."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path

import pytest
from support.clips import Clip, frame_times, moving_frames
from support.run_toonvid import START_SECONDS, killed_at_end, start_subprocess
from support.scripted_feed import repeat

from toonvid.errors import SourceError
from toonvid.pipeline import ConvertOptions, convert
from toonvid.reading import stall_guard
from toonvid.reading.decoder import VideoDecoder
from toonvid.reading.options import DecodeOptions
from toonvid.reading.stall_guard import StallGuardedFile, may_stall

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="has no pipes with names")

SOON = DecodeOptions(stall_seconds=0.4)
LATER = DecodeOptions(stall_seconds=3)  # a busy machine takes no longer from one read to the next


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    """A named pipe."""
    path = tmp_path / "pipe.mkv"
    os.mkfifo(path)
    return path


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """50 frames with a key frame every fifth."""
    return Clip(moving_frames(50), options={"g": "5"}).write(tmp_path / "video.mkv")


@contextmanager
def writing(pipe: Path, content: bytes, pause: float = 0.0) -> Iterator[None]:
    """Write to a pipe on another thread after a pause; the pipe stays open until the block ends."""
    done = threading.Event()

    def write() -> None:
        with pipe.open("wb", buffering=0) as file, suppress(BrokenPipeError):
            time.sleep(pause)
            file.write(content)
            done.wait(60)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def test_a_pipe_without_data_is_given_up(pipe):
    with (
        pytest.raises(SourceError, match=r"cannot be read: no data for 0\.4 seconds \(--st"),
        VideoDecoder(pipe, SOON),
    ):
        pass
    with pipe.open("wb"):  # ends the abandoned thread
        pass


def test_a_pipe_that_stalls_gives_what_it_contained(pipe, video, identity, tmp_path):
    content = video.read_bytes()
    with writing(pipe, content[: len(content) * 2 // 3]):
        done = convert(pipe, tmp_path / "target.mp4", identity, ConvertOptions(decoding=LATER))
    assert done.damage is not None and "no data for 3 seconds" in done.damage
    assert 5 < len(frame_times(tmp_path / "target.mp4")) == done.frames < 50


@pytest.mark.parametrize("stall_seconds", [60, 0])
def test_a_slow_pipe_is_read(stall_seconds, pipe, video):
    with (
        writing(pipe, video.read_bytes(), pause=0.8),  # longer than the limit of SOON
        VideoDecoder(pipe, DecodeOptions(stall_seconds=stall_seconds)) as decoder,
    ):
        frames = list(islice(decoder.frames(), 30))
    assert len(frames) == 30


def test_a_pipe_is_read_to_its_end(pipe, video):
    with killed_at_end(subprocess.Popen(["sh", "-c", f"exec cat {video} > {pipe}"])) as feeder:
        with VideoDecoder(pipe) as decoder:
            assert len(list(decoder.frames())) == 50
        assert decoder.damage is None
        assert feeder.wait(START_SECONDS) == 0


def test_interrupt_ends_a_blocking_read_at_once(pipe):
    with writing(pipe, b""):
        file = StallGuardedFile(str(pipe), 60)
        threading.Timer(0.2, file.interrupt).start()
        assert file.read(10) == b""
        assert file.trouble is None  # nothing is wrong with it
        file.close()


def test_a_network_file_is_read_and_seeked(video, monkeypatch):
    """The file is taken to be on a network mount."""
    with VideoDecoder(video) as decoder:
        expected = [(frame.pts, frame.pixels.sum()) for frame in decoder.frames()]
    monkeypatch.setattr(stall_guard, "_file_system", lambda _: "nfs4")
    with VideoDecoder(video) as decoder:
        assert decoder.info.duration_seconds == 2
        decoder.skip_to(frame_times(video)[30])
        assert [(frame.pts, frame.pixels.sum()) for frame in decoder.frames()] == expected[30:]
    assert decoder.damage is None


class StallingFile(StallGuardedFile):
    """A network file that stops answering after some bytes."""

    def _open(self, source: str) -> bool:
        found = super()._open(source)
        whole = self._file

        class Silent:
            def read(self, size: int) -> bytes:
                if whole.tell() > 6000:
                    time.sleep(60)
                return whole.read(min(size, 1000))

            def __getattr__(self, name: str) -> object:
                return getattr(whole, name)

        self._file = Silent()
        return found


def test_a_stalled_mount_gives_what_was_read(video, monkeypatch):
    monkeypatch.setattr(stall_guard, "_file_system", lambda _: "fuse.sshfs")
    monkeypatch.setattr("toonvid.reading.container.StallGuardedFile", StallingFile)
    with VideoDecoder(video, LATER) as decoder:
        frames = list(decoder.frames())
    assert 0 < len(frames) < 50
    assert decoder.damage is not None and "no data for 3 seconds" in decoder.damage
    assert not decoder.is_whole


def test_a_read_error_is_reported(video, monkeypatch):
    class Breaks(StallGuardedFile):
        def read(self, size: int) -> bytes:
            if self.tell() > 6000:
                self._file.close()
                self._file = io.FileIO("/proc/self/mem")  # cannot be read at 0
            return super().read(min(size, 1000))

    monkeypatch.setattr(stall_guard, "_file_system", lambda _: "cifs")
    monkeypatch.setattr("toonvid.reading.container.StallGuardedFile", Breaks)
    with VideoDecoder(video) as decoder:
        assert 0 < len(list(decoder.frames())) < 50
    assert decoder.damage is not None and "input/output error" in decoder.damage


def test_pipes_and_network_mounts_may_stall(tmp_path, pipe, video, monkeypatch):
    assert may_stall(pipe)
    assert not may_stall(video)
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "22 27 0:21 / / rw,relatime - ext4 /dev/vda rw\n"
        f"23 27 0:22 / {tmp_path} rw,relatime shared:1 - nfs4 far:/videos rw\n"
        f"24 27 0:23 / {tmp_path}/disk rw,relatime - ext4 /dev/vdb rw\n"
        rf"25 27 0:24 / {tmp_path}/my\040phone rw,relatime - fuse.mtp phone rw" + "\n"
        f"26 27 0:25 / {tmp_path}/stick rw,relatime - fuseblk /dev/sda rw\n"
    )
    monkeypatch.setattr(stall_guard, "_MOUNTS", mounts)
    for folder, expected in (("", True), ("disk", False), ("my phone", True), ("stick", False)):
        path = tmp_path / folder / "a.mkv"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
        assert may_stall(path) == expected, folder
    monkeypatch.setattr(stall_guard, "_MOUNTS", tmp_path / "none")
    assert not may_stall(video)


def wait_for_target(running: subprocess.Popen[bytes], target: Path) -> None:
    """Wait until a running conversion has begun to write its target."""
    for _ in repeat("the target was not begun", seconds=START_SECONDS):
        if (target.parent / f".{target.name}.part" / f"target{target.suffix}").exists():
            return
        assert running.poll() is None
        time.sleep(0.01)


@pytest.mark.parametrize("at_work", [True, False])
def test_a_signal_ends_a_run_that_waits_for_a_pipe(at_work, video, engines_folder, tmp_path):
    folder = tmp_path / "targets"
    folder.mkdir()
    read, write = os.pipe()
    running = start_subprocess(
        *("convert", "-", "-o", folder / "a.mkv", "--style", "negative", "--stall-seconds", "0"),
        env={"TOONVID_ENGINES": str(engines_folder)},
        stdin=read,
        stderr=subprocess.PIPE,
    )
    with killed_at_end(running):
        if at_work:
            os.write(write, video.read_bytes()[:-100])
            wait_for_target(running, folder / "a.mkv")
        else:
            assert b"Negative: openvino" in running.stderr.readline()  # the source is opened next
        time.sleep(0.5)  # everything is processed and the run waits for more
        running.send_signal(signal.SIGINT)
        # The pipe stays open: only the signal ends the run.
        _, output = running.communicate(timeout=START_SECONDS)
    assert running.returncode == 130
    assert b"stopped; nothing was left half-written" in output
    assert b"Traceback" not in output and b"Exception" not in output
    assert list(folder.iterdir()) == []
    os.close(read)
    os.close(write)


def test_a_signal_ends_a_run_that_waits_for_an_address(video, engines_folder, tmp_path):
    content, released = video.read_bytes(), threading.Event()

    class Stalling(BaseHTTPRequestHandler):
        """Sends nearly all of the video, and then nothing."""

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[:-100])
            self.wfile.flush()
            released.wait(500)

        def log_message(self, *_: object) -> None:
            pass

    folder = tmp_path / "targets"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), Stalling) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/a.mkv"
        running = start_subprocess(
            *("convert", address, "-o", folder / "a.mkv", "--style", "negative"),
            *("--stall-seconds", "0"),
            env={"TOONVID_ENGINES": str(engines_folder)},
            stderr=subprocess.PIPE,
        )
        try:
            with killed_at_end(running):
                wait_for_target(running, folder / "a.mkv")
                time.sleep(0.5)  # everything is processed and the run waits for more
                running.send_signal(signal.SIGINT)
                # Nothing is released before: only the signal ends the run.
                _, output = running.communicate(timeout=START_SECONDS)
        finally:
            released.set()
            server.shutdown()
    assert running.returncode == 130
    assert b"stopped; nothing was left half-written" in output
    assert b"Traceback" not in output
    assert list(folder.iterdir()) == []


def test_stall_seconds_is_an_option_of_the_command_line(engines_folder, tmp_path):
    read, write = os.pipe()
    ended = start_subprocess(
        *("convert", "-", "-o", tmp_path / "a.mkv", "--style", "negative"),
        *("--stall-seconds", "0.2"),
        env={"TOONVID_ENGINES": str(engines_folder)},
        stdin=read,
        stderr=subprocess.PIPE,
    )
    with killed_at_end(ended):
        _, output = ended.communicate(timeout=START_SECONDS)
    assert ended.returncode == 1
    assert b"- cannot be read: no data for 0.2 seconds (--stall-seconds)" in output
    os.close(read)
    os.close(write)
