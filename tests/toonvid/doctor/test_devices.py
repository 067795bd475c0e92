"""The checks for live video: cameras and displays."""

from __future__ import annotations

import os
import struct
import sys
from pathlib import Path

import pytest
from support.doctor import only
from support.virtual_display import virtual_display

from toonvid.doctor import devices

on_linux = pytest.mark.skipif(
    sys.platform != "linux", reason="other systems are checked in another way"
)


def capability(name: bytes, of_device: int) -> bytes:
    words = (name, b"bus", 0x60000, 0x84A00001, of_device, 0, 0, 0)
    return struct.pack("=16s32s32s6I", b"uvcvideo", *words)


def test_a_camera_is_a_device_that_captures_video() -> None:
    assert devices.camera_name(capability(b"Integrated Camera", 0x04200001)) == "Integrated Camera"
    assert devices.camera_name(capability(b"Its metadata", 0x04A00000)) is None
    assert devices.camera_name(capability(b"A virtual camera", 0x00200002)) is None


@on_linux
def test_files_that_are_not_devices_are_no_cameras(tmp_path: Path) -> None:
    assert only(devices.check_cameras(tmp_path)).message == "none is plugged in"
    (tmp_path / "video0").write_text("a file")
    assert only(devices.check_cameras(tmp_path)).state == "missing"


@on_linux
@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may open everything")
def test_cameras_without_permission_are_broken(tmp_path: Path) -> None:
    (tmp_path / "video0").touch(0)
    assert "usermod" in only(devices.check_cameras(tmp_path)).fix


@on_linux
def test_a_display_is_checked_by_opening_a_window(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = only(devices.check_display())
    assert absent.state == "missing" and "DISPLAY is not set" in absent.message
    monkeypatch.setenv("DISPLAY", ":12345")
    assert "display :12345" in only(devices.check_display()).message
    with virtual_display(320, 240) as display:
        monkeypatch.setenv("DISPLAY", display)
        assert only(devices.check_display()).state == "ok"


@on_linux
def test_opencv_that_cannot_be_loaded_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cv2.py").write_text("raise ImportError('libGL.so.1: cannot open')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("DISPLAY", ":0")
    words = "OpenCV cannot be loaded (ImportError: libGL.so.1: cannot open)"
    assert only(devices.check_display()).message == words
