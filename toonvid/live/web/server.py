"""The server of a live page: the live picture, its controls, and the browser's camera as a source.

It runs on a thread of its own. Whoever has the token may do what the page can do: look, change the
style, record. `toonvid.live.web.access` keeps all others out, `toonvid.live.web.routes` answers.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from toonvid.errors import TargetError
from toonvid.live.session import Controls, Figures, Picture
from toonvid.live.web.access import HERE, Gate
from toonvid.live.web.certificate import self_signed
from toonvid.live.web.mjpeg import MotionJpeg
from toonvid.video import Pixels

DEFAULT_PORT = 8180
_FAREWELL_SECONDS = 0.5  # for those who still look when it ends
_START_SECONDS = 20.0


@dataclass(frozen=True)
class ServeOptions:
    """Who can reach the page."""

    host: str | None = None
    """The address to listen on, over HTTPS; None: this computer alone, over HTTP."""
    port: int = DEFAULT_PORT
    """0 takes any that is free."""


class Server:
    """A screen that is a page. A context manager."""

    def __init__(
        self,
        controls: Controls,
        figures: Callable[[], Figures],
        offer: Callable[[Pixels], None],
        options: ServeOptions | None = None,
    ) -> None:
        """Remember what to serve.

        Args:
            controls: What the page changes.
            figures: Asked whenever the page asks.
            offer: Takes pictures of the browser's camera.
            options: None: this computer alone.

        Raises:
            TargetError: The libraries of the extra `live` are not installed.
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
        """What to open in a browser, with the token; known once entered."""
        self.fingerprint: str | None = None
        """SHA-256 of the certificate; None over HTTP."""
        self._controls = controls
        self._figures = figures
        self._offer = offer
        self._gate = Gate(self.options.host)
        self._failure: BaseException | None = None
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="server", daemon=True)

    def __enter__(self) -> Server:
        """Start to serve.

        Raises:
            TargetError: The port is taken, or the host is not this computer's.
        """
        self._thread.start()
        if not self._started.wait(_START_SECONDS):
            raise TargetError(f"the page was not served within {_START_SECONDS:.0f} s")
        if self._failure is not None:
            if not isinstance(self._failure, OSError):
                raise self._failure
            options = self.options
            raise TargetError(
                f"cannot serve on {options.host or HERE}:{options.port}"
                f" ({self._failure}): is the port taken? --port names another"
            ) from self._failure
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(RuntimeError):  # it has failed by itself
            self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join()

    def show(self, picture: Picture | None) -> None:
        """Send a picture to whoever looks."""
        if self._failure is not None:
            raise self._failure
        if picture is not None:
            self._pictures.put(picture.pixels)

    # From here on it runs on the server's thread.

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # whoever entered or shows raises it
            self._failure = error
        finally:
            self._started.set()

    async def _serve(self) -> None:
        from aiohttp import web

        from toonvid.live.web.routes import Site  # late: it needs the extra `live`

        self._loop, self._closing = asyncio.get_running_loop(), asyncio.Event()
        self._pictures = MotionJpeg()
        site = Site(self._gate, self._pictures, self._controls, self._figures, self._offer)
        context = None
        if self.options.host is not None:
            context, self.fingerprint = self_signed(self._gate.names)
        app = site.application()
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=_FAREWELL_SECONDS)
        await runner.setup()
        try:
            host = self.options.host or HERE
            await web.TCPSite(runner, host, self.options.port, ssl_context=context).start()
            self.address = self._gate.opened(runner.addresses[0][1])
            self._started.set()
            await self._closing.wait()
        finally:
            self._pictures.end()
            await runner.cleanup()
            await asyncio.sleep(0)  # connections that were cut are closed in the loop's next round
