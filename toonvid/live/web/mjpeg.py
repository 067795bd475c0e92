"""Motion JPEG: the newest picture for all who look, made a JPEG once, and only if somebody does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

from toonvid.ffmpeg.jpeg import JpegEncoder
from toonvid.video import Pixels

_BOUNDARY = b"picture"
CONTENT_TYPE = f"multipart/x-mixed-replace; boundary={_BOUNDARY.decode()}"


class MotionJpeg:
    """Made inside a running event loop. Any thread may `put`; all else is for the loop's own."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._is_over = False
        self._newest: tuple[int, Pixels] | None = None
        self._encoded: tuple[int, asyncio.Future[bytes]] | None = None
        self._encoder = JpegEncoder()
        # One thread for all pictures, in turn: the encoder holds the last size.
        self._worker = ThreadPoolExecutor(1, "jpeg")

    def put(self, pixels: Pixels) -> None:
        """Take a picture, (H, W, 3), in place of the one before it."""
        number = self._newest[0] + 1 if self._newest else 1
        self._newest = (number, pixels)
        self._loop.call_soon_threadsafe(self._announce)

    def end(self) -> None:
        """Let all who look go."""
        self._is_over = True
        self._announce()
        self._worker.shutdown(wait=False)

    async def parts(self) -> AsyncIterator[bytes]:
        """Yield the stream's bytes: the newest picture, whenever the last one was taken."""
        yield b"--" + _BOUNDARY + b"\r\n"
        seen = 0
        while not self._is_over:
            news = self._news
            if self._newest is None or self._newest[0] == seen:
                await news.wait()
                continue
            seen, data = await self._newest_jpeg()
            head = f"Content-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n".encode()
            # The boundary ends the picture: browsers show it when they have seen that.
            yield head + data + b"\r\n--" + _BOUNDARY + b"\r\n"

    def _announce(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def _newest_jpeg(self) -> tuple[int, bytes]:
        assert self._newest is not None
        number, pixels = self._newest
        if self._encoded is None or self._encoded[0] != number:
            data = self._loop.run_in_executor(self._worker, self._encoder.encode, pixels)
            self._encoded = (number, data)
        return number, await asyncio.shield(self._encoded[1])
