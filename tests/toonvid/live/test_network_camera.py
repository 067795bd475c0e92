"""Network cameras with audio that die while they are recorded, and come back with another size."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest
from support.clips import only
from support.http_camera import HttpCamera, SoundCamera
from support.rtsp_server import RtspServer
from support.run_toonvid import start_subprocess
from support.scripted_feed import LIMIT_SECONDS, repeat, wait_until

from toonvid.live import camera as camera_module
from toonvid.live.camera import Camera
from toonvid.live.ffmpeg_feed import open_ffmpeg_feed

Server = HttpCamera | RtspServer
StartServer = Callable[[int, int, int], AbstractContextManager[Server]]


@pytest.fixture(params=["http", "rtsp"])
def start_server(request: pytest.FixtureRequest, tmp_path: Path) -> StartServer:
    """Starts a server of frames of a width and height, at a port."""

    def start(width: int, height: int, port: int = 0) -> AbstractContextManager[Server]:
        if request.param == "http":
            return SoundCamera(width, height, tmp_path, port)
        return RtspServer(width, height, port)

    return start


def test_camera_that_was_killed_comes_back_with_another_size_and_audio(
    start_server: StartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(camera_module, "_FIRST_RETRY_SECONDS", 0.05)
    notices: list[str] = []
    with start_server(64, 48, 0) as server:
        camera = Camera("camera", lambda: open_ffmpeg_feed(server.url), notices.append).__enter__()
        taken = [camera.take_newest(LIMIT_SECONDS) for _ in range(5)]
    with start_server(96, 64, server.port):
        for _ in repeat("the camera did not come back"):
            if taken[-1].frame.pixels.shape == (64, 96, 3):
                break
            taken.append(camera.take_newest(LIMIT_SECONDS))
            assert taken[-1] is not None
        with camera.audio.streams() as streams:
            assert len(streams) == 1
        camera.__exit__(None, None, None)
    assert {captured.frame.pixels.shape for captured in taken} == {(48, 64, 3), (64, 96, 3)}
    assert all(after.frame.pts > before.frame.pts for before, after in pairwise(taken))
    assert camera.reconnects == 1
    assert notices == ["camera is lost: trying again", "camera is back, 96x64"]


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_recording_has_the_audio_and_goes_on_when_the_camera_is_back(
    start_server: StartServer, suffix: str, tmp_path: Path, engines_folder: Path
) -> None:
    target = tmp_path / f"recording.{suffix}"
    with start_server(64, 48, 0) as server, record(server.url, target, engines_folder) as messages:
        wait_until(lambda: target.exists() and target.stat().st_size > 20_000)
        first = server
        server.__exit__(None, None, None)
        wait_until(lambda: any("trying again" in line for line in messages))
        with start_server(96, 64, first.port):
            wait_until(lambda: any("is back, 96x64" in line for line in messages))
            size = target.stat().st_size
            wait_until(lambda: target.stat().st_size > size + 20_000)
    assert any(line.startswith(f"recording {target}, with audio") for line in messages)
    video, audio = only(target, "video"), only(target, "audio")
    was_converted = "audio stream 1 (pcm_alaw) is converted to aac" in messages
    assert (audio.codec, was_converted) == ("aac", "rtsp" in server.url)
    assert all(after > before for before, after in pairwise(video.times))
    # The longest gap of either is where the camera was away.
    audio_end, audio_start = max(pairwise(audio.times), key=lambda pair: pair[1] - pair[0])
    video_end, video_start = max(pairwise(video.times), key=lambda pair: pair[1] - pair[0])
    assert float(audio_end) == pytest.approx(float(video_end), abs=0.5)
    # Video may start later: the engine is compiled for the new size before the first frame.
    assert audio_end < audio_start < video_start + Fraction(1, 2)
    assert float(audio.times[0]) == pytest.approx(0, abs=0.5)
    assert float(audio.times[-1]) == pytest.approx(float(video.times[-1]), abs=0.5)


@contextmanager
def record(source: str, target: Path, engines_folder: Path) -> Iterator[list[str]]:
    """Record a source until the end of the `with`; yields the growing list of messages."""
    process = start_subprocess(
        *("live", source, "--style", engines_folder / "identity.onnx"),
        *("--headless", "--record", target),
        stderr=subprocess.PIPE,
    )
    messages: list[str] = []
    assert process.stderr is not None
    lines = process.stderr

    def collect() -> None:
        messages.extend(line.decode().rstrip() for line in lines)

    collector = threading.Thread(target=collect, daemon=True)
    collector.start()
    try:
        yield messages
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 130, messages
        collector.join(120)
    finally:
        process.kill()
        process.communicate()
