"""Output: a window with keys and mouse, drawn by OpenCV.

OpenCV must be imported before PyAV, or opening the window can hang: `toonvid.commands.live` does
so.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from toonvid.choices import ControlName
from toonvid.errors import CameraError, TargetError
from toonvid.live.controls import Controls
from toonvid.live.display import display_problem
from toonvid.live.meter import LiveStatistics
from toonvid.live.session import DisplayFrame
from toonvid.live.snapshot import save_snapshot
from toonvid.video import Pixels

TITLE = "toonvid"
HELP = (
    ("q", "quit"),
    ("space", "compare: the mouse moves the line"),
    ("s", "next style"),
    ("r", "record, and stop"),
    ("p", "snapshot"),
    ("m", "mirror"),
    ("i t c", "choose ink, tones or saturation"),
    ("+ -", "more, less of it"),
    ("0", "ink, tones, saturation of the style"),
    ("f", "full screen"),
    ("h", "this help"),
)
"""Keys and what they do, as the help in the window shows them."""
# Not capital letters for less: in OpenCV with Qt, they cannot be told from small ones.
_STYLE_KEYS: dict[str, ControlName] = {"i": "ink", "t": "tones", "c": "saturation"}
"""Key -> control of the style that + and - move from then on."""
_STEPS = {"+": 1, "=": 1, "-": -1}  # = is + without Shift on many keyboards
_ESCAPE = 27
_LARGEST_SIZE = (1280, 720)  # width and height in pixels of a window when it opens
# Text is laid out in rows of the frame, because OpenCV scales the frame to the window.
_ROWS = 20  # in the height of a frame
_HELP_COLUMN = 4  # from the keys to their descriptions, in heights of a row
_LETTER_HEIGHT = 0.5  # in heights of a row
_FONT_HEIGHT = 21  # pixels of a capital letter at scale 1
_SHADE = 3  # pixels behind text are divided by this
_WHITE, _RED = (255, 255, 255), (80, 80, 255)  # BGR


def require_display() -> None:
    """Check that a window can be opened: without a display OpenCV ends the whole process.

    Raises:
        CameraError: No window can be opened.
    """
    if sys.platform == "linux" and (problem := display_problem()):
        raise CameraError(f"{problem}: use --headless, or --serve to see it in a browser")


class Window:
    """Shows frames, and applies keys and mouse to the controls. A context manager.

    Entered and used on one thread, as OpenCV's windows require.
    """

    def __init__(
        self,
        controls: Controls,
        statistics: Callable[[], LiveStatistics],
        on_notice: Callable[[str], None],
    ) -> None:
        """Store the parts; the window is opened on entry.

        Args:
            controls: Changed by keys and mouse.
            statistics: Called for each frame; shown at the foot of the window.
            on_notice: Called with one line, for example when a snapshot was written.
        """
        self._controls = controls
        self._statistics = statistics
        self._on_notice = on_notice
        self._chosen: ControlName = "ink"
        self._shows_values = False
        self._shows_help = False
        self._is_full_screen = False
        self._frame: DisplayFrame | None = None

    def __enter__(self) -> Window:
        # Qt inside OpenCV's wheels warns about fonts that the wheels do not contain.
        os.environ.setdefault("QT_LOGGING_RULES", "*.warning=false")
        import cv2

        self._cv2 = cv2
        flags = cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL
        cv2.namedWindow(TITLE, flags)
        cv2.setMouseCallback(TITLE, self._on_mouse)
        return self

    def __exit__(self, *_: object) -> None:
        self._cv2.destroyAllWindows()
        self._cv2.waitKey(1)  # on some systems windows close only when events are handled

    def show(self, frame: DisplayFrame | None) -> None:
        """Show a frame, if there is a new one, and handle keys and mouse."""
        if frame is not None:
            if self._frame is None:
                self._set_initial_size(frame.pixels)
            self._frame = frame
            self._draw(frame)
        self._handle_key(self._cv2.waitKey(1))
        if self._frame is not None and self._is_closed():
            self._controls.is_quitting = True

    def _is_closed(self) -> bool:
        try:
            return self._cv2.getWindowProperty(TITLE, self._cv2.WND_PROP_VISIBLE) < 1
        except self._cv2.error:  # Qt has ended together with the window
            return True

    def _set_initial_size(self, pixels: Pixels) -> None:
        height, width = pixels.shape[:2]
        scale = min(1.0, _LARGEST_SIZE[0] / width, _LARGEST_SIZE[1] / height)
        self._cv2.resizeWindow(TITLE, round(width * scale), round(height * scale))

    def _draw(self, frame: DisplayFrame) -> None:
        canvas = np.ascontiguousarray(frame.pixels[..., ::-1])  # OpenCV takes BGR
        self._write_row(canvas, _ROWS - 1, (statistics_line(self._statistics()),), _WHITE)
        if self._shows_values and (values := self._controls.style_values()):
            self._write_row(canvas, _ROWS - 2, (style_line(values, self._chosen),), _WHITE)
        if self._controls.recording:
            self._write_row(canvas, 0, ("REC",), _RED)
        if self._shows_help:
            for row, texts in enumerate(HELP, start=2):
                self._write_row(canvas, row, texts, _WHITE)
        self._cv2.imshow(TITLE, canvas)

    def _write_row(
        self, canvas: Pixels, row: int, texts: tuple[str, ...], color: tuple[int, int, int]
    ) -> None:
        """Write texts into the columns of a row, on darkened pixels."""
        height = canvas.shape[0] / _ROWS
        canvas[round(row * height) : round((row + 1) * height)] //= _SHADE
        scale = height * _LETTER_HEIGHT / _FONT_HEIGHT
        thickness = max(1, round(1.5 * scale))
        baseline = round((row + 0.5 + _LETTER_HEIGHT / 2) * height)
        for column, text in enumerate(texts):
            left = round((0.5 + column * _HELP_COLUMN) * height)
            font, line_type = self._cv2.FONT_HERSHEY_SIMPLEX, self._cv2.LINE_AA
            self._cv2.putText(
                canvas, text, (left, baseline), font, scale, color, thickness, line_type
            )

    def _handle_key(self, code: int) -> None:
        """Apply a key of `waitKey`, which gives -1 if none was pressed."""
        controls, key = self._controls, chr(code & 0xFF) if code >= 0 else ""
        if key == "q" or code & 0xFF == _ESCAPE:
            controls.is_quitting = True
        elif key == " ":
            controls.wipe = 0.5 if controls.wipe is None else None
        elif key == "s":
            controls.next_style()
        elif key == "r":
            controls.recording = not controls.recording
        elif key == "p":
            self._save_snapshot()
        elif key == "m":
            settings = controls.settings
            controls.settings = replace(settings, mirror=not settings.mirror)
        elif key in _STYLE_KEYS:
            self._move_style_value(_STYLE_KEYS[key], 0)
        elif key in _STEPS:
            self._move_style_value(self._chosen, _STEPS[key])
        elif key == "0":
            self._shows_values = False
            controls.reset_style_values()
        elif key == "f":
            self._is_full_screen = not self._is_full_screen
            mode = self._cv2.WINDOW_FULLSCREEN if self._is_full_screen else self._cv2.WINDOW_NORMAL
            self._cv2.setWindowProperty(TITLE, self._cv2.WND_PROP_FULLSCREEN, mode)
        elif key == "h":
            self._shows_help = not self._shows_help
        # Drawn again at once: a slow camera may take seconds to deliver the next frame.
        if key and self._frame is not None:
            self._draw(self._frame)

    def _move_style_value(self, name: ControlName, steps: int) -> None:
        """Choose a control of the style, move it, and show all values from now on."""
        self._chosen, self._shows_values = name, True
        if not self._controls.move_style_value(name, steps):
            self._on_notice(f"style {self._controls.settings.style} has no control {name}")

    def _save_snapshot(self) -> None:
        if self._frame is None:
            return
        try:
            path = save_snapshot(self._frame.pixels)
            self._on_notice(f"wrote {path}")
        except TargetError as error:
            self._on_notice(str(error))

    def _on_mouse(self, _event: int, x: int, _y: int, _flags: int, _: object) -> None:
        """Move the wipe to the mouse; OpenCV gives `x` in pixels of the frame."""
        if self._controls.wipe is not None and self._frame is not None:
            width = self._frame.pixels.shape[1]
            self._controls.wipe = min(max(x / width, 0.0), 1.0)


def style_line(values: Mapping[ControlName, float], chosen: ControlName) -> str:
    """Return the line above the foot of the window: all values, the chosen one in brackets."""
    words = {name: f"{name} {value:g}" for name, value in values.items()}
    return "  ".join(f"[{text}]" if name == chosen else text for name, text in words.items())


def statistics_line(statistics: LiveStatistics) -> str:
    """Return the line at the foot of the window."""
    return (
        f"{statistics.style}  {statistics.width}x{statistics.height}  {statistics.rate:.1f}/s"
        f"  {statistics.delay_ms} ms (95%: {statistics.delay_95_ms} ms)"
        f"  {statistics.dropped} dropped  h: help"
    )
