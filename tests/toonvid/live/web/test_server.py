"""The page over HTTP: what it serves, what it changes, and which requests it refuses."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import json
import re
import socket
import ssl
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from support.http_camera import jpeg

from toonvid.engine import Control
from toonvid.errors import TargetError
from toonvid.ffmpeg.jpeg import decode_jpeg
from toonvid.live.controls import Controls
from toonvid.live.feed import LIVE_TIME_BASE
from toonvid.live.live_stylizer import StyleSettings, StylizedFrame
from toonvid.live.meter import LiveStatistics
from toonvid.live.session import DisplayFrame
from toonvid.live.web import request_log
from toonvid.live.web.controls_api import apply_changes
from toonvid.live.web.server import PageServer, ServeOptions
from toonvid.stylizing.options import StylizeOptions
from toonvid.video import Frame, Pixels

pytest.importorskip("aiohttp", reason="the extra live is not installed")
pytest.importorskip("cryptography", reason="the extra live is not installed")

import aiohttp

STATISTICS = LiveStatistics("camera", "ink", 64, 48, 3, 9.5, 20, 40, 1, 0, False)


def display_frame(level: int) -> DisplayFrame:
    pixels = np.full((48, 64, 3), level, np.uint8)
    return DisplayFrame(StylizedFrame(pixels, Frame(pixels, 0, LIVE_TIME_BASE), 0.0), pixels)


@dataclass
class Page:
    """A running server, with an HTTP client."""

    server: PageServer
    controls: Controls
    browser_frames: list[Pixels] = field(default_factory=list)
    """Frames that the server passed on from a browser's camera."""
    notices: list[str] = field(default_factory=list)
    """Lines for the user."""

    @property
    def port(self) -> int:
        found = re.search(r":(\d+)/\?token=", self.server.address)
        assert found
        return int(found[1])

    @property
    def token(self) -> str:
        return self.server.address.partition("token=")[2]

    @property
    def cookie(self) -> dict[str, str]:
        return {"Cookie": f"toonvid-{self.port}={self.token}"}

    @property
    def origin(self) -> dict[str, str]:
        return {"Origin": f"http://127.0.0.1:{self.port}"}

    def request(
        self,
        path: str,
        headers: dict[str, str] | None = None,
        method: str = "GET",
        body: Any = None,
    ) -> tuple[int, bytes, http.client.HTTPMessage]:
        """Send a request; returns status, body and headers of the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            data = None if body is None else json.dumps(body)
            connection.request(method, path, data, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.msg
        finally:
            connection.close()

    def change(self, body: Any, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
        """Send changes of the controls; returns status and body of the answer."""
        given = self.cookie | self.origin if headers is None else headers
        return self.request("/controls", given, "POST", body)[:2]


STYLE_CONTROLS = {
    "ink": Control(default=1, minimum=0, maximum=2, step=0.1),
    "tones": Control(default=1, minimum=0, maximum=12, step=0.1),
}


@pytest.fixture
def page() -> Iterator[Page]:
    controls = Controls(
        StyleSettings("ink"), ("ink", "pepper"), style_controls={"ink": STYLE_CONTROLS}
    )
    frames: list[Pixels] = []
    notices: list[str] = []
    options = ServeOptions(port=0)
    with PageServer(controls, lambda: STATISTICS, frames.append, options, notices.append) as server:
        yield Page(server, controls, frames, notices)


def test_token_in_the_address_becomes_a_cookie_that_opens_the_page(page: Page) -> None:
    status, _, headers = page.request(f"/?token={page.token}")
    assert (status, headers["Location"]) == (303, "/")
    assert {"HttpOnly", "SameSite=Lax"} <= set(headers["Set-Cookie"].split("; "))
    status, body, headers = page.request("/", page.cookie)
    assert status == 200
    assert b"<title>toonvid live</title>" in body
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert headers["X-Frame-Options"] == "DENY"
    for name in re.findall(rb'(?:href|src)="(page\.\w+)"', body):
        assert page.request(f"/{name.decode()}", page.cookie)[0] == 200


@pytest.mark.parametrize(
    "path", ["/", "/state", "/cartoon.mjpg", "/camera", "/page.js", "/?token=x"]
)
def test_requests_without_the_token_are_refused(page: Page, path: str) -> None:
    for headers in ({}, {"Cookie": f"toonvid-{page.port}=wrong"}, {"Cookie": "toonvid=é"}):
        status, body, _ = page.request(path, headers | page.origin)
        assert status == 403
        assert b"Open the address that toonvid printed" in body


def test_requests_for_foreign_host_names_are_refused(page: Page) -> None:
    for host in ("evil.example", f"evil.example:{page.port}", "192.168.1.2", "127.0.0.2"):
        status, body, _ = page.request("/state", page.cookie | {"Host": host})
        assert (status, body) == (403, b"This is not the address of toonvid.")
    for host in (f"localhost:{page.port}", f"[::1]:{page.port}"):
        assert page.request("/state", page.cookie | {"Host": host})[0] == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1", None])
def test_requests_from_other_origins_are_refused(page: Page, origin: str | None) -> None:
    headers = page.cookie | ({} if origin is None else {"Origin": origin})
    assert page.change({"recording": True}, headers)[0] == 403
    assert page.request("/camera", headers)[0] == 403
    assert not page.controls.recording
    if origin is not None:
        assert page.request("/state", headers)[0] == 403


@pytest.mark.parametrize(
    "path", ["/../pyproject.toml", "/page.html", "/%2e%2e/%2e%2e/etc/passwd", "/server.py"]
)
def test_files_outside_the_page_are_not_served(page: Page, path: str) -> None:
    assert page.request(path, page.cookie)[0] == 404


def test_changes_are_applied_to_the_controls(page: Page) -> None:
    asked = {
        "style": "pepper",
        "strength": 0.25,
        "keep_color": True,
        "mirror": True,
        "wipe": 0.5,
        "recording": True,
    }
    status, body = page.change(asked)
    assert status == 200
    state = json.loads(body)
    assert {name: state[name] for name in asked} == asked
    assert page.controls.settings == StyleSettings(
        "pepper", StylizeOptions(0.25, True), mirror=True
    )
    assert (page.controls.wipe, page.controls.recording) == (0.5, True)
    assert page.change({"wipe": None})[0] == 200
    assert page.controls.wipe is None
    assert page.controls.recording


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        ({"style": "../secret"}, "no such style"),
        ({"style": ["ink"]}, "no such style"),
        ({"strength": 1.5}, "strength is not between 0 and 1"),
        ({"strength": True}, "strength is not between 0 and 1"),
        ({"wipe": "left"}, "wipe is not between 0 and 1"),
        ({"mirror": 1}, "mirror is not true or false"),
        ({"keep_color": None}, "keep_color is not true or false"),
        ({"recording": "/tmp/film.mp4"}, "recording is not true or false"),
        ({"ink": 2.1}, "ink is not in the range 0 to 2"),
        ({"ink": True}, "ink is not in the range 0 to 2"),
        ({"ink": "1"}, "ink is not in the range 0 to 2"),
        ({"tones": float("nan")}, "tones is not in the range 0 to 12"),
        ({"saturation": 1}, "the style has no control saturation"),
        ({"style": "pepper", "ink": 1}, "the style has no control ink"),
        ({"source": "http://10.0.0.1/"}, "no such control"),
        (["style"], "not an object"),
        (float("nan"), "not an object"),
        ({"strength": float("nan")}, "strength is not between 0 and 1"),
    ],
)
def test_invalid_changes_are_refused_as_a_whole(page: Page, asked: Any, line: str) -> None:
    with pytest.raises(ValueError, match=line):
        apply_changes(page.controls, asked)
    status, body = page.change(asked)
    assert status == 400
    assert line in body.decode()
    both = {"mirror": True, "strength": 7}
    assert page.change(both)[0] == 400
    assert page.controls.settings == StyleSettings("ink")


def test_ink_and_tones_of_the_style_are_changed_and_reset(page: Page) -> None:
    status, body = page.change({"ink": 0.5, "tones": 8})
    assert status == 200
    found = json.loads(body)["style_controls"]
    ink = {"default": 1.0, "minimum": 0.0, "maximum": 2.0, "step": 0.1, "value": 0.5}
    assert found == {"ink": ink, "tones": ink | {"maximum": 12.0, "value": 8.0}}
    assert page.controls.settings.options == StylizeOptions(ink=0.5, tones=8)
    assert page.change({"ink": None, "mirror": True})[0] == 200
    assert page.controls.style_values() == {"ink": 1, "tones": 8}
    status, body = page.change({"style": "pepper"})
    assert (status, json.loads(body)["style_controls"]) == (200, {})
    assert page.controls.settings == StyleSettings("pepper", mirror=True)
    assert page.change({"ink": 1})[0] == 400


def test_large_requests_are_refused(page: Page) -> None:
    assert page.change({"style": "x" * 5000})[0] in (400, 413)


def test_state_contains_styles_and_statistics(page: Page) -> None:
    state = json.loads(page.request("/state", page.cookie)[1])
    assert state["styles"] == ["ink", "pepper"]
    assert state["figures"]["delay_ms"] == 20


def test_newest_frame_is_sent_as_motion_jpeg(page: Page) -> None:
    page.server.show(None)
    for level in (10, 20, 200):
        page.server.show(display_frame(level))
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=60)
    connection.request("GET", "/cartoon.mjpg", headers=page.cookie)
    answer = connection.getresponse()
    assert answer.headers["Content-Type"] == "multipart/x-mixed-replace; boundary=frame"

    def next_level() -> int:
        while (line := answer.readline()) != b"Content-Type: image/jpeg\r\n":
            assert line
        length = int(answer.readline().split(b":")[1])
        answer.readline()
        pixels = decode_jpeg(answer.read(length))
        assert pixels.shape == (48, 64, 3)
        assert answer.readline() == b"\r\n"
        assert answer.readline() == b"--frame\r\n"  # or browsers are a frame late
        return int(pixels.mean())

    assert next_level() == pytest.approx(200, abs=4)
    page.server.show(display_frame(90))
    assert next_level() == pytest.approx(90, abs=4)
    answer.close()
    connection.close()


def test_browser_camera_is_asked_for_one_frame_at_a_time(page: Page) -> None:
    async def visit() -> list[str]:
        url = f"http://127.0.0.1:{page.port}/camera"
        headers = page.cookie | page.origin
        messages = []
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(url, headers=headers) as s,
        ):
            for level in (50, 60):
                messages.append(await s.receive_str(timeout=60))
                await s.send_bytes(jpeg(32, 16, level))
            messages.append(await s.receive_str(timeout=60))
            await s.send_bytes(b"not a JPEG")
            closing = await s.receive(timeout=60)
            assert closing.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
        return messages

    assert asyncio.run(visit()) == ["next"] * 3
    assert [p.shape for p in page.browser_frames] == [(16, 32, 3)] * 2
    assert [int(p.mean()) for p in page.browser_frames] == pytest.approx([50, 60], abs=4)


def test_newest_browser_is_the_camera(page: Page) -> None:
    async def visit() -> tuple[Any, str | None]:
        url = f"http://127.0.0.1:{page.port}/camera"
        headers = page.cookie | page.origin
        async with aiohttp.ClientSession() as session:
            first = await session.ws_connect(url, headers=headers)
            await first.receive_str(timeout=60)
            second = await session.ws_connect(url, headers=headers)
            await second.receive_str(timeout=60)
            end = await first.receive(timeout=60)
            await second.send_bytes(jpeg(32, 16, 70))
            await second.receive_str(timeout=60)
        return end.type, end.extra

    kind, reason = asyncio.run(visit())
    assert (kind, reason) == (aiohttp.WSMsgType.CLOSE, "another camera took over")
    assert len(page.browser_frames) == 1


def test_client_that_reads_nothing_delays_nobody() -> None:
    controls, noise = Controls(StyleSettings("ink"), ()), np.random.default_rng(0)
    with PageServer(controls, lambda: STATISTICS, print, ServeOptions(port=0)) as server:
        page = Page(server, controls)
        idle = http.client.HTTPConnection("127.0.0.1", page.port, timeout=60)
        idle.request("GET", "/cartoon.mjpg", headers=page.cookie)
        for _ in range(50):  # far more than the buffers of the network hold
            pixels = noise.integers(0, 256, (480, 640, 3), np.uint8)
            server.show(
                DisplayFrame(StylizedFrame(pixels, Frame(pixels, 0, LIVE_TIME_BASE), 0.0), pixels)
            )
            assert page.request("/state", page.cookie)[0] == 200
    assert "server" not in {thread.name for thread in threading.enumerate()}
    idle.close()


def test_server_ends_while_clients_are_connected() -> None:
    controls = Controls(StyleSettings("ink"), ())
    with PageServer(controls, lambda: STATISTICS, print, ServeOptions(port=0)) as server:
        page = Page(server, controls)
        connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=60)
        connection.request("GET", "/cartoon.mjpg", headers=page.cookie)
        connection.getresponse()
    connection.close()
    assert "server" not in {thread.name for thread in threading.enumerate()}


def test_taken_port_is_an_error_with_advice(page: Page) -> None:
    with pytest.raises(TargetError, match="is the port taken"):
        PageServer(
            page.controls, lambda: STATISTICS, print, ServeOptions(port=page.port)
        ).__enter__()


def test_foreign_host_address_is_an_error() -> None:
    controls = Controls(StyleSettings("ink"), ())
    options = ServeOptions("192.0.2.1", 0)
    with pytest.raises(TargetError, match=r"cannot serve on 192\.0\.2\.1:0"):
        PageServer(controls, lambda: STATISTICS, print, options).__enter__()


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_network_is_served_over_https_with_the_printed_fingerprint(host: str) -> None:
    controls = Controls(StyleSettings("ink"), ())
    with PageServer(controls, lambda: STATISTICS, print, ServeOptions(host, 0)) as server:
        page = Page(server, controls)
        assert server.address.startswith("https://")
        unverified = ssl.create_default_context()
        unverified.check_hostname, unverified.verify_mode = False, ssl.CERT_NONE
        with (
            socket.create_connection(("127.0.0.1", page.port), 60) as plain,
            unverified.wrap_socket(plain) as secure,
        ):
            certificate = secure.getpeercert(binary_form=True)
        assert certificate is not None
        digest = hashlib.sha256(certificate).hexdigest().upper()
        assert server.fingerprint == ":".join(re.findall("..", digest))

        verified = ssl.create_default_context(cadata=ssl.DER_cert_to_PEM_cert(certificate))
        connection = http.client.HTTPSConnection(
            "127.0.0.1", page.port, context=verified, timeout=60
        )  # fails if the certificate does not have the name
        connection.request("GET", f"/?token={page.token}")
        answer = connection.getresponse()
        assert answer.status == 303
        assert "Secure" in answer.headers["Set-Cookie"]
        answer.read()
        connection.request("GET", "/state", headers=page.cookie)
        assert connection.getresponse().status == 200
        connection.close()


def test_missing_library_is_an_error_with_the_command_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    with pytest.raises(TargetError, match=r"needs aiohttp.*pip install 'toonvid\[live\]'"):
        PageServer(Controls(StyleSettings("ink"), ()), lambda: STATISTICS, print)


SECURITY_HEADERS = {
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def answer_to(page: Page, head: bytes) -> tuple[int, bytes]:
    """Send the bytes of a request; returns status and all of the answer."""
    with socket.create_connection(("127.0.0.1", page.port), timeout=60) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nConnection: close\r\n" + head + b"\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    return int(answer.split()[1]), answer


@pytest.mark.parametrize(
    "host",
    [
        *(b"127.0.0.1:99999", b"127.0.0.1:abc", b"127.0.0.1:-1", b"[::1", b"\xff\xfe", b"a@b"),
        *(b"127.0.0.1/x", b"localhost/; script-src *", b"xn--\xc3\xa4.example", b"a b"),
    ],
)
def test_a_host_that_no_browser_sends_gets_400(
    host: bytes, page: Page, capfd: pytest.CaptureFixture[str]
) -> None:
    cookie = page.cookie["Cookie"].encode()
    status, answer = answer_to(page, b"Host: " + host + b"\r\nCookie: " + cookie)
    assert (status, b"Traceback" in answer) == (400, False)
    for name, value in SECURITY_HEADERS.items():
        assert f"{name}: {value}".encode() in answer
    assert "".join(capfd.readouterr()) == ""


@pytest.mark.parametrize("value", [b"\xff\xfe", b'"\\377"', b"a[b=c;;;=;\xff", b"=" * 3000])
def test_odd_cookies_are_refused_without_a_traceback(
    value: bytes, page: Page, capfd: pytest.CaptureFixture[str]
) -> None:
    cookie = b"Cookie: toonvid-%d=%b" % (page.port, value)
    status, answer = answer_to(page, b"Host: 127.0.0.1\r\n" + cookie)
    assert (status in (400, 403), b"Traceback" in answer) == (True, False)
    assert "".join(capfd.readouterr()) == ""


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [("/", "GET", 200), ("/none", "GET", 404), ("/", "PUT", 405), ("/camera", "GET", 400)],
)
def test_every_answer_has_the_security_headers(
    path: str, method: str, status: int, page: Page
) -> None:
    found, _, headers = page.request(path, page.cookie | page.origin, method)
    assert found == status
    assert SECURITY_HEADERS.items() <= dict(headers.items()).items()


def test_failed_requests_get_one_line_a_minute_for_each_kind(
    page: Page, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(5):
        answer_to(page, b"Host: 127.0.0.1:99999")
        answer_to(page, b"Host: 127.0.0.1\r\nX: " + b"\x1b[2J" * 2)
    assert len(page.notices) == 2
    assert all("\x1b" not in line and "\n" not in line for line in page.notices)
    monkeypatch.setattr(request_log, "_QUIET_SECONDS", 0.0)
    answer_to(page, b"Host: 127.0.0.1:99999")
    assert len(page.notices) == 3
    assert "".join(capfd.readouterr()) == ""


def test_text_in_an_unknown_encoding_gets_400(page: Page) -> None:
    headers = page.cookie | page.origin | {"Content-Type": "text/plain; charset=klingon"}
    assert page.change({}, headers)[0] == 400
    assert page.change({}, page.cookie | page.origin | {"Content-Encoding": "gzip"})[0] == 400
    assert page.change({})[0] == 200
