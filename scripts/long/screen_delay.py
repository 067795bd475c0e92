#!/usr/bin/env python3
"""How late `toonvid live` is in its window, read off a virtual screen, beside what it tells itself.

    scripts/long/screen_delay.py --size 640x360 --fps 25 --seconds 30 --style ink

Needs Xvfb, and a machine that does nothing else.
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
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="640x360")
    parser.add_argument("--fps", type=float, default=25)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--style", default=DEFAULT_STYLE)
    asked = parser.parse_args()
    width, height = (int(side) for side in asked.size.split("x"))
    found = measure_screen_delay(width, height, asked.fps, asked.seconds, asked.style, {})
    print(f"{cpu_name()}, {core_count()} cores; {asked.style}, {asked.size}, {asked.fps:g}/s")
    for what, (median, most) in (
        ("toonvid live tells", found.told),
        ("seen on the screen", found.seen),
        ("of which the way to toonvid", found.way),
    ):
        print(f"{what}: {median:.0f} ms, 95 % within {most:.0f} ms")
    print(f"{found.pictures} pictures")


if __name__ == "__main__":
    main()
