"""Checks for live video: cameras, a virtual camera, a display.

In: the device files of Linux, or the libraries that open devices. Out: a result for each.
"""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from toonvid.doctor.check_result import CheckResult, CheckState
from toonvid.errors import CameraError
from toonvid.live.display import display_problem

_DEV = Path("/dev")
_QUERY_CAPABILITIES = 0x80685600  # VIDIOC_QUERYCAP
_CAPABILITIES = struct.Struct("=16s32s32s3I3I")  # v4l2_capability
_CAN_CAPTURE = 0x1 | 0x1000  # V4L2_CAP_VIDEO_CAPTURE, V4L2_CAP_VIDEO_CAPTURE_MPLANE
_LIVE_INSTALL = "pip install 'toonvid[live]'"
_JOIN_GROUP = "sudo usermod -aG video $USER, and log in again"


def check_cameras(dev: Path = _DEV) -> list[CheckResult]:
    """List the cameras: on Linux by asking the kernel, elsewhere by opening camera 0."""
    if sys.platform != "linux":
        return [_check_first_camera()]
    paths = sorted(dev.glob("video*"))
    names = {str(path): name for path in paths if (name := _device_name(path))}
    if names:
        message = ", ".join(f"{name} ({path})" for path, name in names.items())
        return [_camera_result("ok", message, devices=[*names])]
    if unreadable := [str(path) for path in paths if not os.access(path, os.R_OK | os.W_OK)]:
        return [
            _camera_result("broken", f"no permission to open {', '.join(unreadable)}", _JOIN_GROUP)
        ]
    return [_camera_result("missing", "none is plugged in")]


def check_virtual_camera() -> list[CheckResult]:
    """Open the virtual camera for a moment."""
    if find_spec("pyvirtualcam") is None:
        message = "pyvirtualcam is not installed"
        return [CheckResult("live", "virtual-camera", "missing", message, _LIVE_INSTALL)]
    from toonvid.live.virtual_camera import find_virtual_camera, install_advice

    try:
        return [CheckResult("live", "virtual-camera", "ok", find_virtual_camera())]
    except CameraError as error:
        message = str(error).removesuffix(f": {install_advice()}")
        return [CheckResult("live", "virtual-camera", "missing", message, install_advice())]


def check_display() -> list[CheckResult]:
    """Open a window for a moment."""
    if problem := display_problem():
        fix = "toonvid live --serve needs no display"
        return [CheckResult("live", "display", "missing", problem, fix)]
    return [CheckResult("live", "display", "ok", "a window opens")]


def _device_name(path: Path) -> str | None:
    """Return the kernel's name of a camera; None if the device is not a camera."""
    import fcntl  # not on Windows

    try:
        file = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        return camera_name(fcntl.ioctl(file, _QUERY_CAPABILITIES, bytes(_CAPABILITIES.size)))
    except OSError:
        return None
    finally:
        os.close(file)


def camera_name(answer: bytes) -> str | None:
    """Return the name in a `v4l2_capability`; None if the device cannot capture video."""
    _, name, _, _, _, device_capabilities, *_ = _CAPABILITIES.unpack(answer)
    if not device_capabilities & _CAN_CAPTURE:
        return None
    return str(name.split(b"\0")[0].decode(errors="replace"))


def _check_first_camera() -> CheckResult:
    from toonvid.live.webcam import open_webcam

    try:
        with open_webcam("0") as feed:
            frame = next(feed.frames)
    except (CameraError, ImportError, StopIteration) as error:
        return _camera_result("missing", str(error))
    height, width = frame.pixels.shape[:2]
    return _camera_result("ok", f"camera 0 gives frames of {width}x{height}", devices=["0"])


def _camera_result(
    state: CheckState, message: str, fix: str = "", devices: Iterable[str] = ()
) -> CheckResult:
    return CheckResult("live", "camera", state, message, fix, {"devices": [*devices]})
