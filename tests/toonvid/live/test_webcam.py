"""Webcams through OpenCV. There is none here: OpenCV reads a film, which it does likewise; what a
driver is asked for and how it fails is seen on a capture of our own.
"""

from __future__ import annotations

import sys
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.clips import Clip

from toonvid.errors import CameraError
from toonvid.live.camera import Camera
from toonvid.live.feed import CameraOptions
from toonvid.live.webcam import is_webcam, open_webcam


@pytest.mark.parametrize(
    ("source", "is_one"),
    [("0", True), ("12", True), ("/dev/video3", True), ("film.mp4", False), ("rtsp://1", False)],
)
def test_numbers_and_devices_are_webcams(source: str, is_one: bool) -> None:
    assert is_webcam(source) == is_one


def test_pictures_are_rgb_and_the_end_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("cv2")
    monkeypatch.setattr("toonvid.live.webcam._LOST_AFTER_SECONDS", 0.3)
    red = np.zeros((48, 64, 3), np.uint8)
    red[..., 0] = 200
    film = Clip([red] * 5, options={"crf": "10"}).write(tmp_path / "film.mp4")
    options = CameraOptions((64, 48), Fraction(25))
    with open_webcam(str(film), options, apis=("CAP_V4L2", "CAP_ANY")) as feed:
        assert (feed.frame_rate, feed.needs_pacing, feed.has_clock) == (25, False, False)
        for _ in range(5):
            mean = next(feed.frames).pixels.reshape(-1, 3).mean(0)
            assert mean[0] > 180 and mean[1:].max() < 20
        with pytest.raises(CameraError, match=r"film\.mp4 delivers no more frames"):
            next(feed.frames)


def test_camera_that_is_not_there_is_explained() -> None:
    pytest.importorskip("cv2")
    with (
        pytest.raises(CameraError, match="cannot open camera 97: is it plugged in"),
        open_webcam("97"),
    ):
        pass


class Capture:
    """What OpenCV makes of a driver that opens at the first interfaces or not, and then unplugs."""

    closed_apis: tuple[int, ...] = ()
    sizes: tuple[tuple[int, int], ...] = ()
    """(width, height) of each time it is opened; a picture each, then it is unplugged."""

    def __init__(self, device: int | str, api: int) -> None:
        Capture.opened.append((device, api))
        self._is_open = api not in self.closed_apis and len(self.made) < len(self.sizes)
        if self._is_open:
            self._pictures = [self.sizes[len(self.made)]]
            self.asked: list[tuple[int, float]] = []
            Capture.made.append(self)

    def isOpened(self) -> bool:
        return self._is_open

    def set(self, name: int, value: float) -> bool:
        self.asked.append((name, value))
        return False  # drivers refuse in silence

    def get(self, _: int) -> float:
        return 0.0  # or do not know

    def read(self) -> tuple[bool, Any]:
        if not self._pictures:
            return False, None
        width, height = self._pictures.pop()
        return True, np.zeros((height, width, 3), np.uint8)

    def release(self) -> None:
        self._is_open = False


@pytest.fixture
def capture(monkeypatch: pytest.MonkeyPatch) -> type[Capture]:
    cv2 = pytest.importorskip("cv2")
    monkeypatch.setattr(cv2, "VideoCapture", Capture)
    monkeypatch.setattr("toonvid.live.webcam._LOST_AFTER_SECONDS", 0.05)
    monkeypatch.setattr("toonvid.live.webcam._RETRY_SECONDS", 0.01)
    monkeypatch.setattr("toonvid.live.camera._FIRST_RETRY_SECONDS", 0.01)
    monkeypatch.setattr(Capture, "opened", [], raising=False)
    monkeypatch.setattr(Capture, "made", [], raising=False)
    monkeypatch.setattr(Capture, "sizes", ((64, 48),))
    return Capture


@pytest.mark.parametrize(
    ("platform", "apis"),
    [
        ("win32", ["CAP_DSHOW", "CAP_MSMF"]),
        ("linux", ["CAP_V4L2"]),
        ("darwin", ["CAP_AVFOUNDATION"]),
        ("freebsd", ["CAP_ANY"]),
    ],
)
def test_interfaces_are_tried_in_order(
    capture: type[Capture], monkeypatch: pytest.MonkeyPatch, platform: str, apis: list[str]
) -> None:
    import cv2

    numbers = [getattr(cv2, name) for name in apis]
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(capture, "closed_apis", tuple(numbers[:-1]))
    with open_webcam("0") as feed:
        next(feed.frames)
    assert capture.opened == [(0, number) for number in numbers]


def test_drivers_keep_one_buffer_and_are_asked_for_what_is_wanted(capture: type[Capture]) -> None:
    import cv2

    with open_webcam("0", CameraOptions((1280, 720), Fraction(30))) as feed:
        assert feed.frame_rate is None
        next(feed.frames)
    [made] = capture.made
    assert made.asked[0] == (cv2.CAP_PROP_BUFFERSIZE, 1)
    assert (cv2.CAP_PROP_FRAME_WIDTH, 1280) in made.asked
    assert (cv2.CAP_PROP_FRAME_HEIGHT, 720) in made.asked
    assert (cv2.CAP_PROP_FPS, 30.0) in made.asked
    assert not made.isOpened()  # released


def test_unplugged_camera_comes_back_in_another_size(
    capture: type[Capture], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capture, "sizes", ((64, 48), (96, 64)))
    with Camera("camera 0", lambda: open_webcam("0")) as camera:
        shapes = [
            camera.take_newest(5).frame.pixels.shape,
            camera.take_newest(20).frame.pixels.shape,
        ]
    assert shapes == [(48, 64, 3), (64, 96, 3)]
    assert camera.reconnects == 1
    assert not any(made.isOpened() for made in capture.made)


def test_driver_that_waits_long_in_vain_is_asked_once(
    capture: type[Capture], monkeypatch: pytest.MonkeyPatch
) -> None:
    vain: list[float] = []

    def read(_: Capture) -> tuple[bool, None]:
        vain.append(time.monotonic())
        time.sleep(0.1)  # V4L2 in OpenCV: ten seconds
        return False, None

    monkeypatch.setattr(capture, "read", read)
    with open_webcam("0") as feed, pytest.raises(CameraError, match="delivers no more frames"):
        next(feed.frames)
    assert len(vain) == 1
