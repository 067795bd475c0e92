"""How late a live picture is: a clock is drawn into the camera's picture and read from the cartoon.

The camera here is our own scene. What a real one needs to hand its pictures over, and a real screen
to light up, is not in the figures.
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
from toonvid.live.feed import LIVE_TIME_BASE, Feed
from toonvid.live.live_stylizer import LiveStylizer, StyleSettings
from toonvid.live.session import Controls, DisplayFrame, LiveSession, LiveStatistics
from toonvid.video import Frame

_PICTURES = 8  # of the scene, drawn beforehand and shown in turn


@dataclass(frozen=True)
class Latency:
    """What was measured."""

    width: int
    height: int
    camera_rate: float
    """Pictures a second that the camera gave."""
    rate: float
    """Cartoons a second that were shown."""
    shown: int
    dropped: int
    delay_ms: float
    """By the clock in the picture, the median."""
    delay_95_ms: float
    """What 95 % of the pictures do not exceed."""


def measure_latency(
    backend: Backend, width: int, height: int, rate: Fraction, seconds: float
) -> Latency:
    """Run `toonvid live` without a window on our own scene.

    Args:
        backend: Open; left open.
        width: Of the camera's picture, in pixels.
        height: Likewise.
        rate: Pictures a second that the camera gives.
        seconds: How long.
    """
    delays: list[int] = []

    def screen(picture: DisplayFrame | None) -> None:
        if picture is not None:
            delays.append(elapsed_ms(read_clock(picture.pixels), clock_ms()))

    look = StyleSettings(backend.engine.card.style)
    with (
        LiveStylizer(lambda _: backend, look, None) as stylizer,
        Camera("scene", lambda: open_demo_scene(width, height, rate)) as camera,
    ):
        figures: LiveStatistics = LiveSession(camera, stylizer, Controls(look, ()), [screen]).run(
            seconds
        )
    return Latency(
        width,
        height,
        float(rate),
        figures.rate,
        figures.shown,
        figures.dropped,
        float(np.percentile(delays, 50)),
        float(np.percentile(delays, 95)),
    )


@contextmanager
def open_demo_scene(width: int, height: int, rate: Fraction) -> Iterator[Feed]:
    """A camera that films our own scene, with a clock in it."""
    drawn = [draw_scene(width, height, index / _PICTURES) for index in range(_PICTURES)]

    def frames() -> Iterator[Frame]:
        began, taken = time.perf_counter(), 0
        while True:
            time.sleep(max(0.0, began + float(taken / rate) - time.perf_counter()))
            pixels = drawn[taken % _PICTURES].copy()
            draw_clock(pixels, clock_ms())
            yield Frame(pixels, 0, LIVE_TIME_BASE)
            taken += 1

    yield Feed(frames(), rate)


def clock_ms() -> int:
    """The time that is drawn."""
    return round(time.perf_counter() * 1000)
