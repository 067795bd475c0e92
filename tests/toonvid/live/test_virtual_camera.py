"""Virtual cameras that exist, are missing or busy, with a backend added to pyvirtualcam."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toonvid.errors import CameraError
from toonvid.live.feed import LIVE_TIME_BASE
from toonvid.live.live_stylizer import StylizedFrame
from toonvid.live.session import DisplayFrame
from toonvid.live.virtual_camera import ANY, VirtualCamera
from toonvid.video import Frame, Pixels

library = pytest.importorskip("pyvirtualcam.camera", reason="the extra live is not installed")


def display_frame(level: int, width: int = 64, height: int = 48) -> DisplayFrame:
    pixels = np.full((height, width, 3), level, np.uint8)
    stylized = StylizedFrame(pixels, Frame(pixels, 0, LIVE_TIME_BASE), 0.0)
    return DisplayFrame(stylized, np.zeros_like(pixels))


class FakeDevice:
    """A backend of pyvirtualcam that stores its frames; /dev/video99 is busy."""

    sent: list[Pixels]

    def __init__(self, *, width: int, height: int, device: str | None, **_: Any) -> None:
        if device == "/dev/video99":
            raise RuntimeError(f"{device}: Device or resource busy")
        self._shape, self._device = (height, width, 3), device or "/dev/video10"
        FakeDevice.sent = []

    def send(self, frame: Pixels) -> None:
        FakeDevice.sent.append(frame.reshape(self._shape).copy())

    def device(self) -> str:
        return self._device

    def native_fourcc(self) -> None:
        return None

    def close(self) -> None:
        FakeDevice.sent.append(np.zeros((0, 0, 3), np.uint8))


@pytest.fixture
def _device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "BACKENDS", {"fake": FakeDevice})


@pytest.mark.usefixtures("_device")
def test_cartoons_are_sent_letterboxed_to_the_first_free_device() -> None:
    notices: list[str] = []
    with VirtualCamera(ANY, 25, notices.append) as camera:
        camera.show(None)
        assert notices == []
        camera.show(display_frame(10, 65, 49))
        camera.show(display_frame(200, 64, 24))
    assert notices == ["choose /dev/video10 as your camera in other programs (64x48)"]
    first, second, closed = FakeDevice.sent
    assert first.shape == second.shape == (48, 64, 3)
    assert abs(int(first.mean()) - 10) < 2
    assert second[24].min() > 190 and second[4].max() < 10  # black bars above and below
    assert closed.size == 0


@pytest.mark.usefixtures("_device")
def test_busy_device_is_an_error_with_advice() -> None:
    with (
        VirtualCamera("/dev/video99", None, print) as camera,
        pytest.raises(CameraError, match=r"/dev/video99 is busy .*end the program that writes"),
    ):
        camera.show(display_frame(1))


@pytest.mark.skipif(
    sys.platform != "linux" or any(Path("/dev").glob("video*")), reason="there may be a device"
)
def test_missing_device_is_an_error_with_advice() -> None:
    with (
        VirtualCamera(ANY, None, print) as camera,
        pytest.raises(CameraError, match=r"cannot open a virtual camera .*modprobe v4l2loopback"),
    ):
        camera.show(display_frame(1))


def test_missing_library_is_an_error_with_the_command_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pyvirtualcam", None)
    with pytest.raises(CameraError, match=r"pip install 'toonvid\[live\]'"):
        VirtualCamera(ANY, None, print)
