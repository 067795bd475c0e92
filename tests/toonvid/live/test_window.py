"""The window on a real display, driven by real keys and a real mouse."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import pytest
from support.run_toonvid import run_here, start_apart
from support.virtual_display import virtual_display

from toonvid.errors import CameraError
from toonvid.live.window import HELP, require_display

SIZE = (320, 180)
# OpenCV's window loses a picture now and then on a busy machine.
pytestmark = pytest.mark.flaky(reruns=2)
_ATTEMPTS = 5  # to open a window
GREY = "lavfi:color=c=0x404040:size=320x180:rate=20"  # its negative is 0xbfbfbf


@dataclass
class Desk:
    """A display with the window of a running `toonvid live` on it."""

    display: str
    process: subprocess.Popen[bytes]
    folder: Path

    def do(self, *arguments: str | int) -> str:
        env = {**os.environ, "DISPLAY": self.display}
        command = ["xdotool", *map(str, arguments)]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    def look(self) -> np.ndarray:
        """What is on the display."""
        with av.open(self.display, format="x11grab", container_options={"framerate": "20"}) as grab:
            return next(grab.decode(video=0)).to_ndarray(format="rgb24")

    def is_seen(self, is_so: Callable[[np.ndarray], bool], seconds: float) -> bool:
        """Whether the display looks so before long."""
        limit = time.monotonic() + seconds
        while not is_so(self.look()):
            assert self.process.poll() is None, "the window is gone"
            if time.monotonic() > limit:
                return False
        return True

    def until_seen(self, is_so: Callable[[np.ndarray], bool]) -> np.ndarray:
        seen: list[np.ndarray] = []
        assert self.is_seen(lambda p: bool(is_so(p)) and not seen.append(p), 120), "it never is so"
        return seen[0]


@pytest.fixture
def desk(tmp_path: Path, engines_folder: Path) -> Iterator[Desk]:
    """`negative` of a grey picture, in a window of 320x180 on a display of 640x360.

    On a busy machine a window of OpenCV's sometimes stays empty; then another is opened.
    """
    if shutil.which("xdotool") is None:
        pytest.skip("xdotool is not installed: nobody presses the keys")
    with virtual_display(640, 360, is_managed=True) as display:
        env = {"DISPLAY": display, "TOONVID_ENGINES": str(engines_folder), "PYTHONPATH": here()}
        for attempt in range(_ATTEMPTS):
            process = start_apart(
                *("live", GREY, "--style", "negative"),
                env=env,
                cwd=tmp_path,
                stderr=subprocess.PIPE,
            )
            try:
                running = Desk(display, process, tmp_path)
                is_last = attempt == _ATTEMPTS - 1
                if not running.is_seen(lambda p: level(p) == 191, 120 if is_last else 30):
                    assert not is_last, "the window stays empty"
                    continue
                running.do("mousemove", 160, 100)
                yield running
                return
            finally:
                process.kill()
                process.communicate()


def here() -> str:
    return os.pathsep.join([str(Path(__file__).parents[3]), os.environ.get("PYTHONPATH", "")])


def ask_to_close(display: str, window: int) -> None:
    """Send what a window manager sends when its cross is clicked."""
    x11 = ctypes.CDLL("libX11.so.6")
    x11.XOpenDisplay.restype = ctypes.c_void_p
    x11.XInternAtom.restype = ctypes.c_ulong
    connection = ctypes.c_void_p(x11.XOpenDisplay(display.encode()))
    protocols, delete = (
        x11.XInternAtom(connection, name, 0) for name in (b"WM_PROTOCOLS", b"WM_DELETE_WINDOW")
    )
    # XClientMessageEvent: type, serial, sent, display, window, message, format, five numbers
    words = (33, 0, 1, connection.value, window, protocols, 32, delete, 0, 0, 0, 0)
    event = (ctypes.c_ulong * 24)(*words)
    assert x11.XSendEvent(connection, ctypes.c_ulong(window), 0, ctypes.c_long(0), event)
    x11.XCloseDisplay(connection)


def level(pixels: np.ndarray, x: int = 300, y: int = 100) -> int:
    return int(pixels[y, x, 0])


def test_window_opens_with_the_whole_pipeline_loaded_and_q_quits(desk: Desk) -> None:
    pixels = desk.look()
    assert level(pixels, 20, 20) == level(pixels, 20, 100) == 191
    assert pixels[165:180, :320].min() < 80  # figures on a darker ground
    desk.do("key", "q")
    _, said = desk.process.communicate(timeout=120)
    assert desk.process.returncode == 0
    assert b"ms late" in said
    assert b"QFont" not in said


def test_space_compares_and_the_mouse_moves_the_line(desk: Desk) -> None:
    desk.do("key", "space")
    desk.until_seen(lambda p: (level(p, 100), level(p, 200)) == (64, 191))
    desk.do("mousemove", 240, 100)
    desk.until_seen(lambda p: (level(p, 200), level(p, 280)) == (64, 191))
    desk.do("key", "space")
    desk.until_seen(lambda p: level(p, 100) == 191)


def test_line_is_where_the_mouse_is_in_a_window_of_another_size(desk: Desk) -> None:
    desk.do("key", "space")
    desk.do("search", "--name", "^toonvid$", "windowsize", 640, 360)
    desk.until_seen(lambda p: p[340:, 620:].max() > 0)
    desk.do("mousemove", 480, 200)
    desk.until_seen(lambda p: (level(p, 460, 100), level(p, 500, 100)) == (64, 191))


def test_f_fills_the_screen_and_f_again_gives_it_back(desk: Desk) -> None:
    assert desk.look()[340:, 620:].max() == 0  # the window is smaller
    desk.do("key", "f")
    pixels = desk.until_seen(lambda p: level(p, 620, 300) == 191)
    assert level(pixels, 20, 20) == 191
    desk.do("key", "space")
    desk.do("mousemove", 480, 200)
    desk.until_seen(lambda p: (level(p, 460, 100), level(p, 500, 100)) == (64, 191))
    desk.do("key", "space")
    desk.until_seen(lambda p: level(p, 460, 100) == 191)
    desk.do("key", "f")
    desk.until_seen(lambda p: p[340:, 620:].max() == 0)


def test_s_takes_the_next_style_m_mirrors_h_helps(desk: Desk) -> None:
    desk.do("key", "s")
    desk.until_seen(lambda p: level(p) == 64)
    desk.do("key", "h")
    rows = len(HELP)
    desk.until_seen(lambda p: level(p, 310, 18 + rows * 9 // 2) == 64 // 3)
    desk.do("key", "h")
    desk.until_seen(lambda p: level(p, 310, 18 + rows * 9 // 2) == 64)
    desk.do("key", "m")
    desk.until_seen(lambda p: level(p) == 64)


def test_p_writes_a_snapshot_and_r_records(desk: Desk) -> None:
    desk.do("key", "p")
    desk.until_seen(lambda _: any(desk.folder.glob("toonvid-*.png")))
    desk.do("key", "r")
    desk.until_seen(lambda p: p[:9, :40, 0].max() > 120)  # REC
    time.sleep(0.5)
    desk.do("key", "r")
    desk.until_seen(lambda p: level(p, 20, 4) == 191)
    desk.do("key", "Escape")
    _, said = desk.process.communicate(timeout=120)
    [snapshot] = desk.folder.glob("toonvid-*.png")
    [film] = desk.folder.glob("toonvid-*.mp4")
    assert f"wrote {snapshot.name}".encode() in said
    with av.open(snapshot) as container:
        pixels = next(container.decode(video=0)).to_ndarray(format="rgb24")
    assert (pixels.shape, int(pixels.min()), int(pixels.max())) == ((180, 320, 3), 191, 191)
    with av.open(film) as container:
        assert sum(1 for _ in container.decode(video=0)) > 1


def test_closed_window_ends_it(desk: Desk) -> None:
    window = int(desk.do("search", "--name", "^toonvid$").splitlines()[-1])
    ask_to_close(desk.display, window)
    _, said = desk.process.communicate(timeout=120)
    assert desk.process.returncode == 0, said


@pytest.mark.skipif(sys.platform != "linux", reason="other systems always have a display")
@pytest.mark.parametrize(
    ("display", "line"),
    [
        ("", "there is no display for a window (DISPLAY is not set): use --headless"),
        (":12345", "no window can be opened on display :12345: use --headless"),
    ],
)
def test_no_display_is_an_error_and_not_the_end_of_the_process(
    display: str, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DISPLAY", display)
    ended = run_here(capsys, "live", GREY)
    assert ended.code == 1
    assert line in " ".join(ended.err.split())
    with pytest.raises(CameraError):
        require_display()


def test_opencv_that_cannot_be_loaded_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    ended = run_here(capsys, "live", GREY)
    assert ended.code == 1
    assert "OpenCV cannot be loaded" in ended.err


def test_opencv_is_imported_before_pyav() -> None:
    program = """
import sys
from toonvid.cli import main
sys.argv = ["toonvid", "live", "lavfi:color", "--seconds", "0.1"]
try:
    main()
except SystemExit:
    loaded = list(sys.modules)
    assert loaded.index("cv2") < loaded.index("av"), "av came first"
"""
    env = {**os.environ, "DISPLAY": "", "PYTHONPATH": here()}
    done = subprocess.run(
        [sys.executable, "-c", program], env=env, capture_output=True, text=True, check=False
    )
    assert (done.returncode, "av came first" in done.stderr) == (0, False), done.stderr
