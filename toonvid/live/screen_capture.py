"""Captures the screen with FFmpeg: on Linux (X11) in a process of its own.

PyAV and OpenCV wheels each bring their own X11 libraries, and a process that opens a window with
one and captures the screen with the other crashes. So the capturing process sends its frames,
uncompressed, through a pipe. It runs this module as a program.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

from toonvid.child_python import child_python
from toonvid.errors import CameraError

_FORMATS = {"linux": "x11grab", "win32": "gdigrab", "darwin": "avfoundation"}
_SCREEN_NAMES = {"win32": "desktop", "darwin": "Capture screen 0"}
_DEFAULT_RATE = 30  # frames per second
_PIPE_FORMAT = "nut"  # FFmpeg's own container: holds uncompressed frames with their pts
_TIMEOUT_SECONDS = (10.0, 5.0)  # to open, and for each read
_EXIT_TIMEOUT_SECONDS = 5.0  # for the capturing process after it was killed


@contextmanager
def open_screen_capture(rate: Fraction | None = None) -> Iterator[InputContainer]:
    """Open the screen as a container of one video stream.

    Args:
        rate: Frames per second; None captures 30.

    Raises:
        CameraError: There is no screen, or it cannot be captured.
    """
    wanted_rate = str(rate or _DEFAULT_RATE)
    display = _SCREEN_NAMES.get(sys.platform) or os.environ.get("DISPLAY")
    if not display:
        raise CameraError("there is no screen to capture: DISPLAY is not set")
    if sys.platform != "linux":
        container_format = _FORMATS.get(sys.platform, "x11grab")
        with _open(display, container_format, {"framerate": wanted_rate}) as container:
            yield container
        return
    command = [*child_python(), "-m", "toonvid.live.screen_capture", display, wanted_rate]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        with _open_pipe(process) as container:
            yield container
    finally:
        process.kill()
        process.communicate(timeout=_EXIT_TIMEOUT_SECONDS)


def capture_screen(display: str, rate: str) -> None:
    """Write the frames of a display to standard output until its reader goes away."""
    with (
        _open(display, _FORMATS["linux"], {"framerate": rate}) as screen,
        av.open(
            "pipe:1", "w", format=_PIPE_FORMAT, container_options={"flush_packets": "1"}
        ) as output,
    ):
        source = screen.streams.video[0]
        target = output.add_stream("rawvideo", rate=Fraction(rate))
        assert isinstance(target, VideoStream)
        target.width, target.height = source.width, source.height
        target.pix_fmt = source.pix_fmt
        target.time_base = source.time_base or Fraction(1, av.time_base)
        # Without this the encoder rounds pts to the frame rate.
        target.codec_context.time_base = target.time_base
        for frame in screen.decode(source):
            output.mux(target.encode(frame))


def _open_pipe(process: subprocess.Popen[bytes]) -> InputContainer:
    """Open the output of the capturing process.

    Raises:
        CameraError: With the last line of the process's standard error, which says more than that
            the pipe is empty.
    """
    assert process.stdout is not None and process.stderr is not None
    try:
        return _open(f"pipe:{process.stdout.fileno()}", _PIPE_FORMAT, {})
    except CameraError as error:
        process.kill()
        reason = process.stderr.read().decode(errors="replace").strip()
        raise CameraError(reason.splitlines()[-1] if reason else str(error)) from error


def _open(url: str, container_format: str, options: dict[str, str]) -> InputContainer:
    try:
        return av.open(
            url,
            "r",
            format=container_format,
            container_options=options,
            timeout=_TIMEOUT_SECONDS,
        )
    except (FFmpegError, OSError, ValueError) as error:
        raise CameraError(f"cannot capture the screen ({error})") from error


if __name__ == "__main__":
    try:
        capture_screen(*sys.argv[1:])
    except CameraError as failure:
        sys.exit(str(failure))
