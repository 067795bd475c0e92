"""Convert a film of half an hour in a process of its own, and see whether its memory stays flat.

    python scripts/long/film_memory.py [--minutes 30] [--size 360p] [--style ink] [-o report.md]

The film is our own scene, over and over. Two phases are told apart. While frames are made, memory
may grow by 2 % from after the first tenth to the end. While the segments are joined, both
containers list the film's packets: on top of 2 %, 100 bytes are allowed for each. Exit code 1 when
either is more. Linux only: it reads /proc.
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

DRAWN_SECONDS = 10.0
LOOK_SECONDS = 0.5  # between two looks
SETTLED = 0.1  # share of the first phase in which memory may grow: compilation, queues that fill
ALLOWED_GROWTH = 0.02
ALLOWED_PACKET_BYTES = 100  # the muxer's entry, the demuxer's, and the tables they come from
BARS = 40  # columns of the curve in the report
MEGABYTE = 2**20


@dataclass
class HeldMemory:
    """Bytes that the process held, look by look."""

    making: list[int] = field(default_factory=list)
    """From the first finished segment to the last."""
    joining: list[int] = field(default_factory=list)
    """From there until the target is in its place."""


def main() -> int:
    options = parse_arguments()
    with tempfile.TemporaryDirectory(prefix="toonvid-long-") as name:
        film, target = Path(name) / "film.mp4", Path(name) / "cartoon.mp4"
        write_long_film(film, int(options.size.rstrip("p")), options.minutes)
        packets = count_packets(film)
        began = time.perf_counter()
        held = watch_conversion(film, target, options.style)
        seconds = time.perf_counter() - began
    settled = held.making[int(len(held.making) * SETTLED) :]
    tenth = len(settled) // 10
    if not tenth or not held.joining:
        raise SystemExit("too short to tell: take more minutes or a larger size")
    begin, end = median(settled[:tenth]), median(settled[-tenth:])
    growth = end / begin - 1
    joining = max(held.joining)
    room = ALLOWED_GROWTH * end + ALLOWED_PACKET_BYTES * packets
    is_flat = growth <= ALLOWED_GROWTH and joining <= end + room
    report = f"""# Memory over a long film

{cpu_name()}, {core_count()} cores. `{" ".join(["python", *sys.argv])}`

A film of {options.minutes:g} minutes at {options.size}, {float(RATE):g} frames a second, in the
style {options.style}, took {seconds:.0f} s.

| | MiB |
|---|---|
| frames are made: after the first tenth | {begin / MEGABYTE:.1f} |
| in the last tenth | {end / MEGABYTE:.1f} |
| at most | {max(held.making) / MEGABYTE:.1f} |
| segments are joined: at most | {joining / MEGABYTE:.1f} |
| allowed for the lists of {packets} packets | {(end + room) / MEGABYTE:.1f} |

While frames are made it grows by {growth:+.2%}, {ALLOWED_GROWTH:.0%} are allowed. The join takes
{max(0, joining - end) / packets:.0f} bytes a packet. **{"Flat" if is_flat else "It grows"}**.

From the first segment to the end, of the most that was held:

```
{draw_curve(held.making + held.joining)}
```
"""
    options.output.write_text(report, encoding="utf-8")
    print(report)
    return 0 if is_flat else 1


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--size", default="360p", help="short side of the film, as in 360p")
    parser.add_argument("--style", default="ink")
    parser.add_argument("-o", "--output", type=Path, default=Path("film_memory.md"))
    return parser.parse_args()


def write_long_film(film: Path, short_side: int, minutes: float) -> None:
    once = film.with_name("once.mp4")
    seconds = min(DRAWN_SECONDS, minutes * 60)
    write_scene(once, *wide_size(short_side), RATE, seconds)
    repeat_video(once, film, max(1, round(minutes * 60 / seconds)))
    once.unlink()


def count_packets(film: Path) -> int:
    with av.open(str(film)) as container:
        return sum(stream.frames for stream in container.streams)


def watch_conversion(film: Path, target: Path, style: str) -> HeldMemory:
    command = [sys.executable, "-m", "toonvid", "convert", str(film), "-o", str(target), "-q"]
    process = subprocess.Popen([*command, "--style", style])
    held = HeldMemory()
    try:
        while process.poll() is None:
            state, now = read_job_state(target), held_bytes(process.pid)
            if state is not None and state.segments:
                (held.joining if state.awaits_join else held.making).extend(now)
            time.sleep(LOOK_SECONDS)
    finally:
        process.kill()
    if process.wait():
        raise SystemExit(f"the conversion failed with exit code {process.returncode}")
    return held


def held_bytes(process_id: int) -> list[int]:
    """The process's resident memory; nothing when it has just ended."""
    try:
        lines = Path(f"/proc/{process_id}/status").read_text().splitlines()
    except OSError:
        return []
    return [int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:")]


def draw_curve(held: list[int]) -> str:
    """A bar for each of some looks, as high as what was held."""
    step = max(1, len(held) // BARS)
    blocks = "▁▂▃▄▅▆▇█"
    return "".join(blocks[value * (len(blocks) - 1) // max(held)] for value in held[::step])


if __name__ == "__main__":
    sys.exit(main())
