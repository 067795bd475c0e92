"""The page in a real browser: every control is clicked, and its own camera is the source."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import av
import pytest
from support.browser import Browser
from support.run_toonvid import page_address, start_apart
from support.scripted_feed import wait_until

GREY, BROWN = (64, 64, 64), (128, 64, 32)
LIGHT, BLUE = (191, 191, 191), (127, 191, 223)  # their negatives
HALVES = (
    "lavfi:color=c=0x404040:size=320x180:rate=10,format=rgb24,"
    "drawbox=x=0:y=0:w=160:h=180:color=0x804020:t=fill"
)  # brown on the left, grey on the right
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
def address(tmp_path: Path, engines_folder: Path) -> Iterator[str]:
    """Of the page of `negative` of a picture of two halves."""
    pytest.importorskip("aiohttp", reason="the extra live is not installed")
    process = start_apart(
        *("live", HALVES, "--style", "negative", "--headless", "--serve", "--port", "0"),
        *("--record", tmp_path / "film.mkv"),
        env={"TOONVID_ENGINES": str(engines_folder)},
        stderr=subprocess.PIPE,
    )
    try:
        yield page_address(process)
    finally:
        process.kill()
        process.communicate()


def near(left: tuple[int, int, int], right: tuple[int, int, int]) -> str:
    """That these are the colours near the cartoon's left and right edge."""
    wanted = [*left, *right]
    return (
        f"(() => {{const m = {EDGES};"
        f" return m !== -1 && {wanted}.every((w, i) => Math.abs(m[i] - w) < 10)}})()"
    )


def visit(browser: Browser, address: str) -> None:
    browser.open(address)
    browser.wait_until("document.title === 'toonvid live'")


def shown(name: str, text: str) -> str:
    """That an element's text is this."""
    return f"document.getElementById('{name}').textContent === '{text}'"


def test_every_control_does_what_it_says(address: str, tmp_path: Path) -> None:
    with Browser(tmp_path / "profile", 390, 844) as browser:  # a phone
        visit(browser, address)
        assert browser.ask("location.search") == ""  # the token is out of sight
        browser.wait_until(near(BLUE, LIGHT))
        browser.wait_until("parseFloat(document.getElementById('rate').textContent) > 0")
        size = browser.ask("document.getElementById('size').textContent")
        assert size.split()[::2] == ["320", "180"]
        assert browser.ask("document.documentElement.scrollWidth") <= 390

        browser.click("#wipe")
        browser.wait_until(near(BROWN, LIGHT))
        browser.wait_until("document.getElementById('wipe-shown').textContent.endsWith(' %')")
        browser.click("#wipe", across=0.01)
        browser.wait_until(near(BLUE, LIGHT))
        browser.wait_until(shown("wipe-shown", "off"))

        browser.click("#mirror")
        browser.wait_until(near(LIGHT, BLUE))
        browser.click("#mirror")
        browser.wait_until(near(BLUE, LIGHT))

        browser.click("#keep-color")  # the cartoon's light, the source's hue
        browser.wait_until(f"(() => {{const m = {EDGES}; return m[0] > m[2] + 40}})()")
        browser.click("#keep-color")
        browser.wait_until(near(BLUE, LIGHT))

        browser.click("#strength", across=0.01)
        browser.wait_until(near(BROWN, GREY))
        browser.wait_until(shown("strength-shown", "0 %"))
        browser.click("#strength", across=0.99)
        browser.wait_until(near(BLUE, LIGHT))

        browser.wait_until("document.getElementById('style').value === 'negative'")
        browser.press("#style", "ArrowDown")
        browser.wait_until(near(BROWN, GREY))
        assert browser.ask("document.getElementById('style').value") == "identity"
        assert browser.problems == []


def test_recording_stops_and_starts(address: str, tmp_path: Path) -> None:
    with Browser(tmp_path / "profile", 844, 390) as browser:  # a phone on its side
        visit(browser, address)
        browser.wait_until("document.getElementById('recording-sign').hidden === false")
        assert browser.ask("document.documentElement.scrollWidth") <= 844
        assert browser.ask(shown("record", "Stop recording"))
        browser.click("#record")
        browser.wait_until(shown("record", "Record"))
        browser.wait_until("document.getElementById('recording-sign').hidden")
        with av.open(tmp_path / "film.mkv") as film:
            assert next(film.decode(video=0)).width == 320
        browser.click("#record")
        browser.wait_until(shown("record", "Stop recording"))
        wait_until(lambda: (tmp_path / "film-2.mkv").exists())
        assert browser.problems == []


def test_browser_is_the_camera(address: str, tmp_path: Path) -> None:
    with Browser(tmp_path / "profile", 390, 844) as browser:
        visit(browser, address)
        browser.wait_until(near(BLUE, LIGHT))
        browser.click("#camera")  # Chromium's fake camera: a green picture with a pie
        browser.wait_until(shown("source", "this device"))
        browser.wait_until("document.getElementById('cartoon').naturalWidth > 320")
        assert browser.ask("document.getElementById('camera').textContent").startswith("Stop")
        browser.click("#camera")
        browser.wait_until(near(BLUE, LIGHT))
        assert browser.ask("document.getElementById('camera').textContent").startswith("Use")
        assert browser.problems == []
