#!/usr/bin/env python3
"""Measure the delay of `toonvid live` on a virtual screen, beside the delay that it reports.

    scripts/long/screen_delay.py --size 640x360 --fps 25 --seconds 30 --style ink

Needs Xvfb and openbox, and a machine that does nothing else meanwhile.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

from support.screen_delay import measure_screen_delay

from toonvid.bench.work_time import core_count, cpu_name
from toonvid.engine import DEFAULT_STYLE


def main() -> None:
    options = parse_arguments()
    width, height = (int(side) for side in options.size.split("x"))
    measured = measure_screen_delay(
        width, height, options.fps, options.seconds, options.style, env={}
    )
    print(
        f"{cpu_name()}, {core_count()} cores; {options.style}, {options.size},"
        f" {options.fps:g} frames per second"
    )
    for label, (median, percentile_95) in (
        ("reported by toonvid live", measured.reported),
        ("seen on the screen", measured.seen),
        ("of which from the camera to toonvid", measured.transport),
    ):
        print(f"{label}: median {median:.0f} ms, 95 % within {percentile_95:.0f} ms")
    print(f"{measured.frames} frames")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="640x360", help="of the camera's frames, in pixels")
    parser.add_argument("--fps", type=float, default=25, help="frames per second of the camera")
    parser.add_argument("--seconds", type=float, default=30, help="how long frames are shown")
    parser.add_argument("--style", default=DEFAULT_STYLE)
    return parser.parse_args()


if __name__ == "__main__":
    main()
