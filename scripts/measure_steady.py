"""What the stage against flicker costs: CPU time and page faults of a frame, for each video.

    python scripts/measure_steady.py street.mp4 pan.mp4

The frames of a video stand for its cartoon as well: the time depends on the motion of the source
and on the size alone. Times are the median over the frames, of one core, and stand beside that of
copying a frame, because a busy machine changes both. Page faults come from memory that the
allocator gave back to the system; with MALLOC_MMAP_THRESHOLD_=131072 it gives back all large
arrays.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np

from toonvid.reading.decoder import VideoDecoder
from toonvid.stylizing.steady import SteadyStage
from toonvid.video import Pixels

FRAMES = 40
PIXELS_720P = 1280 * 720


def main() -> None:
    print(
        "video  size  ms of CPU for a frame  for 1280x720  times a copy of the frame  page faults"
    )
    for path in sys.argv[1:]:
        with VideoDecoder(path) as decoder:
            frames = [frame.pixels for frame in islice(decoder.frames(), FRAMES)]
        stage = SteadyStage(0.85)
        steady = median_ms(frames, lambda pixels, stage=stage: stage.apply(pixels, pixels))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for pixels in frames:
            stage.apply(pixels, pixels)
        faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
        copied = median_ms(frames, np.copy)
        height, width = frames[0].shape[:2]
        at_720p = steady * PIXELS_720P / (height * width)
        print(
            f"{Path(path).name}  {width}x{height}  {steady:.1f}  {at_720p:.1f}  "
            f"{steady / copied:.0f}  {faults / len(frames):.0f}"
        )


def median_ms(frames: list[Pixels], function: Callable[[Pixels], Pixels]) -> float:
    """Median CPU time of a call, in milliseconds."""
    times = []
    for pixels in frames:
        start = time.process_time()
        function(pixels)
        times.append(time.process_time() - start)
    return 1000 * float(np.median(times))


if __name__ == "__main__":
    main()
