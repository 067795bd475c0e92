"""Scaling with CPU cores: the same conversion in processes that may use fewer of them.

In: numbers of cores. Out: frame rates. It needs a system that can pin processes to cores
(`child_process.can_pin`).
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from statistics import median

from toonvid.bench.child_process import convert_in_subprocess
from toonvid.bench.measure import BenchOptions
from toonvid.bench.test_video import write_test_video


def measure_rates_by_cores(
    counts: list[int], size: tuple[int, int] | int, options: BenchOptions
) -> dict[int, float]:
    """Measure the frame rate with different numbers of cores.

    Args:
        counts: Numbers of cores, none larger than this machine has.
        size: Frame size as in `DecodeOptions.size`.
        options: `convert_arguments` choose style and backend.

    Returns:
        Number of cores -> median of the frames per second after the first frame.
    """
    available = sorted(os.sched_getaffinity(0))
    if max(counts) > len(available):
        raise ValueError(f"{counts = }, but there are {len(available)} cores")
    rates: dict[int, list[float]] = {count: [] for count in counts}
    with tempfile.TemporaryDirectory(prefix="toonvid-bench-") as name:
        video, target = Path(name) / "video.mp4", Path(name) / "target.mp4"
        write_test_video(video, options.source, size, options.seconds)
        for _ in range(options.rounds):
            for count in counts:  # by turns, as in `side_by_side`
                cores = set(available[:count])
                run = convert_in_subprocess(video, target, options.convert_arguments or (), cores)
                assert run.frames_per_second is not None, "a test video has more than one frame"
                rates[count].append(run.frames_per_second)
    return {count: median(found) for count, found in rates.items()}
