"""The live cartoon as Motion JPEG: the newest frame for each client, as fast as each can take it.

A frame is encoded once for all clients, and only if there are any.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

from toonvid.ffmpeg.jpeg import JpegEncoder
from toonvid.video import Pixels

_BOUNDARY = b"frame"
CONTENT_TYPE = f"multipart/x-mixed-replace; boundary={_BOUNDARY.decode()}"


class MjpegStream:
    """The newest frame as JPEG.

    Made inside a running event loop. `put` may be called on any thread, all else on the loop's.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._is_closed = False
        self._newest: tuple[int, Pixels] | None = None  # with its number, from 1
        self._encoded: tuple[int, asyncio.Future[bytes]] | None = None
        self._encoder = JpegEncoder()
        # A single thread: the encoder keeps its state for the last frame size.
        self._executor = ThreadPoolExecutor(1, "jpeg")

    def put(self, pixels: Pixels) -> None:
        """Replace the newest frame.

        Args:
            pixels: (H, W, 3) uint8 RGB.
        """
        number = self._newest[0] + 1 if self._newest else 1
        self._newest = (number, pixels)
        self._loop.call_soon_threadsafe(self._wake_clients)

    def close(self) -> None:
        """End the streams of all clients."""
        self._is_closed = True
        self._wake_clients()
        self._executor.shutdown(wait=False)

    async def parts(self) -> AsyncIterator[bytes]:
        """Yield the bytes of one client's stream: the newest frame each time it is resumed."""
        yield b"--" + _BOUNDARY + b"\r\n"
        sent = 0
        while not self._is_closed:
            changed = self._changed
            if self._newest is None or self._newest[0] == sent:
                await changed.wait()
                continue
            sent, data = await self._newest_jpeg()
            head = f"Content-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n".encode()
            # The boundary follows at once, not before the next frame: browsers show an image only
            # when they have read the boundary after it.
            yield head + data + b"\r\n--" + _BOUNDARY + b"\r\n"

    def _wake_clients(self) -> None:
        # A new event each time: clients that wait hold the old one, and miss no change.
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def _newest_jpeg(self) -> tuple[int, bytes]:
        """Return the newest frame's number and JPEG; clients share the encoding."""
        assert self._newest is not None
        number, pixels = self._newest
        if self._encoded is None or self._encoded[0] != number:
            future = self._loop.run_in_executor(self._executor, self._encoder.encode, pixels)
            self._encoded = (number, future)
        # Shielded: one client who leaves must not cancel the encoding for the others.
        return number, await asyncio.shield(self._encoded[1])
