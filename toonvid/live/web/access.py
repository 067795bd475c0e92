"""Checks the token, Host and Origin headers of each request to the page.

The token is random and in the address that toonvid prints. The first visit moves it into a cookie.
The Host header is checked against DNS rebinding (a foreign name that resolves to this machine), the
Origin header against requests from other sites (CSRF).
"""

from __future__ import annotations

import hmac
import ipaddress
import re
import secrets
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiohttp import web

LOOPBACK = "127.0.0.1"
# A name or an address, and a port. What follows a slash or a semicolon would be taken for the path,
# and yet be repeated in the content security policy.
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]*)(:[0-9]{1,5})?")
_ALL_INTERFACES = {"0.0.0.0", "::"}
_LOCAL_NAMES = (LOOPBACK, "localhost", "::1")


class AccessControl:
    """Decides which requests are answered.

    Made before the server starts; `set_port` is called when its port is known.
    """

    def __init__(self, host: str | None) -> None:
        """Create a random token.

        Args:
            host: Address to listen on, over HTTPS; None for this computer only, over HTTP.
        """
        self.host_names = _host_names(host)
        """Names and addresses of the page, the one to print first."""
        self._host = host
        self._token = secrets.token_urlsafe(24)
        self._cookie_name = ""

    def set_port(self, port: int) -> str:
        """Store the port, and return the address of the page with its token."""
        self._cookie_name = f"toonvid-{port}"  # browsers share cookies between ports
        first = self.host_names[0]
        name = f"[{first}]" if ":" in first else first
        return f"http{'s' * self._is_https}://{name}:{port}/?token={self._token}"

    def set_cookie(self, response: web.StreamResponse) -> None:
        """Give the client the token as a cookie that scripts cannot read."""
        response.set_cookie(
            self._cookie_name, self._token, httponly=True, samesite="Lax", secure=self._is_https
        )

    def refusal(self, request: web.Request) -> str | None:
        """Return why a request is refused; None if it is to be answered.

        Raises:
            ValueError, CookieError: A header is not what a browser sends.
        """
        if not _HOST.fullmatch(request.host):
            raise ValueError("not a host name with a port")
        if not self._is_own_host(request):
            return "This is not the address of toonvid."
        origin = request.headers.get("Origin")
        # Browsers send no Origin with a plain GET, but always with what changes something.
        requires_origin = request.method != "GET" or request.path == "/camera"
        own_origin = f"{request.scheme}://{request.host}"
        if origin != own_origin and (origin is not None or requires_origin):
            return "Another page may not do this."
        token = request.cookies.get(self._cookie_name) or ""
        if request.path == "/" and "token" in request.query:
            token = request.query["token"]
        # compare_digest takes the same time for any token, so that timing tells nothing.
        if not hmac.compare_digest(token.encode(), self._token.encode()):
            return "Open the address that toonvid printed, with its token."
        return None

    @property
    def _is_https(self) -> bool:
        return self._host is not None

    def _is_own_host(self, request: web.Request) -> bool:
        name = request.url.host or ""
        if name.lower() in self.host_names:
            return True
        # With 0.0.0.0 this machine may have addresses that were not found. The address on which
        # the connection arrived is safe: rebinding needs a name, and this is a number.
        transport = request.transport
        local = transport.get_extra_info("sockname") if transport else None
        return self._host in _ALL_INTERFACES and local is not None and name == local[0]


def _host_names(host: str | None) -> list[str]:
    """Return the names and addresses of the page, the one to print first."""
    if host is None:
        return list(_LOCAL_NAMES)
    if host not in _ALL_INTERFACES:
        return [host.lower()]
    name = socket.gethostname().lower()
    names = [*_network_addresses(host), name, f"{name}.local", *_LOCAL_NAMES]
    return list(dict.fromkeys(names))


def _network_addresses(host: str) -> list[str]:
    """Return this machine's address in its network; empty without a network.

    A UDP socket that is connected to a far address (one reserved for documentation) has the address
    that the system would send from. Nothing is sent.
    """
    is_v6 = ipaddress.ip_address(host).version == 6
    family, far = (socket.AF_INET6, "2001:db8::1") if is_v6 else (socket.AF_INET, "192.0.2.1")
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((far, 9))
            return [str(probe.getsockname()[0])]
    except OSError:
        return []
