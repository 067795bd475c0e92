"""Webcams through OpenCV.

There is no webcam on a test machine. OpenCV reads a video file through the same class, and a fake
capture shows what drivers are asked for and how they fail.
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
from support.scripted_feed import LIMIT_SECONDS

from toonvid.errors import CameraError
from toonvid.live.camera import Camera
from toonvid.live.feed import CameraOptions
from toonvid.live.webcam import is_webcam, open_webcam


@pytest.mark.parametrize(
    ("source", "is_one"),
    [("0", True), ("12", True), ("/dev/video3", True), ("film.mp4", False), ("rtsp://1", False)],
)
def test_only_numbers_and_devices_name_webcams(source: str, is_one: bool) -> None:
    assert is_webcam(source) == is_one


def test_frames_are_rgb_and_the_end_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("cv2")
    monkeypatch.setattr("toonvid.live.webcam._LOST_AFTER_SECONDS", 0.3)
    red = np.zeros((48, 64, 3), np.uint8)
    red[..., 0] = 200
    clip = Clip([red] * 5, options={"crf": "10"}).write(tmp_path / "clip.mp4")
    options = CameraOptions((64, 48), Fraction(25))
    with open_webcam(str(clip), options, apis=("CAP_V4L2", "CAP_ANY")) as feed:
        assert (feed.frame_rate, feed.needs_pacing, feed.has_clock) == (25, False, False)
        for _ in range(5):
            mean = next(feed.frames).pixels.reshape(-1, 3).mean(0)
            assert mean[0] > 180 and mean[1:].max() < 20
        with pytest.raises(CameraError, match=r"clip\.mp4 delivers no more frames"):
            next(feed.frames)


def test_missing_webcam_is_an_error_with_advice() -> None:
    pytest.importorskip("cv2")
    with (
        pytest.raises(CameraError, match="cannot open camera 97: is it plugged in"),
        open_webcam("97"),
    ):
        pass


class FakeCapture:
    """A fake of `cv2.VideoCapture` whose webcam is unplugged after each first frame."""

    closed_apis: tuple[int, ...] = ()
    """FakeCapture interfaces with which it cannot be opened."""
    sizes: tuple[tuple[int, int], ...] = ()
    """Width and height of the one frame of each time that it is opened."""

    def __init__(self, device: int | str, api: int) -> None:
        FakeCapture.opened.append((device, api))
        self._is_open = api not in self.closed_apis and len(self.made) < len(self.sizes)
        if self._is_open:
            self._frame_sizes = [self.sizes[len(self.made)]]
            self.asked: list[tuple[int, float]] = []
            FakeCapture.made.append(self)

    def isOpened(self) -> bool:
        return self._is_open

    def set(self, name: int, value: float) -> bool:
        self.asked.append((name, value))
        return False  # as drivers that refuse

    def get(self, _: int) -> float:
        return 0.0  # as drivers that do not know

    def read(self) -> tuple[bool, Any]:
        if not self._frame_sizes:
            return False, None
        width, height = self._frame_sizes.pop()
        return True, np.zeros((height, width, 3), np.uint8)

    def release(self) -> None:
        self._is_open = False


@pytest.fixture
def capture(monkeypatch: pytest.MonkeyPatch) -> type[FakeCapture]:
    cv2 = pytest.importorskip("cv2")
    monkeypatch.setattr(cv2, "VideoCapture", FakeCapture)
    monkeypatch.setattr("toonvid.live.webcam._LOST_AFTER_SECONDS", 0.05)
    monkeypatch.setattr("toonvid.live.webcam._RETRY_SECONDS", 0.01)
    monkeypatch.setattr("toonvid.live.camera._FIRST_RETRY_SECONDS", 0.01)
    monkeypatch.setattr(FakeCapture, "opened", [], raising=False)
    monkeypatch.setattr(FakeCapture, "made", [], raising=False)
    monkeypatch.setattr(FakeCapture, "sizes", ((64, 48),))
    return FakeCapture


@pytest.mark.parametrize(
    ("platform", "apis"),
    [
        ("win32", ["CAP_DSHOW", "CAP_MSMF"]),
        ("linux", ["CAP_V4L2"]),
        ("darwin", ["CAP_AVFOUNDATION"]),
        ("freebsd", ["CAP_ANY"]),
    ],
)
def test_capture_interfaces_of_the_system_are_tried_in_order(
    capture: type[FakeCapture], monkeypatch: pytest.MonkeyPatch, platform: str, apis: list[str]
) -> None:
    import cv2

    numbers = [getattr(cv2, name) for name in apis]
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(capture, "closed_apis", tuple(numbers[:-1]))
    with open_webcam("0") as feed:
        next(feed.frames)
    assert capture.opened == [(0, number) for number in numbers]


def test_driver_is_asked_for_one_buffer_and_the_options(capture: type[FakeCapture]) -> None:
    import cv2

    with open_webcam("0", CameraOptions((1280, 720), Fraction(30))) as feed:
        assert feed.frame_rate is None
        next(feed.frames)
    [made] = capture.made
    assert made.asked[0] == (cv2.CAP_PROP_BUFFERSIZE, 1)
    assert (cv2.CAP_PROP_FRAME_WIDTH, 1280) in made.asked
    assert (cv2.CAP_PROP_FRAME_HEIGHT, 720) in made.asked
    assert (cv2.CAP_PROP_FPS, 30.0) in made.asked
    assert not made.isOpened()  # it was released


def test_unplugged_webcam_comes_back_with_another_size(
    capture: type[FakeCapture], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capture, "sizes", ((64, 48), (96, 64)))
    with Camera("camera 0", lambda: open_webcam("0")) as camera:
        shapes = [
            camera.take_newest(LIMIT_SECONDS).frame.pixels.shape,
            camera.take_newest(LIMIT_SECONDS).frame.pixels.shape,
        ]
    assert shapes == [(48, 64, 3), (64, 96, 3)]
    assert camera.reconnects == 1
    assert not any(made.isOpened() for made in capture.made)


def test_driver_that_blocks_longer_than_the_limit_is_read_once(
    capture: type[FakeCapture], monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[float] = []

    def read(_: FakeCapture) -> tuple[bool, None]:
        reads.append(time.monotonic())
        time.sleep(0.1)  # OpenCV with V4L2 blocks for ten seconds
        return False, None

    monkeypatch.setattr(capture, "read", read)
    with open_webcam("0") as feed, pytest.raises(CameraError, match="delivers no more frames"):
        next(feed.frames)
    assert len(reads) == 1
