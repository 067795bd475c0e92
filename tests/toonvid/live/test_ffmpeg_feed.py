"""FFmpeg opens network cameras, the screen, files and test patterns as feeds."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import pytest
from support.clips import Clip
from support.http_camera import HttpCamera, MjpegCamera, jpeg
from support.run_toonvid import start_subprocess
from support.scripted_feed import LIMIT_SECONDS, repeat
from support.virtual_display import virtual_display

from toonvid.errors import CameraError, SourceError
from toonvid.live import camera as camera_module
from toonvid.live import ffmpeg_feed
from toonvid.live.camera import Camera
from toonvid.live.feed import CameraOptions
from toonvid.live.ffmpeg_feed import open_ffmpeg_feed
from toonvid.reading.decoder import VideoDecoder


def test_http_camera_that_was_killed_comes_back_with_another_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(camera_module, "_FIRST_RETRY_SECONDS", 0.05)
    notices: list[str] = []
    with MjpegCamera(64, 48) as server:
        camera = Camera("camera", lambda: open_ffmpeg_feed(server.url), notices.append).__enter__()
        assert camera.take_newest(LIMIT_SECONDS).frame.pixels.shape == (48, 64, 3)
    with MjpegCamera(96, 64, server.port):
        for _ in repeat("the camera did not come back"):
            captured = camera.take_newest(LIMIT_SECONDS)
            assert captured is not None
            if captured.frame.pixels.shape == (64, 96, 3):
                break
        camera.__exit__(None, None, None)
    assert camera.reconnects == 1
    assert notices == ["camera is lost: trying again", "camera is back, 96x64"]


def test_playlist_on_a_server_cannot_open_a_local_file(tmp_path: Path) -> None:
    local = Clip(container="mpegts").write(tmp_path / "local.ts")
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:{local}\n#EXT-X-ENDLIST\n"
    content_type = "application/vnd.apple.mpegurl"
    with HttpCamera(content_type, lambda: [playlist.encode()], 25) as server:
        server.url += ".m3u8"
        with pytest.raises((CameraError, SourceError)), open_ffmpeg_feed(server.url) as feed:
            next(feed.frames)


def test_http_camera_has_no_clock_and_needs_no_pacing() -> None:
    with MjpegCamera(64, 48) as server, open_ffmpeg_feed(server.url) as feed:
        assert not feed.needs_pacing
        assert not feed.has_clock


def test_server_that_never_answers_is_an_error_without_the_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ffmpeg_feed, "_TIMEOUT_SECONDS", (0.3, 0.3))
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://user:secret@127.0.0.1:{server.getsockname()[1]}/camera"
        with (
            pytest.raises(CameraError, match="no answer within 0 s") as raised,
            open_ffmpeg_feed(url),
        ):
            pass
    assert "secret" not in str(raised.value)


def test_server_that_stops_sending_ends_the_feed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ffmpeg_feed, "_TIMEOUT_SECONDS", (60.0, 3.0))
    with MjpegCamera(64, 48, rate=50) as server, open_ffmpeg_feed(server.url) as feed:
        next(feed.frames)
        server.pause()
        assert len(list(feed.frames)) < 500


def test_read_timeout_ends_the_video_and_is_not_waited_for_again(tmp_path: Path) -> None:
    data = Clip(container="mpegts").write(tmp_path / "clip.ts").read_bytes()
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


def test_address_without_a_server_is_an_error_with_advice() -> None:
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
def test_source_that_cannot_be_opened_is_an_error(
    source: str, error: type[Exception], line: str
) -> None:
    with pytest.raises(error, match=line):
        open_ffmpeg_feed(source).__enter__()


def test_still_image_is_refused(tmp_path: Path) -> None:
    from toonvid.bench.demo_scene import draw_scene
    from toonvid.writing.contact_sheet import write_image

    write_image(tmp_path / "a.png", draw_scene(32, 32, 0))
    with pytest.raises(CameraError, match=r"a\.png is an image, not a camera"):
        open_ffmpeg_feed(str(tmp_path / "a.png")).__enter__()


def test_files_and_test_patterns_need_pacing(tmp_path: Path) -> None:
    clip = Clip().write(tmp_path / "clip.mp4")
    with open_ffmpeg_feed(str(clip)) as feed:
        assert feed.needs_pacing and feed.has_clock
        assert len(list(feed.frames)) == 6
    with open_ffmpeg_feed("lavfi:testsrc2=size=32x24:rate=7") as feed:
        assert feed.needs_pacing
        assert feed.frame_rate == 7
        assert next(feed.frames).pixels.shape == (24, 32, 3)


def test_screen_is_a_feed_with_a_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    with virtual_display(160, 120) as display:
        monkeypatch.setenv("DISPLAY", display)
        with open_ffmpeg_feed("screen", CameraOptions(frame_rate=Fraction(20))) as feed:
            frames = [next(feed.frames) for _ in range(3)]
    assert frames[0].pixels.shape == (120, 160, 3)
    assert not feed.needs_pacing
    assert frames[0].seconds < frames[1].seconds < frames[2].seconds


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have a screen without a name")
def test_missing_display_variable_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    with pytest.raises(CameraError, match="there is no screen to capture: DISPLAY is not set"):
        open_ffmpeg_feed("screen").__enter__()


def test_error_of_the_capturing_process_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":12345")
    with pytest.raises(CameraError, match=r"^cannot capture the screen \(.*:12345"):
        open_ffmpeg_feed("screen").__enter__()


# A full screen window of gray frames, each a level lighter than the one before it.
MOVING_WINDOW = """
import cv2, itertools, numpy as np
cv2.namedWindow("moving", cv2.WINDOW_NORMAL)
cv2.setWindowProperty("moving", cv2.WND_PROP_FULLSCREEN, cv2.WINDOW_FULLSCREEN)
for number in itertools.count():
    cv2.imshow("moving", np.full((120, 160, 3), number % 256, np.uint8))
    cv2.waitKey(20)
