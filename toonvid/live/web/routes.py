"""The site of a live page: what each of its addresses answers.

No address or file name is ever taken from a request.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from aiohttp import WSMsgType, web

from toonvid.errors import SourceError
from toonvid.ffmpeg.jpeg import decode_jpeg
from toonvid.live.session import Controls, Figures
from toonvid.live.web.access import Gate
from toonvid.live.web.mjpeg import CONTENT_TYPE, MotionJpeg
from toonvid.live.web.remote_control import apply_changes, state_of
from toonvid.video import Pixels

_PAGE = Path(__file__).parent / "page"
_PAGE_FILES = {"page.js": "text/javascript", "page.css": "text/css"}
_LARGEST_PICTURE = 4 * 2**20  # bytes that a browser's camera may send at a time
_LARGEST_REQUEST = 4096  # bytes of anything else
_SEND_BUFFER = 2**18  # bytes: pictures that wait in the network are late
_HEARTBEAT_SECONDS = 10.0  # a browser that does not answer in this time has gone
_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Site:
    """Answers visitors whom the gate lets pass."""

    def __init__(
        self,
        gate: Gate,
        pictures: MotionJpeg,
        controls: Controls,
        figures: Callable[[], Figures],
        offer: Callable[[Pixels], None],
    ) -> None:
        """Remember what to show.

        Args:
            gate: Asked about each request.
            pictures: The live picture.
            controls: What the page changes.
            figures: Asked whenever the page asks.
            offer: Takes pictures of the browser's camera.
        """
        self._gate = gate
        self._pictures = pictures
        self._controls = controls
        self._figures = figures
        self._offer = offer
        self._guest: web.WebSocketResponse | None = None

    def application(self) -> web.Application:
        """All addresses, guarded."""
        app = web.Application(middlewares=[self._guard()], client_max_size=_LARGEST_REQUEST)
        app.add_routes(
            [
                web.get("/", self._page),
                web.get("/cartoon.mjpg", self._cartoon),
                web.get("/state", self._state),
                web.post("/controls", self._change),
                web.get("/camera", self._camera),
                *(web.get(f"/{name}", self._file) for name in _PAGE_FILES),
            ]
        )
        return app

    def _guard(self) -> Any:  # aiohttp's middlewares are marked by their decorator
        @web.middleware
        async def guard(
            request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
        ) -> web.StreamResponse:
            refusal = self._gate.refusal(request)
            if refusal is not None:
                return web.Response(status=403, text=refusal, headers=_HEADERS)
            response = await handler(request)
            if not response.prepared:
                response.headers.update(_HEADERS)
            return response

        return guard

    async def _page(self, request: web.Request) -> web.StreamResponse:
        if "token" in request.query:  # out of the address and into a cookie
            response = web.Response(status=303, headers={"Location": "/"})
            self._gate.let_in(response)
            return response
        sockets = f"ws{'s' * (request.scheme == 'https')}://{request.host}"
        policy = (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
            f" connect-src 'self' {sockets}; frame-ancestors 'none'; base-uri 'none';"
            " form-action 'none'"
        )
        body = (_PAGE / "page.html").read_bytes()
        headers = {"Content-Security-Policy": policy}
        return web.Response(body=body, content_type="text/html", charset="utf-8", headers=headers)

    async def _file(self, request: web.Request) -> web.StreamResponse:
        name = request.path.removeprefix("/")  # only those that have a route come here
        body = (_PAGE / name).read_bytes()
        return web.Response(body=body, content_type=_PAGE_FILES[name], charset="utf-8")

    async def _cartoon(self, request: web.Request) -> web.StreamResponse:
        """The live picture, the next part whenever the last one has gone out."""
        response = web.StreamResponse(headers=_HEADERS | {"Content-Type": CONTENT_TYPE})
        await response.prepare(request)
        transport = _with_small_buffers(request)
        try:
            async for part in self._pictures.parts():
                await response.write(part)
        except ConnectionError:
            pass  # the visitor has gone
        finally:
            transport.abort()  # one who reads nothing would keep it open
        return response

    async def _state(self, _: web.Request) -> web.StreamResponse:
        return web.json_response(state_of(self._controls, self._figures()))

    async def _change(self, request: web.Request) -> web.StreamResponse:
        try:
            asked = json.loads(await request.text())
            apply_changes(self._controls, asked)
        except (ValueError, TypeError, RecursionError) as error:
            return web.Response(status=400, text=f"cannot do that: {error}")
        return await self._state(request)

    async def _camera(self, request: web.Request) -> web.StreamResponse:
        """Pictures of the browser's camera, each asked for when the one before it is in hand.

        Of several browsers the last that came is the camera.
        """
        before, guest = (
            self._guest,
            web.WebSocketResponse(max_msg_size=_LARGEST_PICTURE, heartbeat=_HEARTBEAT_SECONDS),
        )
        await guest.prepare(request)
        self._guest = guest
        if before is not None:
            await before.close(message=b"another camera took over")
        await guest.send_str("next")
        async for message in guest:
            if message.type is not WSMsgType.BINARY:
                break
            try:
                pixels = await asyncio.to_thread(decode_jpeg, message.data)
            except SourceError as error:
                await guest.close(code=1003, message=str(error).encode())
                break
            if self._guest is not guest:
                break
            self._offer(pixels)
            await guest.send_str("next")
        return guest


def _with_small_buffers(request: web.Request) -> asyncio.WriteTransport:
    """A visitor's connection, made so that what he has not taken is soon waited for."""
    assert isinstance(request.transport, asyncio.WriteTransport)
    request.transport.set_write_buffer_limits(high=0)
    connection = request.transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
    return request.transport
