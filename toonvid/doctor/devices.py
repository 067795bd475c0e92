"""What `toonvid live` needs: cameras, a virtual camera, a display."""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from toonvid.doctor.check_result import CheckResult, State
from toonvid.errors import CameraError
from toonvid.live.display import display_problem

_DEV = Path("/dev")
_QUERY_CAPABILITIES = 0x80685600  # VIDIOC_QUERYCAP
_CAPABILITIES = struct.Struct("=16s32s32s3I3I")
_CAPTURES = 0x1 | 0x1000  # V4L2_CAP_VIDEO_CAPTURE, …_MPLANE
_LIVE_INSTALL = "pip install 'toonvid[live]'"
_MAY_NOT = "sudo usermod -aG video $USER, and log in again"


def check_cameras(dev: Path = _DEV) -> list[CheckResult]:
    """Linux is asked which cameras there are; elsewhere camera 0 is opened for a moment."""
    if sys.platform != "linux":
        return [_first_camera()]
    paths = sorted(dev.glob("video*"))
    names = {str(path): name for path in paths if (name := _camera_name(path))}
    if names:
        words = ", ".join(f"{name} ({path})" for path, name in names.items())
        return [_camera("ok", words, devices=[*names])]
    if closed := [str(path) for path in paths if not os.access(path, os.R_OK | os.W_OK)]:
        return [_camera("broken", f"no permission to open {', '.join(closed)}", _MAY_NOT)]
    return [_camera("missing", "none is plugged in")]


def check_virtual_camera() -> list[CheckResult]:
    """Open the virtual camera for a moment."""
    if find_spec("pyvirtualcam") is None:
        words = "pyvirtualcam is not installed"
        return [CheckResult("live", "virtual-camera", "missing", words, _LIVE_INSTALL)]
    from toonvid.live.virtual_camera import find_virtual_camera, install_advice

    try:
        return [CheckResult("live", "virtual-camera", "ok", find_virtual_camera())]
    except CameraError as error:
        words = str(error).removesuffix(f": {install_advice()}")
        return [CheckResult("live", "virtual-camera", "missing", words, install_advice())]


def check_display() -> list[CheckResult]:
    """Open a window for a moment."""
    if problem := display_problem():
        mend = "toonvid live --serve needs no display"
        return [CheckResult("live", "display", "missing", problem, mend)]
    return [CheckResult("live", "display", "ok", "a window opens")]


def _camera_name(path: Path) -> str | None:
    """What the kernel calls a camera; None where the device gives no pictures."""
    import fcntl

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
    """The name in the kernel's `v4l2_capability`; None where it is no camera."""
    _, name, _, _, _, of_device, *_ = _CAPABILITIES.unpack(answer)
    if not of_device & _CAPTURES:
        return None
    return str(name.split(b"\0")[0].decode(errors="replace"))


def _first_camera() -> CheckResult:
    from toonvid.live.webcam import open_webcam

    try:
        with open_webcam("0") as feed:
            frame = next(feed.frames)
    except (CameraError, ImportError, StopIteration) as error:
        return _camera("missing", str(error))
    height, width = frame.pixels.shape[:2]
    return _camera("ok", f"camera 0 gives pictures of {width}x{height}", devices=["0"])


def _camera(state: State, words: str, mend: str = "", devices: Iterable[str] = ()) -> CheckResult:
    return CheckResult("live", "camera", state, words, mend, {"devices": [*devices]})
