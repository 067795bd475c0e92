"""Webcams: cameras that are plugged in or built in, read through OpenCV."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import TYPE_CHECKING

from toonvid.errors import CameraError
from toonvid.live.feed import CLOCK, CameraOptions, Feed
from toonvid.video import Frame

if TYPE_CHECKING:
    import cv2

_DEVICE = re.compile(r"\d+|/dev/video\d+")
# DirectShow first: Media Foundation takes up to minutes to open a camera.
_APIS = {
    "linux": ("CAP_V4L2",),
    "win32": ("CAP_DSHOW", "CAP_MSMF"),
    "darwin": ("CAP_AVFOUNDATION",),
}
_SILENT_SECONDS = 2.0  # without a picture, after which a camera is lost
_MISS_SECONDS = 0.1  # from one vain attempt to the next


def is_webcam(source: str) -> bool:
    """Whether a source names a webcam: a number, or `/dev/video0`."""
    return _DEVICE.fullmatch(source) is not None


@contextmanager
def open_webcam(
    source: str, options: CameraOptions | None = None, apis: tuple[str, ...] | None = None
) -> Iterator[Feed]:
    """Open a webcam.

    Args:
        source: Its number, or its device.
        options: What to ask of it.
        apis: OpenCV's names of the interfaces to try, in order; None: this system's best.

    Raises:
        CameraError: It cannot be opened.
    """
    import cv2  # late: what needs no webcam works without OpenCV

    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)  # we say it ourselves
    device = int(source) if source.isdigit() else source
    for api in apis or _APIS.get(sys.platform, ("CAP_ANY",)):
        capture = cv2.VideoCapture(device, int(getattr(cv2, api)))
        if capture.isOpened():
            break
    else:
        raise CameraError(
            f"cannot open camera {source}: is it plugged in, may toonvid use it,"
            " and is no other program using it?"
        )
    try:
        _ask(capture, options or CameraOptions())
        rate = capture.get(cv2.CAP_PROP_FPS)
        usable_rate = Fraction(rate).limit_denominator(1001) if rate > 0 else None
        yield Feed(_frames(capture, source), usable_rate)
    finally:
        capture.release()


def _ask(capture: cv2.VideoCapture, options: CameraOptions) -> None:
    """Ask for one buffer, and for what the user wants; cameras refuse in silence."""
    import cv2

    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
    if options.size or options.frame_rate:
        # Raw pictures of any size do not fit through USB 2 at a film's rate.
        capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
    if options.size:
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, options.size[0])
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, options.size[1])
    if options.frame_rate:
        capture.set(cv2.CAP_PROP_FPS, float(options.frame_rate))


def _frames(capture: cv2.VideoCapture, source: str) -> Iterator[Frame]:
    """Yield what the camera gives; a camera that was unplugged gives nothing, again and again."""
    import cv2

    last = time.monotonic()
    while time.monotonic() < last + _SILENT_SECONDS:
        is_read, pixels = capture.read()  # a driver may itself wait for seconds
        if not is_read:
            time.sleep(_MISS_SECONDS)
            continue
        last = time.monotonic()
        if pixels.ndim == 2:  # infrared cameras
            pixels = cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR)
        yield Frame(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), 0, CLOCK)  # type: ignore[arg-type]
    raise CameraError(f"camera {source} gives no more pictures")
