"""The page in a real browser: all controls, and the browser's camera as the source."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import pytest
from support.browser import Browser
from support.run_toonvid import page_address, start_subprocess
from support.scripted_feed import wait_until
from support.tiny_engines import controlled_engine, identity_engine, negative_engine

GRAY, BROWN = (64, 64, 64), (128, 64, 32)
LIGHT, BLUE = (191, 191, 191), (127, 191, 223)  # their negatives
HALVES = (
    "lavfi:color=c=0x404040:size=320x180:rate=10,format=rgb24,"
    "drawbox=x=0:y=0:w=160:h=180:color=0x804020:t=fill"
)  # brown on the left, gray on the right
# The colors near the left and right edge of the cartoon; -1 before its first frame.
EDGES = """(() => {
  const image = document.getElementById("cartoon"), canvas = document.createElement("canvas");
  if (!image.naturalWidth) return -1;
  canvas.width = image.naturalWidth; canvas.height = image.naturalHeight;
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  const at = (x) => [...context.getImageData(x * canvas.width, canvas.height / 2, 1, 1).data];
  return [...at(0.1).slice(0, 3), ...at(0.9).slice(0, 3)];
})()"""


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Address of the page of a live session: the negative of a frame of two halves."""
    negative_engine(tmp_path / "engines")
    identity_engine(tmp_path / "engines", style="first")  # the next in the list
    with live_page(tmp_path, tmp_path / "engines", "negative") as address:
        yield address


@contextmanager
def live_page(tmp_path: Path, engines_folder: Path, style: str) -> Iterator[str]:
    """Serve the cartoon of a frame of two halves; returns the address of the page."""
    pytest.importorskip("aiohttp", reason="the extra live is not installed")
    process = start_subprocess(
        *("live", HALVES, "--style", style, "--headless", "--serve", "--port", "0"),
        *("--record", tmp_path / "recording.mkv"),
        env={"TOONVID_ENGINES": str(engines_folder)},
        stderr=subprocess.PIPE,
    )
    try:
        yield page_address(process)
    finally:
        process.kill()
        process.communicate()


def edges_are(left: tuple[int, int, int], right: tuple[int, int, int]) -> str:
    """Return an expression that is true if the cartoon's left and right edge have these colors."""
    wanted = [*left, *right]
    return (
        f"(() => {{const m = {EDGES};"
        f" return m !== -1 && {wanted}.every((w, i) => Math.abs(m[i] - w) < 10)}})()"
    )


def visit(browser: Browser, address: str) -> None:
    browser.open(address)
    browser.wait_until("document.title === 'toonvid live'")


def has_text(name: str, text: str) -> str:
    """Return an expression that is true if an element has this text."""
    return f"document.getElementById('{name}').textContent === '{text}'"


def test_each_control_changes_the_cartoon(address: str, tmp_path: Path) -> None:
    with Browser(tmp_path / "profile", 390, 844) as browser:  # a phone
        visit(browser, address)
        assert browser.evaluate("location.search") == ""  # the token is in a cookie now
        browser.wait_until(edges_are(BLUE, LIGHT))
        browser.wait_until("parseFloat(document.getElementById('rate').textContent) > 0")
        size = browser.evaluate("document.getElementById('size').textContent")
        assert size.split()[::2] == ["320", "180"]
        assert browser.evaluate("document.documentElement.scrollWidth") <= 390

        browser.click("#wipe")
        browser.wait_until(edges_are(BROWN, LIGHT))
        browser.wait_until("document.getElementById('wipe-shown').textContent.endsWith(' %')")
        browser.click("#wipe", across=0.01)
        browser.wait_until(edges_are(BLUE, LIGHT))
        browser.wait_until(has_text("wipe-shown", "off"))

        browser.click("#mirror")
        browser.wait_until(edges_are(LIGHT, BLUE))
        browser.click("#mirror")
        browser.wait_until(edges_are(BLUE, LIGHT))

        browser.click("#keep-color")  # the cartoon's luminance with the source's hue
        browser.wait_until(f"(() => {{const m = {EDGES}; return m[0] > m[2] + 40}})()")
        browser.click("#keep-color")
        browser.wait_until(edges_are(BLUE, LIGHT))

        browser.click("#strength", across=0.01)
        browser.wait_until(edges_are(BROWN, GRAY))
        browser.wait_until(has_text("strength-shown", "0 %"))
        browser.click("#strength", across=0.99)
        browser.wait_until(edges_are(BLUE, LIGHT))

        browser.wait_until("document.getElementById('style').value === 'negative'")
        browser.press("#style", "ArrowDown")
        browser.wait_until(edges_are(BROWN, GRAY))
        assert browser.evaluate("document.getElementById('style').value") == "first"
        assert browser.problems == []


