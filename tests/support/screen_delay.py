"""Measures the delay of `toonvid live` on a screen, by a clock in its frames.

A network camera draws the clock into its frames, `toonvid live` shows them in its window on a
virtual display, and the display is captured. At the same time the camera is read without stylizer
and window: the time from the camera to `toonvid live` is not part of toonvid's own delay.
"""

from __future__ import annotations

import json
import subprocess
import threading
import time
from dataclasses import dataclass

import av
import numpy as np

from support.http_camera import MjpegCamera
from support.run_toonvid import start_subprocess
from support.virtual_display import virtual_display
from toonvid.bench.demo_scene import draw_scene
from toonvid.bench.drawn_clock import draw_clock, elapsed_ms, read_clock
from toonvid.bench.live_latency import clock_ms
from toonvid.live.camera import Camera
from toonvid.live.ffmpeg_feed import open_ffmpeg_feed

_CAPTURE_RATE = 60  # frames per second of the display
_LARGEST_DELAY_MS = 60_000  # a larger one was not read from a frame with a clock
_START_SECONDS = 180.0  # for `toonvid live` to show its first frame, on a busy machine


@dataclass(frozen=True)
class ScreenDelay:
    """Delays in milliseconds, each as the median and what 95 % of the frames do not exceed."""

    reported: tuple[float, float]
    """From the camera to the window, as `toonvid live` reports it at its end."""
    seen: tuple[float, float]
    """From the drawing of the clock until it was on the screen."""
    transport: tuple[float, float]
    """From the drawing of the clock until a camera has the frame; in `seen`, not in `reported`."""
    frames: int
    """Number of different frames that were seen on the screen."""


def measure_screen_delay(
    width: int, height: int, rate: float, seconds: float, style: str, env: dict[str, str]
) -> ScreenDelay:
    """Run camera, `toonvid live` and capture.

    Args:
        width: Of the camera's frames, in pixels.
        height: Of the camera's frames, in pixels.
        rate: Frames per second of the camera.
        seconds: How long frames are shown.
        style: Name of the style.
        env: Additional environment variables of `toonvid live`.
    """

    def draw(number: int) -> np.ndarray:
        pixels = scenes[number % len(scenes)].copy()
        draw_clock(pixels, clock_ms())
        return pixels

    scenes = [draw_scene(width, height, index / 8) for index in range(8)]
    with (
        virtual_display(width, height, is_managed=True) as display,
        MjpegCamera(width, height, rate=rate, draw=draw) as server,
        _TransportMeter(server.url) as transport,
    ):
        process = start_subprocess(
            *("live", server.url, "--style", style, "--seconds", str(seconds), "--json"),
            env={**env, "DISPLAY": display},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        try:
            seen = _watch(display, (width, height), process, _START_SECONDS + seconds)
            reported = json.loads(process.communicate(timeout=_START_SECONDS)[0])
        finally:
            process.kill()
            process.wait()
    return ScreenDelay(
        reported=(reported["delay_ms"], reported["delay_95_ms"]),
        seen=_median_and_95(seen),
        transport=_median_and_95(transport.delays),
        frames=len(seen),
    )


def _watch(
    display: str, size: tuple[int, int], process: subprocess.Popen[bytes], limit_seconds: float
) -> list[int]:
    """Capture a display while a process runs.

    Returns:
        Delay of each clock in milliseconds, when it was first seen.
    """
    first_seen: dict[int, int] = {}
    width, height = size
    screen = np.zeros((height, width, 4), np.uint8)
    # Only the quarter with the clock: capturing must not slow down what it captures.
    clock_size = f"{width // 2}x{height // 2}"
    options = {"framerate": str(_CAPTURE_RATE), "draw_mouse": "0", "video_size": clock_size}
    limit = time.monotonic() + limit_seconds
    with av.open(display, format="x11grab", container_options=options) as capture:
        for frame in capture.decode(video=0):
            now = clock_ms()
            if process.poll() is not None:
                break
            assert time.monotonic() < limit, f"it did not end within {limit_seconds:g} s"
            plane = frame.planes[0]  # four bytes per pixel, read without a conversion
            lines = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
            shape = (height // 2, width // 2, 4)
            screen[: shape[0], : shape[1]] = lines[:, : 4 * shape[1]].reshape(shape)
            clock = read_clock(screen[..., :3])
            if elapsed_ms(clock, now) < _LARGEST_DELAY_MS:
                first_seen.setdefault(clock, elapsed_ms(clock, now))
    return list(first_seen.values())


class _TransportMeter:
    """Reads the same camera and collects the delays of its frames on arrival. A context manager."""

    def __init__(self, url: str) -> None:
        self.delays: list[int] = []
        """In milliseconds."""
        self._camera = Camera("transport", lambda: open_ffmpeg_feed(url))
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._read)

    def __enter__(self) -> _TransportMeter:
        self._camera.__enter__()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        self._camera.__exit__(None, None, None)

    def _read(self) -> None:
        while not self._stopping.is_set():
            captured = self._camera.take_newest(0.1)
            if captured is not None:
                arrived = round(captured.captured_at * 1000)
                self.delays.append(elapsed_ms(read_clock(captured.frame.pixels), arrived))


def _median_and_95(delays: list[int]) -> tuple[float, float]:
    if not delays:
        return 0.0, 0.0
    return float(np.percentile(delays, 50)), float(np.percentile(delays, 95))
