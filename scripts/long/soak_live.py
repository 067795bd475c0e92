#!/usr/bin/env python3
"""Run live conversion for twenty minutes: memory, delay and number of threads must not grow.

    scripts/long/soak_live.py --minutes 20 --size 640x360

A drawn camera with a clock in its frames is stylized, recorded, and sent to a client of the page.
Prints a line every half minute and a verdict at the end. Exit code 1 if anything has grown.
"""

from __future__ import annotations

import argparse
import http.client
import resource
import sys
import tempfile
import threading
import time
import urllib.request
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from statistics import median

from toonvid.backends import open_backend
from toonvid.bench.drawn_clock import elapsed_ms, read_clock
from toonvid.bench.live_latency import clock_ms, open_demo_scene
from toonvid.engine import DEFAULT_STYLE, find_engine
from toonvid.live.camera import Camera
from toonvid.live.controls import Controls
from toonvid.live.live_stylizer import LiveStylizer, StyleSettings
from toonvid.live.recorder import Recorder, RecordOptions
from toonvid.live.session import DisplayFrame, FrameOutput, LiveSession
from toonvid.live.web.server import PageServer, ServeOptions

SETTLING_SAMPLES = 4  # at the start, in which caches fill; not compared
MEMORY_GROWTH = 1.02  # allowed, from the first quarter of the samples to the last
DELAY_GROWTH = 1.25
DELAY_SLACK_MS = 5.0  # allowed in addition: small delays differ by a few milliseconds


@dataclass(frozen=True)
class Sample:
    """State of the process at one moment."""

    megabytes: float
    """Resident memory."""
    delay_ms: float
    """Median delay of the frames since the sample before."""
    threads: int


def main() -> int:
    options = parse_arguments()
    width, height = (int(side) for side in options.size.split("x"))
    settings = StyleSettings(options.style)
    controls = Controls(settings, (), recording=True)
    samples: list[Sample] = []
    with (
        tempfile.TemporaryDirectory(prefix="toonvid-soak-") as folder,
        LiveStylizer(lambda name: open_backend(find_engine(name)), settings, None) as stylizer,
        Camera("scene", lambda: open_demo_scene(width, height, Fraction(options.fps))) as camera,
        Recorder(camera, controls, RecordOptions(Path(folder) / "soak.mkv"), print) as recorder,
    ):
        sampler = sample_output(samples, options.line_seconds)
        session = LiveSession(camera, stylizer, controls, [recorder.show, sampler])
        with PageServer(
            controls, session.statistics, camera.put_browser_frame, ServeOptions(port=0)
        ) as page:
            session.outputs.append(page.show)
            threading.Thread(target=read_page, args=(page.address,), daemon=True).start()
            statistics = session.run(60 * options.minutes)
    print(statistics)
    return print_verdict(samples)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--line-seconds", type=float, default=30, help="between two lines")
    parser.add_argument("--size", default="640x360", help="of the camera's frames, in pixels")
    parser.add_argument("--fps", default="25", help="frames per second of the camera")
    parser.add_argument("--style", default=DEFAULT_STYLE)
    return parser.parse_args()


def sample_output(samples: list[Sample], line_seconds: float) -> FrameOutput:
    """Return an output that reads the clock in the frames, and adds and prints samples."""
    delays: list[int] = []
    began = last = time.perf_counter()

    def read_frame(frame: DisplayFrame | None) -> None:
        nonlocal last
        if frame is not None:
            delays.append(elapsed_ms(read_clock(frame.pixels), clock_ms()))
        now = time.perf_counter()
        if now >= last + line_seconds and delays:
            last = now
            sample = Sample(resident_megabytes(), median(delays), threading.active_count())
            samples.append(sample)
            delays.clear()
            print(
                f"{now - began:6.0f} s  {sample.megabytes:7.1f} MB  {sample.delay_ms:5.0f} ms"
                f"  {sample.threads} threads",
                flush=True,
            )

    return read_frame


def resident_megabytes() -> float:
    """Return the resident memory; where the system does not tell, the largest so far."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * resource.getpagesize() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def read_page(address: str) -> None:
    """Open the page and read the live cartoon until it ends."""
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    opener.open(address).close()
    with (
        opener.open(address.partition("?")[0] + "cartoon.mjpg") as stream,
        suppress(http.client.IncompleteRead),  # the server cuts the connection at its end
    ):
        while stream.read(1 << 16):
            continue


def print_verdict(samples: list[Sample]) -> int:
    """Compare the last quarter of the samples with the first, and return the exit code."""
    settled = samples[SETTLING_SAMPLES:]
    quarter = len(settled) // 4
    if not quarter:
        print("the run was too short to tell")
        return 1
    first, last = settled[:quarter], settled[-quarter:]
    first_megabytes = median(sample.megabytes for sample in first)
    last_megabytes = median(sample.megabytes for sample in last)
    first_delay = median(sample.delay_ms for sample in first)
    last_delay = median(sample.delay_ms for sample in last)
    first_threads, last_threads = settled[0].threads, settled[-1].threads
    print(
        f"memory {first_megabytes:.1f} -> {last_megabytes:.1f} MB,"
        f" delay {first_delay:.0f} -> {last_delay:.0f} ms,"
        f" threads {first_threads} -> {last_threads}"
    )
    has_grown = (
        last_megabytes > first_megabytes * MEMORY_GROWTH
        or last_delay > first_delay * DELAY_GROWTH + DELAY_SLACK_MS
        or last_threads > first_threads
    )
    print("it has grown" if has_grown else "nothing has grown")
    return int(has_grown)


if __name__ == "__main__":
    sys.exit(main())
