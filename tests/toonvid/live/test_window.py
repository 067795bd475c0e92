"""The window on a real display, driven by real keys and a real mouse."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import pytest
from support.run_toonvid import run_here, start_subprocess
from support.tiny_engines import controlled_engine, identity_engine, negative_engine
from support.virtual_display import virtual_display

from toonvid.errors import CameraError
from toonvid.live.window import HELP, require_display

SIZE = (320, 180)
# On a busy machine OpenCV's window sometimes loses a frame.
pytestmark = pytest.mark.flaky(reruns=1)
_ATTEMPTS = 3  # to open a window
_ATTEMPT_SECONDS = 30.0  # until a window shows its frame, after which another is opened
_COMMAND_SECONDS = 30.0  # limit of each xdotool
_SEEN_SECONDS = 30.0  # limit of each wait for what a key changes
_STAYED_EMPTY = f"OpenCV's window stayed empty on this machine's Xvfb, {_ATTEMPTS} times"
_empty_windows: list[str] = []  # test that has found windows empty, if there is one
GRAY = "lavfi:color=c=0x404040:size=320x180:rate=20"  # its negative is 0xbfbfbf


@dataclass
class LiveWindow:
    """A display with the window of a running `toonvid live` on it."""

    display: str
    process: subprocess.Popen[bytes]
    folder: Path

    def xdotool(self, *arguments: str | int) -> str:
        """Press keys, move the mouse or find windows; returns what xdotool prints."""
        env = {**os.environ, "DISPLAY": self.display}
        command = ["xdotool", *map(str, arguments)]
        finished = subprocess.run(
            command,
            env=env,
            capture_output=True,
            text=True,
            check=False,
            timeout=_COMMAND_SECONDS,
        )
        return finished.stdout.strip()

    def screenshot(self) -> np.ndarray:
        """Return the display, (H, W, 3) uint8 RGB."""
        options = {"framerate": "20"}
        with av.open(self.display, format="x11grab", container_options=options) as capture:
            return next(capture.decode(video=0)).to_ndarray(format="rgb24")

    def find_screenshot(
        self, condition: Callable[[np.ndarray], bool], seconds: float
    ) -> np.ndarray | None:
        """Take screenshots until one meets a condition; None when the time is up."""
        limit = time.monotonic() + seconds
        while time.monotonic() < limit:
            pixels = self.screenshot()
            if condition(pixels):
                return pixels
            assert self.process.poll() is None, "the window is gone"
        return None

    def wait_for(self, condition: Callable[[np.ndarray], bool]) -> np.ndarray:
        """Wait until a screenshot meets a condition, and return it."""
        pixels = self.find_screenshot(condition, _SEEN_SECONDS)
        assert pixels is not None, f"no screenshot meets the condition in {_SEEN_SECONDS:g} s"
        return pixels


@pytest.fixture
def window(tmp_path: Path, engines_folder: Path) -> Iterator[LiveWindow]:
    """The negative of a gray frame, in a window of 320x180 on a display of 640x360."""
    with live_window(tmp_path, engines_folder, "negative", 191) as running:
        yield running


@contextmanager
def live_window(
    tmp_path: Path, engines_folder: Path, style: str, shown: int
) -> Iterator[LiveWindow]:
    """Open a window on a gray frame, whose cartoon has the level `shown`.

    On a busy machine OpenCV's window sometimes stays empty; then another is opened.
    """
    if shutil.which("xdotool") is None:
        pytest.skip("xdotool is not installed")
    if _empty_windows:  # the tests that follow need not wait as long to find the same
        pytest.fail(f"{_STAYED_EMPTY}, in {_empty_windows[0]}")
    with virtual_display(640, 360, is_managed=True) as display:
        env = {
            "DISPLAY": display,
            "TOONVID_ENGINES": str(engines_folder),
            "PYTHONPATH": python_path(),
        }
        for _ in range(_ATTEMPTS):
            process = start_subprocess(
                *("live", GRAY, "--style", style),
                env={**env, "PYTHONPATH": python_path()},
                cwd=tmp_path,
                stderr=subprocess.PIPE,
            )
            try:
                running = LiveWindow(display, process, tmp_path)
                is_shown = running.find_screenshot(lambda p: level(p) == shown, _ATTEMPT_SECONDS)
                if is_shown is None:
                    continue
                running.xdotool("mousemove", 160, 100)
                yield running
                return
            finally:
                process.kill()
                process.communicate()
        _empty_windows.append(os.environ.get("PYTEST_CURRENT_TEST", "a test"))
        pytest.fail(_STAYED_EMPTY)


def python_path() -> str:
    """Return a PYTHONPATH on which processes in other folders find this checkout."""
    return os.pathsep.join([str(Path(__file__).parents[3]), os.environ.get("PYTHONPATH", "")])


def request_close(display: str, window_id: int) -> None:
    """Send what a window manager sends when the button that closes a window is clicked."""
    x11 = ctypes.CDLL("libX11.so.6")
    x11.XOpenDisplay.restype = ctypes.c_void_p
    x11.XInternAtom.restype = ctypes.c_ulong
    connection = ctypes.c_void_p(x11.XOpenDisplay(display.encode()))
    protocols, delete = (
        x11.XInternAtom(connection, name, 0) for name in (b"WM_PROTOCOLS", b"WM_DELETE_WINDOW")
    )
    # XClientMessageEvent: type, serial, sent, display, window, message, format, five numbers
    words = (33, 0, 1, connection.value, window_id, protocols, 32, delete, 0, 0, 0, 0)
    event = (ctypes.c_ulong * 24)(*words)
    assert x11.XSendEvent(connection, ctypes.c_ulong(window_id), 0, ctypes.c_long(0), event)
    x11.XCloseDisplay(connection)


def level(pixels: np.ndarray, x: int = 300, y: int = 100) -> int:
    """Return the red value of a pixel of a screenshot."""
    return int(pixels[y, x, 0])


def test_window_opens_with_the_whole_pipeline_loaded_and_q_quits(window: LiveWindow) -> None:
    pixels = window.screenshot()
    assert level(pixels, 20, 20) == level(pixels, 20, 100) == 191
    assert pixels[165:180, :320].min() < 80  # statistics on darkened pixels
    window.xdotool("key", "q")
    _, messages = window.process.communicate(timeout=120)
    assert window.process.returncode == 0
    assert b"frames per second, delay" in messages
    assert b"QFont" not in messages


def test_space_shows_the_source_left_of_a_line_that_the_mouse_moves(window: LiveWindow) -> None:
    window.xdotool("key", "space")
    window.wait_for(lambda p: (level(p, 100), level(p, 200)) == (64, 191))
    window.xdotool("mousemove", 240, 100)
    window.wait_for(lambda p: (level(p, 200), level(p, 280)) == (64, 191))
    window.xdotool("key", "space")
    window.wait_for(lambda p: level(p, 100) == 191)


def test_line_is_at_the_mouse_in_a_resized_window(window: LiveWindow) -> None:
    window.xdotool("key", "space")
    window.xdotool("search", "--name", "^toonvid$", "windowsize", 640, 360)
    window.wait_for(lambda p: p[340:, 620:].max() > 0)
    window.xdotool("mousemove", 480, 200)
    window.wait_for(lambda p: (level(p, 460, 100), level(p, 500, 100)) == (64, 191))


def test_f_toggles_full_screen(window: LiveWindow) -> None:
    assert window.screenshot()[340:, 620:].max() == 0  # the window is smaller
    window.xdotool("key", "f")
    pixels = window.wait_for(lambda p: level(p, 620, 300) == 191)
    assert level(pixels, 20, 20) == 191
    window.xdotool("key", "space")
    window.xdotool("mousemove", 480, 200)
    window.wait_for(lambda p: (level(p, 460, 100), level(p, 500, 100)) == (64, 191))
    window.xdotool("key", "space")
    window.wait_for(lambda p: level(p, 460, 100) == 191)
    window.xdotool("key", "f")
    window.wait_for(lambda p: p[340:, 620:].max() == 0)


def test_s_changes_the_style_m_mirrors_and_h_toggles_the_help(tmp_path: Path) -> None:
    engines = tmp_path / "engines"
    negative_engine(engines)
    identity_engine(engines, style="first")  # the next in the list
    with live_window(tmp_path, engines, "negative", 191) as window:
        window.xdotool("key", "s")
        window.wait_for(lambda p: level(p) == 64)
        window.xdotool("key", "h")
        rows = len(HELP)
        window.wait_for(lambda p: level(p, 310, 18 + rows * 9 // 2) == 64 // 3)
        window.xdotool("key", "h")
        window.wait_for(lambda p: level(p, 310, 18 + rows * 9 // 2) == 64)
        window.xdotool("key", "m")
        window.wait_for(lambda p: level(p) == 64)


def test_plus_and_minus_move_the_chosen_control_and_0_resets_all(tmp_path: Path) -> None:
    controlled_engine(tmp_path / "engines")
    with live_window(tmp_path, tmp_path / "engines", "controlled", 64 + 40) as window:
        values_y = 166  # in the row that shows the values, 162 to 171
        assert level(window.screenshot(), 310, values_y) == 104
        for key, shown in (
            ("plus", int(64 * 1.1 + 40)),
            ("equal", int(64 * 1.2 + 40)),
            ("minus", int(64 * 1.1 + 40)),
            ("t", int(64 * 1.1 + 40)),
            ("minus", int(64 * 1.1 + 30)),
            ("i", int(64 * 1.1 + 30)),
            ("minus", 64 + 30),
        ):
            window.xdotool("key", key)
            window.wait_for(lambda p, shown=shown: level(p) == shown)
        assert level(window.screenshot(), 310, values_y) == (64 + 30) // 3
        window.xdotool("key", "0")
        window.wait_for(lambda p: level(p) == 104 == level(p, 310, values_y))
        window.xdotool("key", "c")
        time.sleep(0.5)
        window.xdotool("key", "q")
        _, messages = window.process.communicate(timeout=120)
    assert b"style controlled has no control saturation" in messages


def test_p_writes_a_snapshot_and_r_starts_and_stops_a_recording(window: LiveWindow) -> None:
    window.xdotool("key", "p")
    window.wait_for(lambda _: any(window.folder.glob("toonvid-*.png")))
    window.xdotool("key", "r")
    window.wait_for(lambda p: p[:9, :40, 0].max() > 120)  # REC
    time.sleep(2)  # frames come twenty times a second
    window.xdotool("key", "r")
    window.wait_for(lambda p: level(p, 20, 4) == 191)
    window.xdotool("key", "Escape")
    _, messages = window.process.communicate(timeout=120)
    [snapshot] = window.folder.glob("toonvid-*.png")
    [recording] = window.folder.glob("toonvid-*.mp4")
    assert f"wrote {snapshot.name}".encode() in messages
    with av.open(snapshot) as container:
        pixels = next(container.decode(video=0)).to_ndarray(format="rgb24")
    assert (pixels.shape, int(pixels.min()), int(pixels.max())) == ((180, 320, 3), 191, 191)
    with av.open(recording) as container:
        assert sum(1 for _ in container.decode(video=0)) > 1


def test_closing_the_window_ends_the_command(window: LiveWindow) -> None:
    window_id = int(window.xdotool("search", "--name", "^toonvid$").splitlines()[-1])
    request_close(window.display, window_id)
    _, messages = window.process.communicate(timeout=120)
    assert window.process.returncode == 0, messages


@pytest.mark.skipif(sys.platform != "linux", reason="other systems always have a display")
@pytest.mark.parametrize(
    ("display", "line"),
    [
        ("", "there is no display for a window (DISPLAY is not set): use --headless"),
        (":12345", "no window can be opened on display :12345: use --headless"),
    ],
)
def test_missing_display_is_an_error_and_does_not_abort_the_process(
    display: str, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DISPLAY", display)
    ended = run_here(capsys, "live", GRAY)
    assert ended.code == 1
    assert line in " ".join(ended.err.split())
    with pytest.raises(CameraError):
        require_display()


def test_missing_opencv_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    ended = run_here(capsys, "live", GRAY)
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
    env = {**os.environ, "DISPLAY": "", "PYTHONPATH": python_path()}
    finished = subprocess.run(
        [sys.executable, "-c", program],
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert finished.returncode == 0, finished.stderr
    assert "av came first" not in finished.stderr
