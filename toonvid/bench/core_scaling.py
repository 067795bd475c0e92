"""How much more cores help: the same conversion, each time in a process that has fewer of them."""

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
    """Frames a second after the first, by number of cores.

    Args:
        counts: How many cores; all must be here.
        size: Of the film, as `DecodeOptions.size`.
        options: `apart` are the words for `toonvid convert`.
    """
    here = sorted(os.sched_getaffinity(0))
    if max(counts) > len(here):
        raise ValueError(f"{counts = } where {len(here)} are")
    found: dict[int, list[float]] = {count: [] for count in counts}
    with tempfile.TemporaryDirectory(prefix="toonvid-bench-") as name:
        film, target = Path(name) / "film.mp4", Path(name) / "target.mp4"
        write_test_video(film, options.source, size, options.seconds)
        for _ in range(options.rounds):
            for count in counts:
                done = convert_in_subprocess(film, target, options.apart or (), set(here[:count]))
                assert done.frames_per_second is not None, "a film has more than one frame"
                found[count].append(done.frames_per_second)
    return {count: median(rates) for count, rates in found.items()}
