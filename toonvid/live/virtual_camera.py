"""The virtual camera: cartoons as a camera that video calls can choose, through pyvirtualcam."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from toonvid.errors import CameraError
from toonvid.live.session import Picture
from toonvid.stylizing.resize import letterbox

if TYPE_CHECKING:
    import pyvirtualcam

ANY = "any"
"""Takes the first device that is free."""

_USUAL_RATE = 30.0
_TRIED_SIZE = (64, 48)
_ADVICE = {
    "linux": "load one with: sudo modprobe v4l2loopback exclusive_caps=1 card_label=toonvid",
    "win32": "install OBS Studio, whose virtual camera is used",
    "darwin": "install OBS Studio, and start and stop its virtual camera once",
}


def find_virtual_camera() -> str:
    """Name of the device that `ANY` takes; it is opened for a moment.

    Raises:
        CameraError: There is none, it is busy, or pyvirtualcam is not installed.
    """
    with VirtualCamera(ANY, None, lambda _: None) as camera:
        camera._camera = camera._opened(*_TRIED_SIZE)
        return str(camera._camera.device)


class VirtualCamera:
    """A screen that is a camera to other programs. A context manager.

    Its size is that of the first picture; later ones are put into it whole.
    """

    def __init__(
        self, device: str, frame_rate: float | None, on_notice: Callable[[str], None]
    ) -> None:
        """Look for the library.

        Args:
            device: Its name, `/dev/video10` say, or `ANY`.
            frame_rate: Told to whoever reads the camera; None: 30 a second.
            on_notice: Called with a line when the device is found.

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
        self._rate = frame_rate or _USUAL_RATE
        self._camera: pyvirtualcam.Camera | None = None

    def __enter__(self) -> VirtualCamera:
        return self

    def __exit__(self, *_: object) -> None:
        if self._camera is not None:
            self._camera.close()

    def show(self, picture: Picture | None) -> None:
        """Send a cartoon.

        Raises:
            CameraError: There is no such device, it is busy, or it failed.
        """
        if picture is None:
            return
        pixels = picture.cartoon.frame.pixels
        if self._camera is None:
            self._camera = self._opened(pixels.shape[1], pixels.shape[0])
            name, size = self._camera.device, f"{self._camera.width}x{self._camera.height}"
            self._on_notice(f"choose {name} as your camera in other programs ({size})")
        pixels = letterbox(pixels, self._camera.width, self._camera.height)
        try:
            self._camera.send(np.ascontiguousarray(pixels))
        except (RuntimeError, OSError) as error:
            raise CameraError(f"virtual camera {self._device} failed: {error}") from error

    def _opened(self, width: int, height: int) -> pyvirtualcam.Camera:
        import pyvirtualcam

        device = None if self._device == ANY else self._device
        try:
            # Half the pixels of colour: sides are even.
            return pyvirtualcam.Camera(
                width - width % 2, height - height % 2, self._rate, device=device
            )
        except (RuntimeError, OSError, ValueError) as error:
            raise CameraError(_explained(self._device, error)) from error


def _explained(device: str, error: Exception) -> str:
    """pyvirtualcam's many words, as what is amiss and what to do."""
    name = "a virtual camera" if device == ANY else f"virtual camera {device}"
    reason = " ".join(str(error).split())
    if any(word in reason.lower() for word in ("busy", "in use", "already", "ebusy")):
        return f"{name} is busy ({reason}): end the program that writes to it, or name another"
    return f"cannot open {name} ({reason}): {advice()}"


def advice() -> str:
    """How this system gets a virtual camera."""
    return _ADVICE.get(sys.platform, "pyvirtualcam's documentation names what this system needs")
