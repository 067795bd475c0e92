#!/usr/bin/env python3
"""Twenty minutes of `toonvid live`: neither memory, nor delay, nor the number of threads may grow.

    scripts/long/soak_live.py --minutes 20 --size 640x360

A drawn camera with a clock in its picture is painted, recorded and shown on the page to a reader.
Prints a line every so often and a verdict, and ends with 1 if any of them has grown.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import threading
import time
import urllib.request
from fractions import Fraction
from pathlib import Path
from statistics import median

from toonvid.backends import open_backend
from toonvid.bench.drawn_clock import elapsed_ms, read_clock
from toonvid.bench.live_latency import clock_ms, open_demo_scene
from toonvid.engine import DEFAULT_STYLE, find_engine
from toonvid.live.camera import Camera
from toonvid.live.live_stylizer import LiveStylizer, StyleSettings
from toonvid.live.recorder import Recorder, RecordOptions
from toonvid.live.session import Controls, DisplayFrame, LiveSession
from toonvid.live.web.server import PageServer, ServeOptions

SETTLING_LINES = 4  # caches fill
MEMORY_GROWTH = 1.02
DELAY_GROWTH = 1.25
DELAY_SLACK_MS = 5.0


def main() -> int:
    asked = parse()
    width, height = (int(side) for side in asked.size.split("x"))
    look = StyleSettings(asked.style)
    controls = Controls(look, (), recording=True)
    lines: list[tuple[float, float, int]] = []  # megabytes, delay in milliseconds, threads
    with (
        tempfile.TemporaryDirectory(prefix="toonvid-soak-") as folder,
        LiveStylizer(lambda name: open_backend(find_engine(name)), look, None) as stylizer,
        Camera("scene", lambda: open_demo_scene(width, height, Fraction(asked.fps))) as camera,
        Recorder(camera, controls, RecordOptions(Path(folder) / "soak.mkv"), print) as recorder,
    ):
        live = LiveSession(
            camera, stylizer, controls, [recorder.show, watch(lines, asked.line_seconds)]
        )
        with PageServer(
            controls, live.statistics, camera.put_browser_frame, ServeOptions(port=0)
        ) as page:
            live.outputs.append(page.show)
            threading.Thread(target=read_page, args=(page.address,), daemon=True).start()
            figures = live.run(60 * asked.minutes)
    print(figures)
    return judge(lines)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--line-seconds", type=float, default=30)
    parser.add_argument("--size", default="640x360")
    parser.add_argument("--fps", default="25")
    parser.add_argument("--style", default=DEFAULT_STYLE)
    return parser.parse_args()


def watch(lines: list[tuple[float, float, int]], line_seconds: float):
    """A screen that reads the clock in the pictures, and notes a line every so often."""
    delays: list[int] = []
    began = last = time.perf_counter()

    def screen(picture: DisplayFrame | None) -> None:
        nonlocal last
        if picture is not None:
            delays.append(elapsed_ms(read_clock(picture.pixels), clock_ms()))
        now = time.perf_counter()
        if now >= last + line_seconds and delays:
            last = now
            lines.append((resident_megabytes(), median(delays), threading.active_count()))
            delays.clear()
            megabytes, delay, threads = lines[-1]
            print(
                f"{now - began:6.0f} s  {megabytes:7.1f} MB  {delay:5.0f} ms  {threads} threads",
                flush=True,
            )

    return screen


def resident_megabytes() -> float:
    """What the process holds now; where the system does not say, the most it ever held."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * resource.getpagesize() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def read_page(address: str) -> None:
    """Look at the page until it ends."""
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    opener.open(address).close()
    with opener.open(address.partition("?")[0] + "cartoon.mjpg") as pictures:
        while pictures.read(1 << 16):
            continue


def judge(lines: list[tuple[float, float, int]]) -> int:
    """0 when the last quarter is as good as the first one after settling."""
    settled = lines[SETTLING_LINES:]
    quarter = len(settled) // 4
    if not quarter:
        print("too short to tell")
        return 1
    memory, delay, threads = zip(*settled, strict=True)
    first, last = median(memory[:quarter]), median(memory[-quarter:])
    early, late = median(delay[:quarter]), median(delay[-quarter:])
    print(
        f"memory {first:.1f} -> {last:.1f} MB, delay {early:.0f} -> {late:.0f} ms,"
        f" threads {threads[0]} -> {threads[-1]}"
    )
    grew = (
        last > first * MEMORY_GROWTH
        or late > early * DELAY_GROWTH + DELAY_SLACK_MS
        or threads[-1] > threads[0]
    )
    print("it grew" if grew else "nothing grew")
    return int(grew)


if __name__ == "__main__":
    sys.exit(main())
