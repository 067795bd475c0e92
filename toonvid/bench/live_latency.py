"""Measures the delay of live conversion: a clock drawn by the camera is read from the cartoon.

The camera is the drawn demo scene. The delay includes all of toonvid, but neither what a real
camera needs to deliver a frame nor what a real screen needs to show it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from toonvid.backends import Backend
from toonvid.bench.demo_scene import draw_scene
from toonvid.bench.drawn_clock import draw_clock, elapsed_ms, read_clock
from toonvid.live.camera import Camera
from toonvid.live.controls import Controls
from toonvid.live.feed import LIVE_TIME_BASE, Feed
from toonvid.live.live_stylizer import LiveStylizer, StyleSettings
from toonvid.live.session import DisplayFrame, LiveSession
from toonvid.video import Frame

# Drawn beforehand and repeated: drawing takes longer than a camera's frame lasts.
_SCENE_FRAMES = 8


@dataclass(frozen=True)
class Latency:
    """Rate and delay at one frame size. The JSON of `bench --live --json` has these fields."""

    width: int
    """Side of the camera's frames in pixels."""
    height: int
    """Side of the camera's frames in pixels."""
    camera_rate: float
    """Frames per second that the camera delivered."""
    rate: float
    """Frames per second that were shown."""
    shown: int
    """Number of frames that were shown."""
    dropped: int
    """Number of the camera's frames that were not stylized."""
    delay_ms: float
    """Median delay by the clock in the frames, in milliseconds."""
    delay_95_ms: float
    """Delay that 95 % of the frames do not exceed, in milliseconds."""


def measure_latency(
    backend: Backend, width: int, height: int, rate: Fraction, seconds: float
) -> Latency:
    """Run a live session without a window on the drawn demo scene.

    Args:
        backend: An open backend; it stays open.
        width: Width of the camera's frames in pixels.
        height: Height of the camera's frames in pixels.
        rate: Frames per second that the camera delivers.
        seconds: How long to run.
    """
    delays: list[int] = []

    def read_delay(frame: DisplayFrame | None) -> None:
        if frame is not None:
            delays.append(elapsed_ms(read_clock(frame.pixels), clock_ms()))

    settings = StyleSettings(backend.engine.card.style)
    with (
        LiveStylizer(lambda _: backend, settings, None) as stylizer,
        Camera("scene", lambda: open_demo_scene(width, height, rate)) as camera,
    ):
        session = LiveSession(camera, stylizer, Controls(settings, ()), [read_delay])
        statistics = session.run(seconds)
    return Latency(
        width=width,
        height=height,
        camera_rate=float(rate),
        rate=statistics.rate,
        shown=statistics.shown,
        dropped=statistics.dropped,
        delay_ms=float(np.percentile(delays, 50)),
        delay_95_ms=float(np.percentile(delays, 95)),
    )


@contextmanager
def open_demo_scene(width: int, height: int, rate: Fraction) -> Iterator[Feed]:
    """Open a feed of the demo scene without an end, with the clock drawn into each frame.

    Args:
        width: In pixels.
        height: In pixels.
        rate: Frames per second.
    """
    scene = [draw_scene(width, height, index / _SCENE_FRAMES) for index in range(_SCENE_FRAMES)]

    def frames() -> Iterator[Frame]:
        began, number = time.perf_counter(), 0
        while True:
            time.sleep(max(0.0, began + float(number / rate) - time.perf_counter()))
            pixels = scene[number % _SCENE_FRAMES].copy()
            draw_clock(pixels, clock_ms())
            yield Frame(pixels, 0, LIVE_TIME_BASE)
            number += 1

    yield Feed(frames(), rate)


def clock_ms() -> int:
    """Return the time that is drawn, in milliseconds."""
    return round(time.perf_counter() * 1000)