def test_sliders_for_the_controls_of_the_style(tmp_path: Path) -> None:
    def is_shown(name: str) -> str:
        return f"document.getElementById('{name}').getClientRects().length > 0"

    controlled_engine(tmp_path / "engines")
    with (
        live_page(tmp_path, tmp_path / "engines", "controlled") as address,
        Browser(tmp_path / "profile", 390, 844) as browser,
    ):
        visit(browser, address)
        browser.wait_until(edges_are((168, 104, 72), (104, 104, 104)))  # the frame plus 40
        browser.wait_until(f"{is_shown('ink')} && {is_shown('tones')} && {is_shown('reset')}")
        assert not browser.evaluate(is_shown("saturation"))
        assert browser.evaluate(has_text("ink-shown", "1"))
        assert browser.evaluate("document.documentElement.scrollWidth") <= 390

        browser.click("#tones", across=0.995)
        browser.wait_until(edges_are((248, 184, 152), (184, 184, 184)))  # plus 120
        browser.wait_until(has_text("tones-shown", "12"))
        browser.click("#ink", across=0.005)
        browser.wait_until(edges_are((120, 120, 120), (120, 120, 120)))
        browser.wait_until(has_text("ink-shown", "0"))
        browser.click("#reset")
        browser.wait_until(edges_are((168, 104, 72), (104, 104, 104)))
        browser.wait_until(has_text("tones-shown", "4"))

        browser.press("#style", "ArrowDown")  # the shipped style glitch
        browser.wait_until(is_shown("saturation"))
        browser.wait_until(has_text("tones-shown", "5"))
        assert browser.problems == []


def test_record_button_stops_and_starts_recordings(address: str, tmp_path: Path) -> None:
    with Browser(tmp_path / "profile", 844, 390) as browser:  # a phone in landscape orientation
        visit(browser, address)
        browser.wait_until("document.getElementById('recording-sign').hidden === false")
        assert browser.evaluate("document.documentElement.scrollWidth") <= 844
        assert browser.evaluate(has_text("record", "Stop recording"))
        browser.click("#record")
        browser.wait_until(has_text("record", "Record"))
        browser.wait_until("document.getElementById('recording-sign').hidden")
        with av.open(tmp_path / "recording.mkv") as container:
            assert next(container.decode(video=0)).width == 320
        browser.click("#record")
        browser.wait_until(has_text("record", "Stop recording"))
        wait_until(lambda: (tmp_path / "recording-2.mkv").exists())
        assert browser.problems == []


def test_camera_of_the_browser_becomes_the_source(address: str, tmp_path: Path) -> None:
    with Browser(tmp_path / "profile", 390, 844) as browser:
        visit(browser, address)
        browser.wait_until(edges_are(BLUE, LIGHT))
        browser.click("#camera")  # Chromium's fake camera: green, with a rotating pie
        browser.wait_until(has_text("source", "this device"))
        browser.wait_until("document.getElementById('cartoon').naturalWidth > 320")
        assert browser.evaluate("document.getElementById('camera').textContent").startswith("Stop")
        browser.click("#camera")
        browser.wait_until(edges_are(BLUE, LIGHT))
        assert browser.evaluate("document.getElementById('camera').textContent").startswith("Use")
        assert browser.problems == []
