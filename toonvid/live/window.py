"""The window on the screen, with its keys and its mouse; OpenCV draws it.

OpenCV must have been imported before PyAV, or opening the window can hang: `commands.live` does so.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from toonvid.errors import CameraError, TargetError
from toonvid.live.display import display_problem
from toonvid.live.session import Controls, Figures, Picture
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
    ("f", "full screen"),
    ("h", "this help"),
)
_ESCAPE = 27
_LARGEST = (1280, 720)  # pixels: a window opens no larger
_ROWS = 20  # of text that a picture's height has room for
_HELP_COLUMN = 4  # rows' heights from the keys to what they do
_LETTER_HEIGHT = 0.5  # of a row
_FONT_HEIGHT = 21  # pixels of a capital letter at scale 1
_SHADE = 3  # what is behind a text is made darker by this
_WHITE, _RED = (255, 255, 255), (80, 80, 255)  # BGR


def require_display() -> None:
    """Look for a display first: without one OpenCV ends the whole process.

    Raises:
        CameraError: There is none, or none that opens.
    """
    if sys.platform == "linux" and (problem := display_problem()):
        raise CameraError(f"{problem}: use --headless, or --serve to see it in a browser")


class Window:
    """A screen: shows pictures, and hands keys on to the controls. A context manager.

    All of it happens on the thread that entered it.
    """

    def __init__(
        self,
        controls: Controls,
        figures: Callable[[], Figures],
        on_notice: Callable[[str], None],
    ) -> None:
        """Remember what to show and where keys go.

        Args:
            controls: What the keys change.
            figures: Asked for each picture.
            on_notice: Called with a line, when a snapshot was written say.
        """
        self._controls = controls
        self._figures = figures
        self._on_notice = on_notice
        self._shows_help = False
        self._is_full = False
        self._picture: Picture | None = None

    def __enter__(self) -> Window:
        os.environ.setdefault("QT_LOGGING_RULES", "*.warning=false")  # it misses fonts of its own
        import cv2

        self._cv2 = cv2
        flags = cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL
        cv2.namedWindow(TITLE, flags)
        cv2.setMouseCallback(TITLE, self._on_mouse)
        return self

    def __exit__(self, *_: object) -> None:
        self._cv2.destroyAllWindows()
        self._cv2.waitKey(1)  # some systems close windows only then

    def show(self, picture: Picture | None) -> None:
        """Show a picture, if there is a new one, and look after keys."""
        if picture is not None:
            if self._picture is None:
                self._open_in_size(picture.pixels)
            self._picture = picture
            self._draw(picture)
        self._press(self._cv2.waitKey(1))
        if self._picture is not None and self._is_closed():
            self._controls.is_quitting = True

    def _is_closed(self) -> bool:
        try:
            return self._cv2.getWindowProperty(TITLE, self._cv2.WND_PROP_VISIBLE) < 1
        except self._cv2.error:  # it has gone with its application
            return True

    def _open_in_size(self, pixels: Pixels) -> None:
        height, width = pixels.shape[:2]
        scale = min(1.0, _LARGEST[0] / width, _LARGEST[1] / height)
        self._cv2.resizeWindow(TITLE, round(width * scale), round(height * scale))

    def _draw(self, picture: Picture) -> None:
        canvas = np.ascontiguousarray(picture.pixels[..., ::-1])
        self._write(canvas, _ROWS - 1, (figures_line(self._figures()),), _WHITE)
        if self._controls.recording:
            self._write(canvas, 0, ("REC",), _RED)
        if self._shows_help:
            for row, texts in enumerate(HELP, start=2):
                self._write(canvas, row, texts, _WHITE)
        self._cv2.imshow(TITLE, canvas)

    def _write(
        self, canvas: Pixels, row: int, texts: tuple[str, ...], color: tuple[int, int, int]
    ) -> None:
        """Write texts into the columns of a row, on a darker ground."""
        height = canvas.shape[0] / _ROWS
        canvas[round(row * height) : round((row + 1) * height)] //= _SHADE
        scale = height * _LETTER_HEIGHT / _FONT_HEIGHT
        thick = max(1, round(1.5 * scale))
        bottom = round((row + 0.5 + _LETTER_HEIGHT / 2) * height)
        for column, text in enumerate(texts):
            left = round((0.5 + column * _HELP_COLUMN) * height)
            font, smooth = self._cv2.FONT_HERSHEY_SIMPLEX, self._cv2.LINE_AA
            self._cv2.putText(canvas, text, (left, bottom), font, scale, color, thick, smooth)

    def _press(self, code: int) -> None:
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
            controls.look = replace(controls.look, mirror=not controls.look.mirror)
        elif key == "f":
            self._is_full = not self._is_full
            size = self._cv2.WINDOW_FULLSCREEN if self._is_full else self._cv2.WINDOW_NORMAL
            self._cv2.setWindowProperty(TITLE, self._cv2.WND_PROP_FULLSCREEN, size)
        elif key == "h":
            self._shows_help = not self._shows_help
        if key and self._picture is not None:
            self._draw(self._picture)

    def _save_snapshot(self) -> None:
        if self._picture is None:
            return
        try:
            path = save_snapshot(self._picture.pixels)
            self._on_notice(f"wrote {path}")
        except TargetError as error:
            self._on_notice(str(error))

    def _on_mouse(self, _event: int, x: int, _y: int, _flags: int, _: object) -> None:
        if self._controls.wipe is not None and self._picture is not None:
            width = self._picture.pixels.shape[1]
            self._controls.wipe = min(max(x / width, 0.0), 1.0)


def figures_line(figures: Figures) -> str:
    """What a window says at its foot."""
    return (
        f"{figures.style}  {figures.width}x{figures.height}  {figures.rate:.1f}/s"
        f"  {figures.delay_ms} ms (95%: {figures.delay_95_ms} ms)"
        f"  {figures.dropped} dropped  h: help"
    )
