"""Stops a conversion half way and goes on with it: python examples/stop_and_resume.py.

A conversion is written in segments, each safe on disk once it is finished. The same call made
again, by this process or by another one, makes only what is missing. The target is byte for byte
the one that a conversion without a stop would have made.
"""

from fractions import Fraction
from pathlib import Path

import toonvid
from toonvid.bench.demo_scene import write_scene

SOURCE, TARGET = Path("long.mp4"), Path("long.toon.mp4")
STOP_AT = 30  # frames


class Stopped(Exception):
    """Raised by the progress callback below."""


def stop_half_way(progress: toonvid.Progress) -> None:
    """Whatever a progress callback raises ends the conversion and reaches its caller."""
    if progress.frames >= STOP_AT:
        raise Stopped


def main() -> None:
    write_scene(SOURCE, 160, 96, Fraction(12), 4.0)
    TARGET.unlink(missing_ok=True)
    # Ten seconds are the default; short segments make a short example.
    options = toonvid.ConvertOptions(segment_seconds=Fraction(1))
    with toonvid.open_backend(toonvid.find_engine("ink")) as backend:
        try:
            toonvid.convert(SOURCE, TARGET, backend, options, on_progress=stop_half_way)
        except Stopped:
            print(f"stopped after {STOP_AT} frames; {TARGET} exists: {TARGET.exists()}")
        done = toonvid.convert(SOURCE, TARGET, backend, options)
    print(f"{done.frames} frames, {done.resumed_frames} of them made before the stop")


if __name__ == "__main__":
    main()
