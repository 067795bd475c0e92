"""Runs the HTTP server of the page on a thread of its own.

A client with the token may do all that the page can do: watch, change the style, record, and send
its camera. `toonvid.live.web.access` refuses all others, `toonvid.live.web.routes` answers.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from toonvid.errors import TargetError
from toonvid.live.controls import Controls
from toonvid.live.meter import LiveStatistics
from toonvid.live.session import DisplayFrame
from toonvid.live.web.access import LOOPBACK, AccessControl
from toonvid.live.web.certificate import create_certificate
from toonvid.live.web.mjpeg import MjpegStream
from toonvid.live.web.request_log import RequestLog
from toonvid.video import Pixels

logger = logging.getLogger(__name__)

DEFAULT_PORT = 8180
_SHUTDOWN_SECONDS = 0.5  # for clients that are still connected
_START_SECONDS = 20.0


@dataclass(frozen=True)
class ServeOptions:
    """Who can reach the page."""

    host: str | None = None
    """Address to listen on, over HTTPS. None, the default, serves this computer only, over HTTP."""
    port: int = DEFAULT_PORT
    """TCP port; 0 takes any free one."""


class PageServer:
    """Shows frames on a page in browsers. A context manager."""

    def __init__(
        self,
        controls: Controls,
        statistics: Callable[[], LiveStatistics],
        put_browser_frame: Callable[[Pixels], None],
        options: ServeOptions | None = None,
        on_notice: Callable[[str], None] | None = None,
    ) -> None:
        """Store the parts; the server starts on entry.

        Args:
            controls: Changed by the page.
            statistics: Called whenever the page asks for its state, on the server's thread.
            put_browser_frame: Takes frames of a browser's camera, (H, W, 3) uint8 RGB, on the
                server's thread.
            options: Who can reach the page; None for this computer only.
            on_notice: Called with one line, on the server's thread, when a request fails, at most
                once a minute for each kind. None writes the line to the log.

        Raises:
            TargetError: The packages of the extra `live` are not installed.
        """
        try:
            import aiohttp  # noqa: F401
            import cryptography  # noqa: F401
        except ImportError as error:
            raise TargetError(
                f"the page needs {error.name}, which is not installed: pip install 'toonvid[live]'"
            ) from error
        self.options = options or ServeOptions()
        self.address = ""
        """URL of the page with the token. Set on entry."""
        self.fingerprint: str | None = None
        """SHA-256 fingerprint of the certificate, set on entry; None over HTTP."""
        self._controls = controls
        self._statistics = statistics
        self._put_browser_frame = put_browser_frame
        self._access = AccessControl(self.options.host)
        self._log = RequestLog(on_notice or logger.info)
        self._failure: BaseException | None = None
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="server", daemon=True)

    def __enter__(self) -> PageServer:
        """Start the server, and wait until it listens.

        Raises:
            TargetError: The port is taken, or the host is not an address of this computer.
        """
        self._thread.start()
        if not self._started.wait(_START_SECONDS):
            raise TargetError(f"the page was not served within {_START_SECONDS:.0f} s")
        if self._failure is not None:
            if not isinstance(self._failure, OSError):
                raise self._failure
            options = self.options
            raise TargetError(
                f"cannot serve on {options.host or LOOPBACK}:{options.port}"
                f" ({self._failure}): is the port taken? --port names another"
            ) from self._failure
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(RuntimeError):  # the loop is closed: the server has failed before
            self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join()

    def show(self, frame: DisplayFrame | None) -> None:
        """Send a frame to all clients. None does nothing.

        Raises:
            BaseException: The one that ended the server's thread.
        """
        if self._failure is not None:
            raise self._failure
        if frame is not None:
            self._stream.put(frame.pixels)

    # The methods below run on the server's thread.

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # raised by `__enter__` or `show`
            self._failure = error
        finally:
            self._started.set()

    async def _serve(self) -> None:
        """Listen until the server is closed."""
        from aiohttp import web

        from toonvid.live.web.routes import PageRoutes  # imported here: it needs aiohttp

        self._loop, self._closing = asyncio.get_running_loop(), asyncio.Event()
        self._loop.set_exception_handler(self._log.report_of_loop)
        self._stream = MjpegStream()
        routes = PageRoutes(
            self._access, self._stream, self._controls, self._statistics, self._put_browser_frame
        )
        tls_context = None
        if self.options.host is not None:
            tls_context, self.fingerprint = create_certificate(self._access.host_names)
        runner = web.AppRunner(
            routes.application(self._log.report),
            logger=self._log.logger,
            access_log=None,
            shutdown_timeout=_SHUTDOWN_SECONDS,
        )
        await runner.setup()
        try:
            host = self.options.host or LOOPBACK
            site = web.TCPSite(runner, host, self.options.port, ssl_context=tls_context)
            await site.start()
            self.address = self._access.set_port(runner.addresses[0][1])
            self._started.set()
            await self._closing.wait()
        finally:
            self._stream.close()
            await runner.cleanup()
            # Transports that were aborted close in the loop's next round; without it asyncio warns.
            await asyncio.sleep(0)
