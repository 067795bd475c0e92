"""What FFmpeg opens for a camera, for real: network cameras, screens, films, drawn pictures."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from fractions import Fraction
from pathlib import Path

import av
import pytest
from support.clips import Clip
from support.http_camera import HttpCamera, MjpegCamera
from support.run_toonvid import start_apart
from support.virtual_display import virtual_display

from toonvid.errors import CameraError, SourceError
from toonvid.live import camera as camera_module
from toonvid.live import ffmpeg_feed as stream
from toonvid.live.camera import Camera
from toonvid.live.feed import CameraOptions
from toonvid.live.ffmpeg_feed import open_ffmpeg_feed, without_password
from toonvid.reading.decoder import VideoDecoder


def test_network_camera_is_killed_and_comes_back_with_another_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(camera_module, "_FIRST_RETRY_SECONDS", 0.05)
    notices: list[str] = []
    with MjpegCamera(64, 48) as server:
        camera = Camera("camera", lambda: open_ffmpeg_feed(server.url), notices.append).__enter__()
        assert camera.take_newest(5).frame.pixels.shape == (48, 64, 3)
    with MjpegCamera(96, 64, server.port):
        sizes = set()
        while (64, 96, 3) not in sizes:
            shot = camera.take_newest(20)
            assert shot is not None
            sizes.add(shot.frame.pixels.shape)
        camera.__exit__(None, None, None)
    assert camera.reconnects == 1
    assert notices == ["camera is lost: trying again", "camera is back, 96x64"]


def test_address_does_not_lead_to_a_file_of_this_machine(tmp_path: Path) -> None:
    secret = Clip(container="mpegts").write(tmp_path / "secret.ts")
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:{secret}\n#EXT-X-ENDLIST\n"
    kind = "application/vnd.apple.mpegurl"
    with HttpCamera(kind, lambda: [playlist.encode()], 25) as server:
        server.url += ".m3u8"
        with pytest.raises((CameraError, SourceError)), open_ffmpeg_feed(server.url) as feed:
            next(feed.frames)


def test_network_camera_has_no_clock_and_no_end() -> None:
    with MjpegCamera(64, 48) as server, open_ffmpeg_feed(server.url) as feed:
        assert not feed.needs_pacing
        assert not feed.has_clock


def test_silent_server_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "_TIMEOUT_SECONDS", (0.3, 0.3))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://user:secret@127.0.0.1:{silent.getsockname()[1]}/camera"
        with (
            pytest.raises(CameraError, match="no answer within 0 s") as raised,
            open_ffmpeg_feed(url),
        ):
            pass
    assert "secret" not in str(raised.value)


def test_server_that_falls_silent_ends_the_feed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "_TIMEOUT_SECONDS", (5.0, 0.3))
    with MjpegCamera(64, 48, rate=50) as server, open_ffmpeg_feed(server.url) as feed:
        next(feed.frames)
        server.pause()
        assert len(list(feed.frames)) < 500


def test_silence_is_waited_for_once(tmp_path: Path) -> None:
    data = Clip(container="mpegts").write(tmp_path / "film.ts").read_bytes()
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"tcp://127.0.0.1:{server.getsockname()[1]}"

        def opener() -> av.container.InputContainer:
            return av.open(url, "r", timeout=(3.0, 0.3))

        def serve() -> None:
            connection, _ = server.accept()
            connection.sendall(data)
            finished.wait(60)
            connection.close()

        finished = threading.Event()
        threading.Thread(target=serve, daemon=True).start()
        with VideoDecoder(url, opener=opener) as decoder:
            assert len(list(decoder.frames())) >= 5
        finished.set()
    assert decoder.damage is not None and decoder.damage.startswith("it stopped sending data")


def test_address_where_nobody_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(CameraError, match=r"is 127\.0\.0\.1 on, and is the address right"):
        open_ffmpeg_feed(f"rtsp://127.0.0.1:{port}/camera").__enter__()


@pytest.mark.parametrize(
    ("source", "error", "line"),
    [
        ("gone.mp4", SourceError, "gone.mp4: no such file"),
        ("lavfi:nonsense", CameraError, "cannot open lavfi:nonsense"),
    ],
)
def test_what_cannot_be_opened(source: str, error: type[Exception], line: str) -> None:
    with pytest.raises(error, match=line):
        open_ffmpeg_feed(source).__enter__()


def test_picture_is_no_camera(tmp_path: Path) -> None:
    from toonvid.bench.demo_scene import draw_scene
    from toonvid.writing.contact_sheet import write_image

    write_image(tmp_path / "a.png", draw_scene(32, 32, 0))
    with pytest.raises(CameraError, match=r"a\.png is an image, not a camera"):
        open_ffmpeg_feed(str(tmp_path / "a.png")).__enter__()


def test_film_and_drawn_pictures_are_paced(tmp_path: Path) -> None:
    film = Clip().write(tmp_path / "film.mp4")
    with open_ffmpeg_feed(str(film)) as feed:
        assert feed.needs_pacing and feed.has_clock
        assert len(list(feed.frames)) == 6
    with open_ffmpeg_feed("lavfi:testsrc2=size=32x24:rate=7") as feed:
        assert feed.needs_pacing
        assert feed.frame_rate == 7
        assert next(feed.frames).pixels.shape == (24, 32, 3)


def test_screen_is_a_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    with virtual_display(160, 120) as display:
        monkeypatch.setenv("DISPLAY", display)
        with open_ffmpeg_feed("screen", CameraOptions(frame_rate=Fraction(20))) as feed:
            frames = [next(feed.frames) for _ in range(3)]
    assert frames[0].pixels.shape == (120, 160, 3)
    assert not feed.needs_pacing
    assert frames[0].seconds < frames[1].seconds < frames[2].seconds


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have a screen without a name")
def test_no_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    with pytest.raises(CameraError, match="there is no screen to capture: DISPLAY is not set"):
        open_ffmpeg_feed("screen").__enter__()


def test_screen_that_cannot_be_filmed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":12345")
    with pytest.raises(CameraError, match=r"^cannot capture the screen \(.*:12345"):
        open_ffmpeg_feed("screen").__enter__()


MOVING = """
import cv2, itertools, numpy as np
cv2.namedWindow("moving", cv2.WINDOW_NORMAL)
cv2.setWindowProperty("moving", cv2.WND_PROP_FULLSCREEN, cv2.WINDOW_FULLSCREEN)
for number in itertools.count():
    cv2.imshow("moving", np.full((120, 160, 3), number % 256, np.uint8))
    cv2.waitKey(20)
