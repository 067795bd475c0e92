"""Measure what segments cost: the demo scene, converted in one go and in segments, by turns.

python scripts/measure_segments.py --style ink --size 1280x720 --seconds 60
"""

from __future__ import annotations

import argparse
import tempfile
from fractions import Fraction
from pathlib import Path
from statistics import median

from toonvid import ConvertOptions, EncodeOptions, convert, find_engine, open_backend, pipeline
from toonvid.bench.demo_scene import write_scene


def main() -> None:
    """Print the seconds of each round, and the median of their ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--style", default="ink")
    parser.add_argument("--size", default="640x360")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    width, height = (int(side) for side in arguments.size.split("x"))
    options = ConvertOptions(encoding=EncodeOptions(overwrite=True))
    ratios = []
    with (
        tempfile.TemporaryDirectory(prefix="toonvid-measure-") as folder,
        open_backend(find_engine(arguments.style)) as backend,
    ):
        video, target = Path(folder) / "scene.mp4", Path(folder) / "target.mp4"
        write_scene(video, width, height, Fraction(24), arguments.seconds)
        for _ in range(arguments.rounds):
            once = pipeline.convert(video, target, backend, options).seconds
            split = convert(video, target, backend, options).seconds
            ratios.append(split / once)
            print(f"in one go {once:.2f} s, in segments {split:.2f} s, ratio {ratios[-1]:.3f}")
    print(f"median ratio {median(ratios):.3f}")


if __name__ == "__main__":
    main()
