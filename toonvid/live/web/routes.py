"""What each address of the page answers.

No file name and no address is ever taken from a request: the files of the page have fixed routes,
and recordings go where the command line says.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from http.cookies import CookieError
from pathlib import Path
from typing import Any

from aiohttp import WSMsgType, web

from toonvid.errors import SourceError
from toonvid.ffmpeg.jpeg import decode_jpeg
from toonvid.live.controls import Controls
from toonvid.live.meter import LiveStatistics
from toonvid.live.web.access import AccessControl
from toonvid.live.web.controls_api import apply_changes, page_state
from toonvid.live.web.mjpeg import CONTENT_TYPE, MjpegStream
from toonvid.video import Pixels

_PAGE_FOLDER = Path(__file__).parent / "page"
_PAGE_FILES = {"page.js": "text/javascript", "page.css": "text/css"}
_LARGEST_JPEG_BYTES = 4 * 2**20  # of one frame from a browser's camera
_LARGEST_REQUEST_BYTES = 4096  # of any other request
_SEND_BUFFER_BYTES = 2**18  # frames that wait in the operating system's buffers are late
_HEARTBEAT_SECONDS = 10.0  # a browser that does not answer a ping in this time has gone
_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class PageRoutes:
    """Answers the requests that access control lets pass."""

    def __init__(
        self,
        access: AccessControl,
        stream: MjpegStream,
        controls: Controls,
        statistics: Callable[[], LiveStatistics],
        put_browser_frame: Callable[[Pixels], None],
    ) -> None:
        """Store the parts.

        Args:
            access: Asked about each request.
            stream: The live cartoon.
            controls: Changed by the page.
            statistics: Called whenever the page asks for its state.
            put_browser_frame: Takes frames of a browser's camera, (H, W, 3) uint8 RGB.
        """
        self._access = access
        self._stream = stream
        self._controls = controls
        self._statistics = statistics
        self._put_browser_frame = put_browser_frame
        self._camera_socket: web.WebSocketResponse | None = None

    def application(self, report: Callable[[BaseException], None]) -> web.Application:
        """Return the application with all routes, each behind access control.

        Args:
            report: Called with the error of a request that could not be understood.
        """
        app = web.Application(
            middlewares=[self._access_middleware(report)], client_max_size=_LARGEST_REQUEST_BYTES
        )
        app.on_response_prepare.append(_add_headers)
        app.add_routes(
            [
                web.get("/", self._get_page),
                web.get("/cartoon.mjpg", self._get_cartoon),
                web.get("/state", self._get_state),
                web.post("/controls", self._post_controls),
                web.get("/camera", self._get_camera),
                *(web.get(f"/{name}", self._get_file) for name in _PAGE_FILES),
            ]
        )
        return app

    def _access_middleware(
        self, report: Callable[[BaseException], None]
    ) -> Any:  # aiohttp gives what its decorator returns no type
        @web.middleware
        async def check_access(
            request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
        ) -> web.StreamResponse:
            try:
                refusal = self._access.refusal(request)
            except (ValueError, CookieError) as error:
                # Host names, ports and cookies are parsed when they are first looked at.
                report(error)
                return web.Response(status=400, text="This is not how a browser asks.")
            if refusal is not None:
                return web.Response(status=403, text=refusal)
            return await handler(request)

        return check_access

    async def _get_page(self, request: web.Request) -> web.StreamResponse:
        """The page itself. A token in the address is moved into a cookie by a redirect."""
        if "token" in request.query:
            response = web.Response(status=303, headers={"Location": "/"})
            self._access.set_cookie(response)
            return response
        # Not all browsers take 'self' to include WebSockets, so their address is spelled out.
        sockets = f"ws{'s' * (request.scheme == 'https')}://{request.host}"
        policy = (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
            f" connect-src 'self' {sockets}; frame-ancestors 'none'; base-uri 'none';"
            " form-action 'none'"
        )
        body = (_PAGE_FOLDER / "page.html").read_bytes()
        headers = {"Content-Security-Policy": policy}
        return web.Response(body=body, content_type="text/html", charset="utf-8", headers=headers)

    async def _get_file(self, request: web.Request) -> web.StreamResponse:
        """JavaScript or CSS of the page. Only the names in `_PAGE_FILES` have routes."""
        name = request.path.removeprefix("/")
        body = (_PAGE_FOLDER / name).read_bytes()
        return web.Response(body=body, content_type=_PAGE_FILES[name], charset="utf-8")

    async def _get_cartoon(self, request: web.Request) -> web.StreamResponse:
        """The live cartoon; each part is made when the one before it was sent."""
        response = web.StreamResponse(headers={"Content-Type": CONTENT_TYPE})
        await response.prepare(request)
        transport = _limit_send_buffers(request)
        try:
            async for part in self._stream.parts():
                await response.write(part)
        except ConnectionError:
            pass  # the client has gone
        finally:
            transport.abort()  # a client who reads nothing would keep the connection open
        return response

    async def _get_state(self, _: web.Request) -> web.StreamResponse:
        return web.json_response(page_state(self._controls, self._statistics()))

    async def _post_controls(self, request: web.Request) -> web.StreamResponse:
        """Apply changes, and answer with the new state; 400 if they are not valid."""
        try:
            changes = json.loads(await request.text())
            apply_changes(self._controls, changes)
        except (LookupError, web.RequestPayloadError):  # text in an encoding that nobody knows
            return web.Response(status=400, text="cannot read that")
        except (ValueError, TypeError, RecursionError) as error:
            return web.Response(status=400, text=f"cannot do that: {error}")
        return await self._get_state(request)

    async def _get_camera(self, request: web.Request) -> web.StreamResponse:
        """WebSocket on which a browser sends JPEG frames of its camera.

        Each frame is asked for with the message "next" when the one before it is decoded, so that
        none wait in the network. A new browser replaces the one before it.
        """
        previous = self._camera_socket
        current = web.WebSocketResponse(
            max_msg_size=_LARGEST_JPEG_BYTES, heartbeat=_HEARTBEAT_SECONDS
        )
        await current.prepare(request)
        self._camera_socket = current
        if previous is not None:
            await previous.close(message=b"another camera took over")
        await current.send_str("next")
        async for message in current:
            if message.type is not WSMsgType.BINARY:
                break
            try:
                pixels = await asyncio.to_thread(decode_jpeg, message.data)
            except SourceError as error:
                await current.close(code=1003, message=str(error).encode())
                break
            if self._camera_socket is not current:
                break
            self._put_browser_frame(pixels)
            await current.send_str("next")
        return current


async def _add_headers(_: web.Request, response: web.StreamResponse) -> None:
    """Add the security headers to every answer, errors included."""
    response.headers.update(_HEADERS)


def _limit_send_buffers(request: web.Request) -> asyncio.WriteTransport:
    """Make writes to a client wait soon, instead of filling buffers with frames that get old."""
    assert isinstance(request.transport, asyncio.WriteTransport)
    request.transport.set_write_buffer_limits(high=0)
    connection = request.transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
    return request.transport