"""


def test_moving_screen_is_seen_moving(monkeypatch: pytest.MonkeyPatch) -> None:
    with virtual_display(160, 120) as display:
        monkeypatch.setenv("DISPLAY", display)
        drawing = subprocess.Popen([sys.executable, "-c", MOVING], stderr=subprocess.DEVNULL)
        try:
            with open_ffmpeg_feed("screen") as feed:
                seen: set[int] = set()
                for frame in feed.frames:
                    seen.add(int(frame.pixels[60, 80, 0]))
                    if len(seen) > 5:
                        break
        finally:
            drawing.kill()
            drawing.wait()
    assert len(seen) > 5


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("rtsp://me:secret@box/1", "rtsp://box/1"),
        ("rtsp://box/1@2", "rtsp://box/1@2"),
        ("//odd@name.mp4", "//odd@name.mp4"),
    ],
)
def test_passwords_are_not_shown(source: str, shown: str) -> None:
    assert without_password(source) == shown


def test_moving_screen_is_shown_in_a_window_and_recorded(
    tmp_path: Path, engines_folder: Path
) -> None:
    """In one process: OpenCV's and PyAV's X11 libraries do not get on with each other."""
    film = tmp_path / "film.mkv"
    with virtual_display(320, 240, is_managed=True) as display:
        env = {"DISPLAY": display, "TOONVID_ENGINES": str(engines_folder)}
        drawing = subprocess.Popen(
            [sys.executable, "-c", MOVING], env={**os.environ, **env}, stderr=subprocess.DEVNULL
        )
        try:
            live = start_apart(
                *("live", "screen", "--fps", "20", "--style", "identity", "--size", "160x120"),
                *("--seconds", "2", "--record", film),  # its window covers a quarter of the screen
                env=env,
                stderr=subprocess.PIPE,
            )
            _, said = live.communicate(timeout=240)
        finally:
            drawing.kill()
            drawing.wait()
    assert live.returncode == 0, said
    assert b"is lost" not in said
    with av.open(film) as container:
        levels = {int(f.to_ndarray(format="rgb24")[80, 120, 0]) for f in container.decode(video=0)}
    assert len(levels) > 5
