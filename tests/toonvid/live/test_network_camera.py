"""Network cameras that have sound, die while they are recorded, and come back in another size."""

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
from support.run_toonvid import start_apart
from support.scripted_feed import wait_until

from toonvid.live import camera as camera_module
from toonvid.live.camera import Camera
from toonvid.live.ffmpeg_feed import open_ffmpeg_feed

Server = HttpCamera | RtspServer
ServerMaker = Callable[[int, int, int], AbstractContextManager[Server]]


@pytest.fixture(params=["http", "rtsp"])
def serve(request: pytest.FixtureRequest, tmp_path: Path) -> ServerMaker:
    """Starts a server of a width and a height at a port."""

    def start(width: int, height: int, port: int = 0) -> AbstractContextManager[Server]:
        if request.param == "http":
            return SoundCamera(width, height, tmp_path, port)
        return RtspServer(width, height, port)

    return start


def test_server_is_killed_and_comes_back_with_another_size(
    serve: ServerMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(camera_module, "_FIRST_RETRY_SECONDS", 0.05)
    notices: list[str] = []
    with serve(64, 48, 0) as server:
        camera = Camera("camera", lambda: open_ffmpeg_feed(server.url), notices.append).__enter__()
        shots = [camera.take_newest(20) for _ in range(5)]
    with serve(96, 64, server.port):
        while shots[-1].frame.pixels.shape != (64, 96, 3):
            shots.append(camera.take_newest(20))
            assert shots[-1] is not None
        with camera.audio.streams() as streams:
            assert len(streams) == 1
        camera.__exit__(None, None, None)
    assert {shot.frame.pixels.shape for shot in shots} == {(48, 64, 3), (64, 96, 3)}
    assert all(b.frame.pts > a.frame.pts for a, b in pairwise(shots))
    assert camera.reconnects == 1
    assert notices == ["camera is lost: trying again", "camera is back, 96x64"]


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_recording_keeps_the_sound_and_outlives_the_server(
    serve: ServerMaker, suffix: str, tmp_path: Path, engines_folder: Path
) -> None:
    film = tmp_path / f"film.{suffix}"
    with serve(64, 48, 0) as server, recorded(server.url, film, engines_folder) as said:
        wait_until(lambda: film.exists() and film.stat().st_size > 20_000)
        first = server
        server.__exit__(None, None, None)
        wait_until(lambda: any("trying again" in line for line in said))
        with serve(96, 64, first.port):
            wait_until(lambda: any("is back, 96x64" in line for line in said))
            size = film.stat().st_size
            wait_until(lambda: film.stat().st_size > size + 20_000)
    assert any(line.startswith(f"recording {film}, with its sound") for line in said)
    pictures, sound = only(film, "video"), only(film, "audio")
    converted = "audio stream 1 (pcm_alaw) is converted to aac" in said
    assert (sound.codec, converted) == ("aac", "rtsp" in server.url)
    assert all(b > a for a, b in pairwise(pictures.times))
    silence, again = max(pairwise(sound.times), key=lambda pair: pair[1] - pair[0])
    dark, light = max(pairwise(pictures.times), key=lambda pair: pair[1] - pair[0])
    assert float(silence) == pytest.approx(float(dark), abs=0.5)
    assert silence < again < light + Fraction(1, 2)  # the first picture spends some on compiling
    assert float(sound.times[0]) == pytest.approx(0, abs=0.5)
    assert float(sound.times[-1]) == pytest.approx(float(pictures.times[-1]), abs=0.5)


@contextmanager
def recorded(source: str, film: Path, engines_folder: Path) -> Iterator[list[str]]:
    """Record a source until the end of the `with`; yields the lines that are said meanwhile."""
    process = start_apart(
        *("live", source, "--style", engines_folder / "identity.onnx"),
        *("--headless", "--record", film),
        stderr=subprocess.PIPE,
    )
    said: list[str] = []
    assert process.stderr is not None
    lines = process.stderr

    def listen() -> None:
        said.extend(line.decode().rstrip() for line in lines)

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    try:
        yield said
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 130, said
        listener.join()
    finally:
        process.kill()
        process.communicate()
