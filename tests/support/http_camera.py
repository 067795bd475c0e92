"""Network cameras for tests: HTTP servers that send moving images and can be stopped."""

from __future__ import annotations

import io
import socket
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path

import av
import numpy as np

from support.clips import Clip, Pixels, Tone, moving_frames

_BOUNDARY = "frame"


class HttpCamera:
    """Sends chunks of bytes to each client. A context manager; on exit all connections are cut."""

    def __init__(
        self, content_type: str, chunks: Callable[[], Iterable[bytes]], rate: float, port: int = 0
    ) -> None:
        """Store what to send.

        Args:
            content_type: Value of the Content-Type header.
            chunks: Called for each client; the bytes to send.
            rate: Chunks per second.
            port: To listen on; 0 takes any free one.
        """
        sockets: list[socket.socket] = []
        stopping, paused = threading.Event(), threading.Event()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                sockets.append(self.connection)
                self.send_response(200)
                self.send_header("Content-Type", content_type)
                self.end_headers()
                with suppress(OSError):
                    self._send_chunks()

            def _send_chunks(self) -> None:
                began = time.monotonic()
                for number, chunk in enumerate(chunks()):
                    while paused.is_set() and not stopping.is_set():
                        time.sleep(0.02)
                    if stopping.is_set():
                        return
                    self.wfile.write(chunk)
                    time.sleep(max(0.0, began + (number + 1) / rate - time.monotonic()))

            def log_message(self, *_: object) -> None:
                """Log nothing."""

        self._sockets, self._stopping, self._paused = sockets, stopping, paused
        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}/camera"

    def __enter__(self) -> HttpCamera:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def pause(self) -> None:
        """Send nothing more, but keep the connections open."""
        self._paused.set()

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._server.shutdown()
        self._server.server_close()
        for connection in self._sockets:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class MjpegCamera(HttpCamera):
    """Sends Motion JPEG: gray frames that get lighter, or the frames of a function."""

    def __init__(
        self,
        width: int,
        height: int,
        port: int = 0,
        rate: float = 25.0,
        draw: Callable[[int], Pixels] | None = None,
    ) -> None:
        def draw_gray(number: int) -> Pixels:
            return np.full((height, width, 3), number % 200, np.uint8)

        def chunks() -> Iterable[bytes]:
            for number in count():
                data = jpeg_of((draw or draw_gray)(number))
                head = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\n"
                head += f"Content-Length: {len(data)}\r\n\r\n"
                yield head.encode() + data + b"\r\n"

        super().__init__(f"multipart/x-mixed-replace; boundary={_BOUNDARY}", chunks, rate, port)


class SoundCamera(HttpCamera):
    """Sends ten seconds of video and a tone, once, as an MPEG transport stream."""

    SECONDS = 10

    def __init__(self, width: int, height: int, folder: Path, port: int = 0) -> None:
        clip = Clip(
            moving_frames(25 * self.SECONDS, (width, height)),
            audio=(Tone(seconds=Fraction(self.SECONDS)),),
            container="mpegts",
            options={"g": "12"},
        ).write(folder / f"{width}.ts")
        data = clip.read_bytes()
        rate = 50
        size = -(-len(data) // (rate * self.SECONDS))
        chunks = [data[at : at + size] for at in range(0, len(data), size)]
        super().__init__("video/mp2t", lambda: chunks, rate, port)


def jpeg(width: int, height: int, level: int) -> bytes:
    """Return a gray JPEG file."""
    return jpeg_of(np.full((height, width, 3), level, np.uint8))


def jpeg_of(pixels: Pixels) -> bytes:
    """Return a frame, (H, W, 3) uint8 RGB, as a JPEG file."""
    target = io.BytesIO()
    with av.open(target, "w", format="mjpeg") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.height, stream.width = pixels.shape[:2]
        stream.pix_fmt = "yuvj420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    return target.getvalue()
