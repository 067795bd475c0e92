"""Output: cartoons as a webcam that other programs can choose, through pyvirtualcam."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from toonvid.errors import CameraError
from toonvid.live.session import DisplayFrame
from toonvid.stylizing.resize import letterbox

if TYPE_CHECKING:
    import pyvirtualcam

ANY = "any"
"""Device name that takes the first free device."""

_DEFAULT_RATE = 30.0  # frames per second
_PROBE_SIZE = (64, 48)  # width and height in pixels
_ADVICE = {
    "linux": "load one with: sudo modprobe v4l2loopback exclusive_caps=1 card_label=toonvid",
    "win32": "install OBS Studio, whose virtual camera is used",
    "darwin": "install OBS Studio, and start and stop its virtual camera once",
}


def find_virtual_camera() -> str:
    """Return the name of the device that `ANY` takes. It is opened and closed for that.

    Raises:
        CameraError: There is none, it is busy, or pyvirtualcam is not installed.
    """
    with VirtualCamera(ANY, None, lambda _: None) as camera:
        camera._camera = camera._open(*_PROBE_SIZE)
        return str(camera._camera.device)


def install_advice() -> str:
    """Return what to do on this operating system to have a virtual camera."""
    return _ADVICE.get(sys.platform, "pyvirtualcam's documentation names what this system needs")


class VirtualCamera:
    """Sends cartoons to a virtual webcam. A context manager.

    The webcam has the size of the first frame; later frames are letterboxed into it.
    """

    def __init__(
        self, device: str, frame_rate: float | None, on_notice: Callable[[str], None]
    ) -> None:
        """Check that the library is installed; the device is opened with the first frame.

        Args:
            device: Its name, `/dev/video10` for example, or `ANY`.
            frame_rate: Frames per second to announce to other programs; None announces 30.
            on_notice: Called with one line that names the device, when it is opened.

        Raises:
            CameraError: pyvirtualcam is not installed.
        """
        try:
            import pyvirtualcam  # noqa: F401
        except ImportError as error:
            raise CameraError(
                "a virtual camera needs pyvirtualcam, which is not installed:"
                " pip install 'toonvid[live]'"
            ) from error
        self._device = device
        self._on_notice = on_notice
        self._rate = frame_rate or _DEFAULT_RATE
        self._camera: pyvirtualcam.Camera | None = None

    def __enter__(self) -> VirtualCamera:
        return self

    def __exit__(self, *_: object) -> None:
        if self._camera is not None:
            self._camera.close()

    def show(self, frame: DisplayFrame | None) -> None:
        """Send a cartoon, without the wipe. None does nothing.

        Raises:
            CameraError: There is no such device, it is busy, or it failed.
        """
        if frame is None:
            return
        pixels = frame.stylized.frame.pixels
        if self._camera is None:
            self._camera = self._open(pixels.shape[1], pixels.shape[0])
            name, size = self._camera.device, f"{self._camera.width}x{self._camera.height}"
            self._on_notice(f"choose {name} as your camera in other programs ({size})")
        pixels = letterbox(pixels, self._camera.width, self._camera.height)
        try:
            self._camera.send(np.ascontiguousarray(pixels))
        except (RuntimeError, OSError) as error:
            raise CameraError(f"virtual camera {self._device} failed: {error}") from error

    def _open(self, width: int, height: int) -> pyvirtualcam.Camera:
        import pyvirtualcam

        device = None if self._device == ANY else self._device
        try:
            # Even sides: virtual cameras take 4:2:0, with one color value per 2x2 pixels.
            return pyvirtualcam.Camera(
                width - width % 2, height - height % 2, self._rate, device=device
            )
        except (RuntimeError, OSError, ValueError) as error:
            raise CameraError(_error_message(self._device, error)) from error


def _error_message(device: str, error: Exception) -> str:
    """Turn pyvirtualcam's message of several lines into one that says what to do."""
    name = "a virtual camera" if device == ANY else f"virtual camera {device}"
    reason = " ".join(str(error).split())
    if any(word in reason.lower() for word in ("busy", "in use", "already", "ebusy")):
        return f"{name} is busy ({reason}): end the program that writes to it, or name another"
    return f"cannot open {name} ({reason}): {install_advice()}"
