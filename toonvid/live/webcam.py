"""Opens webcams with OpenCV, as a feed without audio and without a clock of its own."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import TYPE_CHECKING

from toonvid.errors import CameraError
from toonvid.live.feed import LIVE_TIME_BASE, CameraOptions, Feed
from toonvid.video import Frame

if TYPE_CHECKING:
    import cv2

_WEBCAM = re.compile(r"\d+|/dev/video\d+")
# DirectShow first: Media Foundation can take a minute to open a camera.
_APIS = {
    "linux": ("CAP_V4L2",),
    "win32": ("CAP_DSHOW", "CAP_MSMF"),
    "darwin": ("CAP_AVFOUNDATION",),
}
_LOST_AFTER_SECONDS = 2.0  # without a frame
_RETRY_SECONDS = 0.1  # between two reads that give no frame


def is_webcam(source: str) -> bool:
    """Whether a source names a webcam: a number, or a device such as `/dev/video0`."""
    return _WEBCAM.fullmatch(source) is not None


@contextmanager
def open_webcam(
    source: str, options: CameraOptions | None = None, apis: tuple[str, ...] | None = None
) -> Iterator[Feed]:
    """Open a webcam.

    Args:
        source: Its number, or its device.
        options: Size and frame rate to ask for. None asks for nothing.
        apis: OpenCV's names of the capture interfaces to try, in order. None tries those that suit
            this operating system.

    Raises:
        CameraError: The webcam cannot be opened.
    """
    import cv2  # imported here: network cameras and files work without OpenCV

    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)  # CameraError says it
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
        _apply_options(capture, options or CameraOptions())
        rate = capture.get(cv2.CAP_PROP_FPS)
        usable_rate = Fraction(rate).limit_denominator(1001) if rate > 0 else None
        yield Feed(_frames(capture, source), usable_rate)
    finally:
        capture.release()


def _apply_options(capture: cv2.VideoCapture, options: CameraOptions) -> None:
    """Ask the driver for one buffer, and for the options. Drivers refuse without an error."""
    import cv2

    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # frames that wait in the driver are late
    if options.size or options.frame_rate:
        # Uncompressed frames of HD size do not fit through USB 2 at 25 per second.
        capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
    if options.size:
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, options.size[0])
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, options.size[1])
    if options.frame_rate:
        capture.set(cv2.CAP_PROP_FPS, float(options.frame_rate))


def _frames(capture: cv2.VideoCapture, source: str) -> Iterator[Frame]:
    """Yield the frames of a webcam until it delivers none for two seconds.

    Raises:
        CameraError: The webcam is lost. OpenCV has no other sign of one that was unplugged than
            reads that give no frame.
    """
    import cv2

    last = time.monotonic()
    while time.monotonic() < last + _LOST_AFTER_SECONDS:
        is_read, pixels = capture.read()  # may block for seconds: ten with V4L2
        if not is_read:
            time.sleep(_RETRY_SECONDS)
            continue
        last = time.monotonic()
        if pixels.ndim == 2:  # infrared cameras are grayscale
            pixels = cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR)
        rgb = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
        yield Frame(rgb, 0, LIVE_TIME_BASE)  # type: ignore[arg-type]
    raise CameraError(f"camera {source} delivers no more frames")
