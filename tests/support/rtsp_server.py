"""A network camera for tests: GStreamer's RTSP server, in a process that can be killed.

It sends H.264 and A-law audio, as many cameras do. It needs these packages of Debian: python3-gi,
gir1.2-gst-rtsp-server-1.0, gstreamer1.0-plugins-good and gstreamer1.0-plugins-ugly.
"""

from __future__ import annotations

import select
import shutil
import subprocess
import sys

import pytest

_START_SECONDS = 60.0
_PROGRAM = """
import sys
import gi
gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer

Gst.init(None)
elements = ("x264enc", "rtph264pay", "alawenc", "rtppcmapay")
missing = [name for name in elements if not Gst.ElementFactory.find(name)]
if missing:
    sys.exit(f"GStreamer has no {missing}")
width, height, port = sys.argv[1:]
factory = GstRtspServer.RTSPMediaFactory(shared=True)
factory.set_launch(
    f"( videotestsrc is-live=true pattern=ball"
    f" ! video/x-raw,width={width},height={height},framerate=15/1"
    " ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=15"
    " ! rtph264pay name=pay0 pt=96 config-interval=1"
    " audiotestsrc is-live=true ! audio/x-raw,rate=8000,channels=1"
    " ! alawenc ! rtppcmapay name=pay1 pt=8 )"
)
server = GstRtspServer.RTSPServer(address="127.0.0.1", service=port)
server.get_mount_points().add_factory("/camera", factory)
if not server.attach(None):
    sys.exit("the port is taken")
print(server.get_bound_port(), flush=True)
GLib.MainLoop().run()
"""


class RtspServer:
    """Sends a moving ball and a tone. A context manager; on exit the server is killed.

    Skips the test if GStreamer or one of its plugins is missing.
    """

    def __init__(self, width: int, height: int, port: int = 0) -> None:
        self._size, self._asked_port = (width, height), port
        self.port = 0
        """Port that it listens on. Set on entry."""

    @property
    def url(self) -> str:
        return f"rtsp://127.0.0.1:{self.port}/camera"

    def __enter__(self) -> RtspServer:
        arguments = [*map(str, self._size), str(self._asked_port)]
        self._process = subprocess.Popen(
            [_python(), "-c", _PROGRAM, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], _START_SECONDS)
        assert ready, "the RTSP server does not start"
        port = self._process.stdout.readline().strip()
        if not port:
            self._process.kill()
            _, errors = self._process.communicate()
            assert b"port is taken" not in errors
            pytest.skip(f"there is no RTSP server: {errors.decode().strip().splitlines()[-1:]}")
        self.port = int(port)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()


def _python() -> str:
    """Return Debian's Python, which has the bindings of Debian's GStreamer."""
    return shutil.which("python3", path="/usr/bin") or sys.executable
