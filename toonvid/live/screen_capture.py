"""The screen, filmed by FFmpeg: on X11 in a process of its own.

There PyAV and OpenCV each bring X11's libraries, and a process that opens a window with the one and
films with the other crashes. So the filming process hands its pictures on, uncompressed, in a pipe.
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

from toonvid.errors import CameraError

_FORMATS = {"linux": "x11grab", "win32": "gdigrab", "darwin": "avfoundation"}
_NAMES = {"win32": "desktop", "darwin": "Capture screen 0"}
_USUAL_RATE = 30
_PIPE_FORMAT = "nut"  # FFmpeg's own: raw pictures and their times
_TIMEOUT_SECONDS = (10.0, 5.0)  # to begin, and for each picture
_GOODBYE_SECONDS = 5.0


@contextmanager
def open_screen(rate: Fraction | None = None) -> Iterator[InputContainer]:
    """Film the screen.

    Args:
        rate: Pictures a second; None: 30.

    Raises:
        CameraError: There is none, or it cannot be filmed.
    """
    asked = str(rate or _USUAL_RATE)
    display = _NAMES.get(sys.platform) or os.environ.get("DISPLAY")
    if not display:
        raise CameraError("there is no screen to film: DISPLAY is not set")
    if sys.platform != "linux":
        with _opened(display, _FORMATS.get(sys.platform, "x11grab"), {"framerate": asked}) as film:
            yield film
        return
    command = [sys.executable, "-m", "toonvid.live.screen_capture", display, asked]
    filming = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        with _piped(filming) as film:
            yield film
    finally:
        filming.kill()
        filming.communicate(timeout=_GOODBYE_SECONDS)


def _piped(filming: subprocess.Popen[bytes]) -> InputContainer:
    """What another process films; it knows better why it cannot."""
    assert filming.stdout is not None and filming.stderr is not None
    try:
        return _opened(f"pipe:{filming.stdout.fileno()}", _PIPE_FORMAT, {})
    except CameraError as error:
        filming.kill()
        reason = filming.stderr.read().decode(errors="replace").strip()
        raise CameraError(reason.splitlines()[-1] if reason else str(error)) from error


def film_screen(display: str, rate: str) -> None:
    """Write what is on a display to standard output, until nobody reads it."""
    with (
        _opened(display, _FORMATS["linux"], {"framerate": rate}) as film,
        av.open(
            "pipe:1", "w", format=_PIPE_FORMAT, container_options={"flush_packets": "1"}
        ) as out,
    ):
        grabbed = film.streams.video[0]
        stream = out.add_stream("rawvideo", rate=Fraction(rate))
        assert isinstance(stream, VideoStream)
        stream.width, stream.height = grabbed.width, grabbed.height
        stream.pix_fmt = grabbed.pix_fmt
        stream.time_base = grabbed.time_base or Fraction(1, av.time_base)
        stream.codec_context.time_base = stream.time_base  # else times are rounded to the rate
        for picture in film.decode(grabbed):
            out.mux(stream.encode(picture))


def _opened(url: str, container_format: str, options: dict[str, str]) -> InputContainer:
    try:
        return av.open(
            url,
            "r",
            format=container_format,
            container_options=options,
            timeout=_TIMEOUT_SECONDS,
        )
    except (FFmpegError, OSError, ValueError) as error:
        raise CameraError(f"cannot film the screen ({error})") from error


if __name__ == "__main__":
    try:
        film_screen(*sys.argv[1:])
    except CameraError as failure:
        sys.exit(str(failure))
