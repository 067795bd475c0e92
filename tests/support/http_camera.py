"""Network cameras for tests: HTTP servers of moving pictures that can be killed."""

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

_BOUNDARY = "picture"


class HttpCamera:
    """Sends pieces to whoever asks. A context manager; leaving it hangs up on all."""

    def __init__(
        self, kind: str, pieces: Callable[[], Iterable[bytes]], rate: float, port: int = 0
    ) -> None:
        """Remember what to send: so many pieces a second, of a content type."""
        sockets: list[socket.socket] = []
        stopping, paused = threading.Event(), threading.Event()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                sockets.append(self.connection)
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.end_headers()
                with suppress(OSError):
                    self._send_pieces()

            def _send_pieces(self) -> None:
                began = time.monotonic()
                for number, piece in enumerate(pieces()):
                    while paused.is_set() and not stopping.is_set():
                        time.sleep(0.02)
                    if stopping.is_set():
                        return
                    self.wfile.write(piece)
                    time.sleep(max(0.0, began + (number + 1) / rate - time.monotonic()))

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._sockets, self._stopping, self._paused = sockets, stopping, paused
        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}/camera"

    def __enter__(self) -> HttpCamera:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def pause(self) -> None:
        """Send nothing more, and hang up on nobody."""
        self._paused.set()

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._server.shutdown()
        self._server.server_close()
        for connection in self._sockets:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class MjpegCamera(HttpCamera):
    """Sends grey pictures that grow lighter, or what it is told to draw, as Motion JPEG."""

    def __init__(
        self,
        width: int,
        height: int,
        port: int = 0,
        rate: float = 25.0,
        draw: Callable[[int], Pixels] | None = None,
    ) -> None:
        def grey(number: int) -> Pixels:
            return np.full((height, width, 3), number % 200, np.uint8)

        def pieces() -> Iterable[bytes]:
            for number in count():
                data = jpeg_of((draw or grey)(number))
                head = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\n"
                head += f"Content-Length: {len(data)}\r\n\r\n"
                yield head.encode() + data + b"\r\n"

        super().__init__(f"multipart/x-mixed-replace; boundary={_BOUNDARY}", pieces, rate, port)


class SoundCamera(HttpCamera):
    """Sends ten seconds of pictures and a tone, once, as a transport stream."""

    SECONDS = 10

    def __init__(self, width: int, height: int, folder: Path, port: int = 0) -> None:
        film = Clip(
            moving_frames(25 * self.SECONDS, (width, height)),
            audio=(Tone(seconds=Fraction(self.SECONDS)),),
            container="mpegts",
            options={"g": "12"},
        ).write(folder / f"{width}.ts")
        self.film = film
        data = film.read_bytes()
        rate = 50
        size = -(-len(data) // (rate * self.SECONDS))
        pieces = [data[at : at + size] for at in range(0, len(data), size)]
        super().__init__("video/mp2t", lambda: pieces, rate, port)


def jpeg(width: int, height: int, level: int) -> bytes:
    """A grey picture as a JPEG file."""
    return jpeg_of(np.full((height, width, 3), level, np.uint8))


def jpeg_of(pixels: Pixels) -> bytes:
    """A picture as a JPEG file."""
    target = io.BytesIO()
    with av.open(target, "w", format="mjpeg") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.height, stream.width = pixels.shape[:2]
        stream.pix_fmt = "yuvj420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    return target.getvalue()
