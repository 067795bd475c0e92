"""A headless Chromium for tests of the page, driven through the Chrome DevTools Protocol."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--remote-debugging-port=0",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
)
WAIT_SECONDS = 180


class Browser:
    """A Chromium with one page and a fake camera. A context manager.

    Skips the test if no Chromium is installed.
    """

    def __init__(self, profile: Path, width: int, height: int) -> None:
        self._program = next(filter(None, map(shutil.which, _NAMES)), None)
        if self._program is None:
            pytest.skip("Chromium is not installed")
        self._aiohttp = pytest.importorskip("aiohttp", reason="the extra live is not installed")
        self._profile, self._size = profile, (width, height)
        self._count = 0
        self.problems: list[str] = []
        """Errors in the page's console, and exceptions of its scripts, as JSON."""

    def __enter__(self) -> Browser:
        size = ",".join(map(str, self._size))
        self._process = subprocess.Popen(
            [
                str(self._program),
                *_FLAGS,
                f"--user-data-dir={self._profile}",
                f"--window-size={size}",
                "about:blank",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        port_file = self._profile / "DevToolsActivePort"
        limit = time.monotonic() + WAIT_SECONDS
        while not port_file.exists() or not port_file.read_text().strip():
            assert time.monotonic() < limit and self._process.poll() is None
            time.sleep(0.1)
        port = port_file.read_text().splitlines()[0]
        self._loop = asyncio.new_event_loop()
        self._loop.run_until_complete(self._connect(port))
        for domain in ("Page", "Runtime", "Log"):
            self._call(f"{domain}.enable")
        width, height = self._size
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._call("Emulation.setDeviceMetricsOverride", **metrics)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.run_until_complete(self._session.close())
        self._loop.close()
        self._process.kill()
        self._process.wait()

    def open(self, address: str) -> None:
        self._call("Page.navigate", url=address)

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression on the page."""
        answer = self._call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait_until(self, expression: str) -> None:
        """Wait until a JavaScript expression is true; fails after `WAIT_SECONDS`."""
        limit = time.monotonic() + WAIT_SECONDS
        while not self.evaluate(expression):
            assert time.monotonic() < limit, expression
            time.sleep(0.1)

    def click(self, selector: str, across: float = 0.5) -> None:
        """Click an element.

        Args:
            selector: CSS selector.
            across: Where, 0..1 of its width.
        """
        x, y = self.evaluate(
            f"(() => {{const e = document.querySelector({selector!r}); e.scrollIntoView();"
            " const b = e.getBoundingClientRect();"
            f" return [b.left + b.width * {across}, b.top + b.height / 2]}})()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self._call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def press(self, selector: str, key: str) -> None:
        """Press ArrowDown or ArrowUp while an element has the focus."""
        self.evaluate(f"document.querySelector({selector!r}).focus()")
        for kind in ("rawKeyDown", "keyUp"):
            number = {"ArrowDown": 40, "ArrowUp": 38}[key]
            self._call(
                "Input.dispatchKeyEvent",
                **{"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": number},
            )

    def screenshot(self, target: Path) -> None:
        answer = self._call("Page.captureScreenshot", format="png")
        target.write_bytes(base64.b64decode(answer["data"]))

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self._loop.run_until_complete(self._call_async(method, parameters))

    async def _connect(self, port: str) -> None:
        self._session = self._aiohttp.ClientSession()
        async with self._session.get(f"http://127.0.0.1:{port}/json/list") as answer:
            pages = [page for page in await answer.json() if page["type"] == "page"]
        self._socket = await self._session.ws_connect(
            pages[0]["webSocketDebuggerUrl"], max_msg_size=0
        )

    async def _call_async(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        self._count += 1
        number = self._count
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        while True:
            message = json.loads(await self._socket.receive_str(timeout=WAIT_SECONDS))
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]
            self._collect_problems(message)

    def _collect_problems(self, message: dict[str, Any]) -> None:
        entry = message.get("params", {}).get("entry", {})
        if message.get("method") == "Runtime.exceptionThrown" or entry.get("level") == "error":
            self.problems.append(json.dumps(message["params"]))
