"""The gate of a live page: one token for all, own names only, and no other page's hand."""

from __future__ import annotations

import hmac
import ipaddress
import secrets
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiohttp import web

HERE = "127.0.0.1"
_EVERYWHERE = {"0.0.0.0", "::"}
_LOCAL_NAMES = (HERE, "localhost", "::1")


class Gate:
    """Made before the page is served; `opened` when its port is known."""

    def __init__(self, host: str | None) -> None:
        """Draw a token.

        Args:
            host: The address that is listened on; None: this computer alone.
        """
        self.names = _own_names(host)
        """Names and addresses by which the page may be called, the best to print first."""
        self._host = host
        self._token = secrets.token_urlsafe(24)
        self._cookie = ""

    def opened(self, port: int) -> str:
        """The address to print, with the token, now that the port is known."""
        self._cookie = f"toonvid-{port}"  # cookies do not tell ports apart
        name = f"[{self.names[0]}]" if ":" in self.names[0] else self.names[0]
        return f"http{'s' * self._is_secure}://{name}:{port}/?token={self._token}"

    def let_in(self, response: web.StreamResponse) -> None:
        """Give a visitor the token as a cookie that no script can read."""
        response.set_cookie(
            self._cookie, self._token, httponly=True, samesite="Lax", secure=self._is_secure
        )

    def refusal(self, request: web.Request) -> str | None:
        """Why a request is turned away; None when it may pass."""
        if not self._is_own_name(request):
            return "This is not the address of toonvid."  # a foreign name that leads here
        origin = request.headers.get("Origin")
        changes = request.method != "GET" or request.path == "/camera"
        if origin != f"{request.scheme}://{request.host}" and (origin is not None or changes):
            return "Another page may not do this."
        given = request.cookies.get(self._cookie) or ""
        if request.path == "/" and "token" in request.query:
            given = request.query["token"]
        if not hmac.compare_digest(given.encode(), self._token.encode()):
            return "Open the address that toonvid printed, with its token."
        return None

    @property
    def _is_secure(self) -> bool:
        return self._host is not None

    def _is_own_name(self, request: web.Request) -> bool:
        name = request.url.host or ""
        if name.lower() in self.names:
            return True
        # A number is no name that someone else could lead here.
        transport = request.transport
        here = transport.get_extra_info("sockname") if transport else None
        return self._host in _EVERYWHERE and here is not None and name == here[0]


def _own_names(host: str | None) -> list[str]:
    """Names and addresses by which the page may be called, the best to print first."""
    if host is None:
        return list(_LOCAL_NAMES)
    if host not in _EVERYWHERE:
        return [host.lower()]
    name = socket.gethostname().lower()
    found = [*_addresses(host), name, f"{name}.local", *_LOCAL_NAMES]
    return list(dict.fromkeys(found))


def _addresses(host: str) -> list[str]:
    """This computer's address in its network, as the system would choose it. Nothing is sent."""
    is_v6 = ipaddress.ip_address(host).version == 6
    family, far = (socket.AF_INET6, "2001:db8::1") if is_v6 else (socket.AF_INET, "192.0.2.1")
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as trial:
            trial.connect((far, 9))
            return [str(trial.getsockname()[0])]
    except OSError:
        return []
