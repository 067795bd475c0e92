#!/usr/bin/env python3
"""Measure what a cluster costs: its rate on this machine over the rate of a plain conversion.

    scripts/measure_cluster.py VIDEO --rounds 3

Each round converts the video by a plain run, on a cluster of one node with all cores of this
machine, and on as many nodes of one core each; rounds are interleaved, because other work on the
machine changes rates. Prints frames per second: of the whole run, and from when each core has
finished a segment to the last, which is what a long job comes to. Where other work takes turns on
the cores, seconds of processor time tell more: those of this process and of all that it started,
Ray's own included. Needs the extra `cluster`, and Linux.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from support.ray_cluster import descendants, ray_cluster  # noqa: E402

from toonvid.backends import Backend, open_backend  # noqa: E402
from toonvid.cluster.check_frames import cpu_cores  # noqa: E402
from toonvid.cluster.connection import LOCAL, connected  # noqa: E402
from toonvid.cluster.driver import ClusterRun  # noqa: E402
from toonvid.cluster.status import ClusterStatus  # noqa: E402
from toonvid.engine import find_engine  # noqa: E402
from toonvid.pipeline import ConvertOptions, Progress  # noqa: E402
from toonvid.resume.segmented import convert  # noqa: E402

Moments = list[tuple[float, int, float]]
"""(seconds, frames finished so far, seconds of processor time) whenever a segment was finished."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("video", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--style", default="ink")
    options = parser.parse_args()
    names = ("plain", "one node", f"{cpu_cores()} nodes of one core")
    found: dict[str, list[Figures]] = {name: [] for name in names}
    with open_backend(find_engine(options.style)) as backend:
        for _ in range(options.rounds):
            for name in names:
                figures = measure(name, options.video, backend)
                found[name].append(figures)
                print(f"{name}: {figures}", flush=True)
    for name in names:
        ratios = [
            f"{what} {median(getattr(f, what) for f in found[name]):.2f},"
            f" {median(getattr(f, what) for f in found[name]) / plain:.2f} of plain"
            for what in ("whole_rate", "steady_rate", "whole_per_cpu", "steady_per_cpu")
            if (plain := median(getattr(f, what) for f in found["plain"]))
        ]
        print(f"{name}: {'; '.join(ratios)}")


@dataclass(frozen=True)
class Figures:
    """What one run came to."""

    whole_rate: float
    """Frames per second, from the beginning of the run to its last segment."""
    steady_rate: float
    """Frames per second, from when each core has finished a segment to the last."""
    whole_per_cpu: float
    """Frames per second of processor time, of the whole run with the start of the cluster."""
    steady_per_cpu: float
    """Frames per second of processor time, of the same part as `steady_rate`."""

    @classmethod
    def of(cls, moments: Moments, cpu_before: float) -> Figures:
        if len(moments) <= cpu_cores():
            sys.exit(f"the video has {len(moments)} segments; take one with more than cores")
        first, last = moments[cpu_cores() - 1], moments[-1]
        seconds, frames, cpu = (b - a for a, b in zip(first, last, strict=True))
        whole = last[1] / (last[2] - cpu_before)
        return cls(last[1] / last[0], frames / seconds, whole, frames / cpu)

    def __str__(self) -> str:
        return (
            f"{self.whole_rate:.1f} fps, {self.steady_rate:.1f} steady; per second of processor"
            f" time {self.whole_per_cpu:.1f}, {self.steady_per_cpu:.1f} steady"
        )


def measure(name: str, video: Path, backend: Backend) -> Figures:
    """Convert once; a finished segment is a moment."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "target.mp4"
        before = cpu_seconds()
        if name == "plain":
            return Figures.of(plain(video, target, backend), before)
        if name == "one node":
            return on_cluster(LOCAL, video, target, backend, before)
        with ray_cluster(nodes=cpu_cores()) as cluster:
            return on_cluster(cluster.address, video, target, backend, before)


def cpu_seconds() -> float:
    """Return the processor time of this process and of all that it started, in seconds."""
    ticks = 0
    for process in {os.getpid(), *descendants()}:
        try:
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        ticks += sum(map(int, fields[11:15]))  # its own, and of children that it awaited
    return ticks / os.sysconf("SC_CLK_TCK")


def plain(video: Path, target: Path, backend: Backend) -> Moments:
    moments: Moments = []
    began = time.perf_counter()
    kept = 0.0

    def note(progress: Progress) -> None:
        nonlocal kept
        if progress.kept_seconds > kept:  # a segment was finished
            moments.append((time.perf_counter() - began, progress.frames, cpu_seconds()))
        kept = progress.kept_seconds

    convert(video, target, backend, ConvertOptions(), on_progress=note)
    return moments


def on_cluster(
    address: str, video: Path, target: Path, backend: Backend, cpu_before: float
) -> Figures:
    moments: Moments = []
    with connected(address) as ray:
        began = time.perf_counter()

        def note(status: ClusterStatus) -> None:
            if status.frames > (moments[-1][1] if moments else 0):
                moments.append((time.perf_counter() - began, status.frames, cpu_seconds()))

        def nothing(*_: object) -> None:
            pass

        run = ClusterRun(ray, backend, ConvertOptions(), nothing, nothing, on_status=note)
        run.run([(str(video), str(target))])
        return Figures.of(moments, cpu_before)


if __name__ == "__main__":
    main()
