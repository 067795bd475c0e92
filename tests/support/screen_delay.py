"""How late `toonvid live` is on a real screen, by a clock in its picture that is read off it.

A network camera of our own draws the clock, `toonvid live` shows it in its window on a virtual
display, and the display is filmed. Beside it the same camera is read without toonvid's painter
and window: what the way to `toonvid live` takes is no delay of its own.
"""

from __future__ import annotations

import json
import subprocess
import threading
from dataclasses import dataclass

import av
import numpy as np

from support.http_camera import MjpegCamera
from support.run_toonvid import start_apart
from support.virtual_display import virtual_display
from toonvid.bench.demo_scene import draw_scene
from toonvid.bench.drawn_clock import draw_clock, elapsed_ms, read_clock
from toonvid.bench.live_latency import clock_ms
from toonvid.live.camera import Camera
from toonvid.live.ffmpeg_feed import open_ffmpeg_feed

_FILM_RATE = 60  # pictures a second of the display
_LATEST_MS = 60_000  # a clock that is further off was not read off a picture of it


@dataclass(frozen=True)
class ScreenDelay:
    """Milliseconds, each the median and what 95 % do not exceed."""

    told: tuple[float, float]
    """By `toonvid live`, when it ends: from the camera to the window."""
    seen: tuple[float, float]
    """From when the clock was drawn until it was on the screen."""
    way: tuple[float, float]
    """From when it was drawn until a camera has the picture, part of `seen` and not of `told`."""
    pictures: int
    """How many different ones were seen on the screen."""


def measure_screen_delay(
    width: int, height: int, rate: float, seconds: float, style: str, env: dict[str, str]
) -> ScreenDelay:
    """Run all of it, for so many seconds of pictures."""

    def draw(number: int) -> np.ndarray:
        pixels = scenes[number % len(scenes)].copy()
        draw_clock(pixels, clock_ms())
        return pixels

    scenes = [draw_scene(width, height, index / 8) for index in range(8)]
    with (
        virtual_display(width, height, is_managed=True) as display,
        MjpegCamera(width, height, rate=rate, draw=draw) as server,
        _Way(server.url) as way,
    ):
        process = start_apart(
            *("live", server.url, "--style", style, "--seconds", str(seconds), "--json"),
            env={**env, "DISPLAY": display},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        seen = _watch(display, (width, height), process)
        told = json.loads(process.communicate()[0])
    return ScreenDelay(
        (told["delay_ms"], told["delay_95_ms"]), _spread(seen), _spread(way.delays), len(seen)
    )


def _watch(display: str, size: tuple[int, int], process: subprocess.Popen[bytes]) -> list[int]:
    """Film a display as long as a process runs; how late each clock was when first seen."""
    first_seen: dict[int, int] = {}
    width, height = size
    screen = np.zeros((height, width, 4), np.uint8)
    clock_size = f"{width // 2}x{height // 2}"  # no more: what films must not slow what it films
    options = {"framerate": str(_FILM_RATE), "draw_mouse": "0", "video_size": clock_size}
    with av.open(display, format="x11grab", container_options=options) as film:
        for frame in film.decode(video=0):
            now = clock_ms()
            if process.poll() is not None:
                break
            plane = frame.planes[0]  # four bytes a pixel, and no conversion
            lines = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
            shape = (height // 2, width // 2, 4)
            screen[: shape[0], : shape[1]] = lines[:, : 4 * shape[1]].reshape(shape)
            read = read_clock(screen[..., :3])
            if elapsed_ms(read, now) < _LATEST_MS:
                first_seen.setdefault(read, elapsed_ms(read, now))
    return list(first_seen.values())


class _Way:
    """Reads the same camera, and how late its pictures are on arrival. A context manager."""

    def __init__(self, url: str) -> None:
        self.delays: list[int] = []
        self._camera = Camera("the way", lambda: open_ffmpeg_feed(url))
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._read)

    def __enter__(self) -> _Way:
        self._camera.__enter__()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        self._camera.__exit__(None, None, None)

    def _read(self) -> None:
        while not self._stopping.is_set():
            shot = self._camera.take_newest(0.1)
            if shot is not None:
                arrived = round(shot.captured_at * 1000)
                self.delays.append(elapsed_ms(read_clock(shot.frame.pixels), arrived))


def _spread(delays: list[int]) -> tuple[float, float]:
    if not delays:
        return 0.0, 0.0
    return float(np.percentile(delays, 50)), float(np.percentile(delays, 95))