"""


@contextmanager
def moving_window(display: str) -> Iterator[None]:
    """Show `MOVING_WINDOW` on a display."""
    process = subprocess.Popen(
        [sys.executable, "-c", MOVING_WINDOW],
        env={**os.environ, "DISPLAY": display},
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.kill()
        process.wait()


_ATTEMPTS, _ATTEMPT_SECONDS = 3, 15.0


def count_levels(seconds: float) -> int:
    """Capture the screen until its middle had six different levels, or the time is up."""
    levels: set[int] = set()
    with open_ffmpeg_feed("screen") as feed:
        start: float | None = None
        for frame in feed.frames:  # the screen delivers frames whether they differ or not
            start = float(frame.seconds) if start is None else start
            levels.add(int(frame.pixels[60, 80, 0]))
            if len(levels) > 5 or float(frame.seconds) > start + seconds:
                break
    return len(levels)


def test_captured_frames_follow_what_moves_on_the_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    with virtual_display(160, 120) as display:
        monkeypatch.setenv("DISPLAY", display)
        for _ in range(_ATTEMPTS):  # without a window manager OpenCV's window sometimes stays empty
            with moving_window(display):
                levels = count_levels(_ATTEMPT_SECONDS)
            if levels > 1:
                break
        else:
            times = f"{_ATTEMPTS} times for {_ATTEMPT_SECONDS:g} s"
            pytest.fail(f"OpenCV's window, which is captured, stayed empty, {times}")
    assert levels > 5


def test_one_command_captures_the_screen_shows_a_window_and_records(
    tmp_path: Path, engines_folder: Path
) -> None:
    """The X11 libraries of OpenCV and PyAV crash if one process both captures and shows."""
    recording = tmp_path / "recording.mkv"
    with virtual_display(320, 240, is_managed=True) as display, moving_window(display):
        live = start_subprocess(
            *("live", "screen", "--fps", "20", "--style", "identity", "--size", "160x120"),
            *("--seconds", "2", "--record", recording),  # the window covers a quarter of the screen
            env={"DISPLAY": display, "TOONVID_ENGINES": str(engines_folder)},
            stderr=subprocess.PIPE,
        )
        try:
            _, messages = live.communicate(timeout=240)
        finally:
            live.kill()
            live.wait()
    assert live.returncode == 0, messages
    assert b"is lost" not in messages
    with av.open(recording) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len({int(pixels[80, 120, 0]) for pixels in frames}) > 5


PART = b"Content-Type: image/jpeg\r\n\r\n"
BOUNDARIES = {
    # name: Content-Type, before the first image, between images
    "no first boundary": ("multipart/x-mixed-replace; boundary=frame", b"", b"\r\n--frame\r\n"),
    "another boundary": ("multipart/x-mixed-replace; boundary=frame", b"--x\r\n", b"\r\n--x\r\n"),
    "no boundary": ("multipart/x-mixed-replace", b"--x\r\n", b"\r\n--x\r\n"),
    "images alone": ("multipart/x-mixed-replace; boundary=frame", None, b""),
}


@pytest.mark.parametrize("kind", BOUNDARIES)
def test_cameras_with_odd_boundaries_are_read(kind: str) -> None:
    content_type, first, between = BOUNDARIES[kind]

    def chunks() -> Iterator[bytes]:
        for number in range(1000):
            head = b"" if first is None else (between if number else first) + PART
            yield head + jpeg(64, 48, 50 + number % 100)

    with HttpCamera(content_type, chunks, 50) as server, open_ffmpeg_feed(server.url) as feed:
        frames = list(islice(feed.frames, 5))
    assert len(frames) == 5
    for frame in frames:
        assert frame.pixels.shape == (48, 64, 3)
        assert int(frame.pixels.max()) - int(frame.pixels.min()) <= 4
    assert int(frames[-1].pixels.mean()) > 50


def test_pixels_that_are_not_square_are_made_so() -> None:
    """Windows, pages and virtual cameras show all pixels as squares."""
    with open_ffmpeg_feed("lavfi:testsrc2=size=32x24:rate=7,setsar=2") as feed:
        assert next(feed.frames).pixels.shape == (24, 64, 3)
    with open_ffmpeg_feed("lavfi:testsrc2=size=32x24:rate=7,setsar=1/2") as feed:
        assert next(feed.frames).pixels.shape == (48, 32, 3)
