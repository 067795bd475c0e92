"""The delay of live conversion, measured with the drawn clock."""

from __future__ import annotations

import time
from fractions import Fraction

from support.slow_backend import SlowBackend

from toonvid.backends import Backend
from toonvid.bench.live_latency import measure_latency


def test_delay_is_read_from_the_clock_in_the_frames(identity: Backend) -> None:
    measured = measure_latency(SlowBackend(identity, 0.05), 96, 64, Fraction(10), 1.0)
    assert (measured.width, measured.height, measured.camera_rate) == (96, 64, 10)
    assert 50 <= measured.delay_ms <= measured.delay_95_ms
    # How many frames a busy machine shows in a second, and how evenly, says nothing.
    assert measured.shown >= 1
    assert (measured.rate > 0) == (measured.shown > 1)


def test_clock_is_readable_after_a_style(identity: Backend) -> None:
    from toonvid.backends import open_backend
    from toonvid.engine import find_engine

    began = time.perf_counter()
    with open_backend(find_engine("ink")) as backend:
        measured = measure_latency(backend, 192, 128, Fraction(10), 0.5)
    assert 0 < measured.delay_95_ms < (time.perf_counter() - began) * 1000
