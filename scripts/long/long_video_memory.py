#!/usr/bin/env python3
"""Convert a video of half an hour in a process of its own, and check that its memory stays flat.

    scripts/long/long_video_memory.py [--minutes 30] [--size 360p] [--style ink] [-o report.md]

The video is the drawn demo scene, repeated. Two phases are measured. While frames are converted,
memory may grow by 2 % from after the first tenth to the end. While the segments are joined, FFmpeg
keeps an index of the video's packets for the segments and for the target: in addition to 2 %, 100
bytes per packet are allowed. Exit code 1 if either grows more. Linux only: it reads /proc.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import av

from toonvid.bench.demo_scene import write_scene
from toonvid.bench.test_video import RATE, repeat_video, wide_size
from toonvid.bench.work_time import core_count, cpu_name
from toonvid.resume.job_state import read_job_state

DRAWN_SECONDS = 10.0  # of the scene; repeated, because drawing is slow
SAMPLE_SECONDS = 0.5  # between two samples
SETTLING_SHARE = 0.1  # of the conversion, in which memory may grow: compilation, queues that fill
ALLOWED_GROWTH = 0.02
ALLOWED_PACKET_BYTES = 100  # entries of a packet in the indexes of demuxer and muxer
CHART_COLUMNS = 40
MEBIBYTE = 2**20


@dataclass
class MemorySamples:
    """Resident memory of the process in bytes, one value per sample."""

    converting: list[int] = field(default_factory=list)
    """From the first finished segment to the last."""
    joining: list[int] = field(default_factory=list)
    """From there until the target is in its place."""


@dataclass(frozen=True)
class MemoryResult:
    """What the samples say; all in bytes."""

    begin: float
    """Median after the settling share."""
    end: float
    """Median of the last tenth of the conversion."""
    largest_converting: int
    largest_joining: int
    allowed_joining: float

    @property
    def growth(self) -> float:
        """Growth during the conversion; 0.02 is 2 %."""
        return self.end / self.begin - 1

    @property
    def is_flat(self) -> bool:
        """Whether both phases stayed within what is allowed."""
        return self.growth <= ALLOWED_GROWTH and self.largest_joining <= self.allowed_joining


def main() -> int:
    options = parse_arguments()
    with tempfile.TemporaryDirectory(prefix="toonvid-long-") as name:
        source, target = Path(name) / "source.mp4", Path(name) / "cartoon.mp4"
        write_long_video(source, int(options.size.rstrip("p")), options.minutes)
        packets = count_packets(source)
        began = time.perf_counter()
        samples = sample_conversion(source, target, options.style)
        seconds = time.perf_counter() - began
    result = evaluate(samples, packets)
    report = f"""# Memory over a long video

{cpu_name()}, {core_count()} cores. `{" ".join(sys.argv)}`

A video of {options.minutes:g} minutes at {options.size}, {float(RATE):g} frames per second, in the
style {options.style}, took {seconds:.0f} s.

| | MiB |
|---|---|
| frames are converted: after the first tenth | {result.begin / MEBIBYTE:.1f} |
| in the last tenth | {result.end / MEBIBYTE:.1f} |
| at most | {result.largest_converting / MEBIBYTE:.1f} |
| segments are joined: at most | {result.largest_joining / MEBIBYTE:.1f} |
| allowed with the indexes of {packets} packets | {result.allowed_joining / MEBIBYTE:.1f} |

While frames are converted, memory grows by {result.growth:+.2%}; {ALLOWED_GROWTH:.0%} are allowed.
The join takes {max(0, result.largest_joining - result.end) / packets:.0f} bytes per packet.
**{"Flat" if result.is_flat else "It grows"}**.

From the first segment to the end, relative to the maximum:

```
{draw_chart(samples.converting + samples.joining)}
```
"""
    options.output.write_text(report, encoding="utf-8")
    print(report)
    return 0 if result.is_flat else 1


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--size", default="360p", help="short side of the video, as in 360p")
    parser.add_argument("--style", default="ink")
    parser.add_argument("-o", "--output", type=Path, default=Path("long_video_memory.md"))
    return parser.parse_args()


def write_long_video(target: Path, short_side: int, minutes: float) -> None:
    """Write the demo scene, repeated until it is so many minutes long."""
    once = target.with_name("once.mp4")
    seconds = min(DRAWN_SECONDS, minutes * 60)
    write_scene(once, *wide_size(short_side), RATE, seconds)
    repeat_video(once, target, max(1, round(minutes * 60 / seconds)))
    once.unlink()


def count_packets(video: Path) -> int:
    """Return the number of packets of all streams, as the container states it."""
    with av.open(str(video)) as container:
        return sum(stream.frames for stream in container.streams)


def sample_conversion(source: Path, target: Path, style: str) -> MemorySamples:
    """Convert a video in a process of its own, and sample the memory of that process."""
    command = [sys.executable, "-m", "toonvid", "convert", str(source), "-o", str(target), "-q"]
    process = subprocess.Popen([*command, "--style", style])
    samples = MemorySamples()
    try:
        while process.poll() is None:
            state, resident = read_job_state(target), read_resident_bytes(process.pid)
            if state is not None and state.segments:
                phase = samples.joining if state.awaits_join else samples.converting
                phase.extend(resident)
            time.sleep(SAMPLE_SECONDS)
    finally:
        process.kill()
    if process.wait():
        raise SystemExit(f"the conversion failed with exit code {process.returncode}")
    return samples


def read_resident_bytes(process_id: int) -> list[int]:
    """Return the resident memory of a process in a list; an empty one if it has just ended."""
    try:
        lines = Path(f"/proc/{process_id}/status").read_text().splitlines()
    except OSError:
        return []
    return [int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:")]


def evaluate(samples: MemorySamples, packets: int) -> MemoryResult:
    """Compare the samples of the conversion's end with those after the settling share."""
    settled = samples.converting[int(len(samples.converting) * SETTLING_SHARE) :]
    tenth = len(settled) // 10
    if not tenth or not samples.joining:
        raise SystemExit("the run was too short to tell: take more minutes or a larger size")
    end = median(settled[-tenth:])
    return MemoryResult(
        begin=median(settled[:tenth]),
        end=end,
        largest_converting=max(samples.converting),
        largest_joining=max(samples.joining),
        allowed_joining=end * (1 + ALLOWED_GROWTH) + ALLOWED_PACKET_BYTES * packets,
    )


def draw_chart(values: list[int]) -> str:
    """Return a bar chart in one line, of every so many-th value."""
    step = max(1, len(values) // CHART_COLUMNS)
    bars = "▁▂▃▄▅▆▇█"
    return "".join(bars[value * (len(bars) - 1) // max(values)] for value in values[::step])


if __name__ == "__main__":
    sys.exit(main())
