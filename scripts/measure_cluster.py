#!/usr/bin/env python3
"""Measure what a cluster costs: its rate on this machine over the rate of a plain conversion.

    scripts/measure_cluster.py VIDEO --rounds 3

Each round converts the video by a plain run, on a cluster of one node with all cores of this
machine, and on as many nodes of one core each; rounds are interleaved, because other work on the
machine changes rates. Prints frames per second: from the beginning of the run, and from the first
finished segment to the last, which is what a long job comes to. Needs the extra `cluster`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from support.ray_cluster import ray_cluster  # noqa: E402

from toonvid.backends import open_backend  # noqa: E402
from toonvid.cluster.check_frames import cpu_cores  # noqa: E402
from toonvid.cluster.connection import LOCAL, connected  # noqa: E402
from toonvid.cluster.driver import ClusterRun  # noqa: E402
from toonvid.cluster.status import ClusterStatus  # noqa: E402
from toonvid.engine import find_engine  # noqa: E402
from toonvid.pipeline import ConvertOptions, Progress  # noqa: E402
from toonvid.resume.segmented import convert  # noqa: E402

Moments = list[tuple[float, int]]
"""(seconds, frames finished so far) whenever that number grew."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("video", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--style", default="ink")
    options = parser.parse_args()
    names = ("plain", "one node", f"{cpu_cores()} nodes of one core")
    whole: dict[str, list[float]] = {name: [] for name in names}
    steady: dict[str, list[float]] = {name: [] for name in names}
    with open_backend(find_engine(options.style)) as backend:
        for _ in range(options.rounds):
            for name in names:
                moments = measure(name, options.video, backend)
                (first, frames), (last, total) = moments[0], moments[-1]
                whole[name].append(total / last)
                steady[name].append((total - frames) / (last - first))
                print(
                    f"{name}: {whole[name][-1]:.1f} fps, {steady[name][-1]:.1f} steady", flush=True
                )
    for what, rates in (("whole runs", whole), ("steady", steady)):
        plain = median(rates["plain"])
        for name in names:
            print(
                f"{what}, {name}: {median(rates[name]):.1f} fps, {median(rates[name]) / plain:.2f}"
            )


def measure(name: str, video: Path, backend: object) -> Moments:
    """Convert once; a finished segment is a moment."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "target.mp4"
        if name == "plain":
            return plain(video, target, backend)
        if name == "one node":
            return on_cluster(LOCAL, video, target, backend)
        with ray_cluster(nodes=cpu_cores()) as cluster:
            return on_cluster(cluster.address, video, target, backend)


def plain(video: Path, target: Path, backend) -> Moments:
    moments: Moments = []
    began = time.perf_counter()

    def note(progress: Progress) -> None:
        # Frames of finished segments alone, as on a cluster.
        if not moments or progress.kept_seconds > note.kept:  # type: ignore[attr-defined]
            if progress.kept_seconds:
                moments.append((time.perf_counter() - began, progress.frames))
            note.kept = progress.kept_seconds  # type: ignore[attr-defined]

    note.kept = 0.0  # type: ignore[attr-defined]
    convert(video, target, backend, ConvertOptions(), on_progress=note)
    return moments


def on_cluster(address: str, video: Path, target: Path, backend) -> Moments:
    moments: Moments = []
    with connected(address) as ray:
        began = time.perf_counter()

        def note(status: ClusterStatus) -> None:
            if status.frames > (moments[-1][1] if moments else 0):
                moments.append((time.perf_counter() - began, status.frames))

        def nothing(*_: object) -> None:
            pass

        run = ClusterRun(ray, backend, ConvertOptions(), nothing, nothing, on_status=note)
        run.run([(str(video), str(target))])
    return moments


if __name__ == "__main__":
    main()
