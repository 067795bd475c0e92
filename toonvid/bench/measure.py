"""Measure one frame size: the stages alone, the whole pipeline, and what surrounds them.

In: an open backend, a frame size and `BenchOptions`. Out: a `SizeResults`. How each thing is
measured is left to the other modules of the folder.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median_low

from toonvid.backends import Backend
from toonvid.bench.child_process import SubprocessRun, convert_in_subprocess
from toonvid.bench.null_pipeline import run_null_pipeline
from toonvid.bench.real_time_load import RealTimeRun, run_in_real_time
from toonvid.bench.results import SizeResults
from toonvid.bench.stages import decode_alone, encode_alone, hold_frames, stylize_alone
from toonvid.bench.test_video import write_test_video
from toonvid.bench.work_time import WorkTime, core_count, time_work
from toonvid.pipeline import Conversion, ConvertOptions, convert
from toonvid.writing.options import EncodeOptions

_SHORT_SECONDS = "0.5"  # of the video, where only the first frame is waited for


@dataclass(frozen=True)
class BenchOptions:
    """What to measure, and how often."""

    source: Path | None = None
    """Video whose beginning is used. None: the demo scene."""
    seconds: float | None = None
    """Length of the test video in seconds. None: about the same work at each size."""
    rounds: int = 3
    """Largest number of rounds, after one that is not counted."""
    real_time: bool = True
    """Whether to measure a conversion at the video's own frame rate."""
    convert_arguments: tuple[str, ...] | None = None
    """Arguments of `toonvid convert` for runs in a new process. None: no such run."""
    rounds_seconds: float = 60.0
    """Time for the counted rounds of one size. There are fewer rounds if they take longer, but at
    least one."""


def measure_size(
    backend: Backend,
    size: tuple[int, int] | int,
    options: BenchOptions,
    peak_multiply_adds: float | None = None,
    on_step: Callable[[str], None] = lambda _: None,
) -> SizeResults:
    """Measure with a test video of one size.

    Everything is measured once per round, so that a machine that slows down slows all of it.

    Args:
        backend: Open backend.
        size: Frame size as in `DecodeOptions.size`: a box or a short side, in pixels.
        options: What to measure, and how often.
        peak_multiply_adds: Multiply-adds per second in a matrix product, for the results.
        on_step: Called with the name of each step when it begins.
    """
    with tempfile.TemporaryDirectory(prefix="toonvid-bench-") as name:
        folder = Path(name)
        video = folder / "video.mp4"
        on_step("test video")
        write_test_video(video, options.source, size, options.seconds)
        cold, kept, real_time = None, None, None
        if options.convert_arguments is not None:
            # First, while this process does not hold frames in memory yet.
            on_step("a new process")
            target, models = folder / "subprocess.mp4", folder / "models"
            cold = convert_in_subprocess(video, target, options.convert_arguments, models=models)
            short = (*options.convert_arguments, "--end", _SHORT_SECONDS)
            kept = convert_in_subprocess(video, target, short, models=models)
        bench = _Bench(video, folder, backend)
        for step in _rounds(options):
            on_step(step)
            bench.run_round()
        if options.real_time:
            on_step("at the video's own frame rate")
            real_time = run_in_real_time(video, folder / "real_time.mp4", backend)
        return bench.results(cold, kept, real_time, peak_multiply_adds)


def _rounds(options: BenchOptions) -> Iterator[str]:
    """Yield the name of each round. Their number depends on how long the first one takes."""
    began = time.perf_counter()
    yield "a round that is not counted"
    round_seconds = time.perf_counter() - began
    count = max(1, min(options.rounds, int(options.rounds_seconds / round_seconds)))
    for number in range(count):
        yield f"round {number + 1} of {count}, {round_seconds * (count - number):.0f} s to go"


class _Bench:
    """Runs rounds with one video, and keeps their times."""

    def __init__(self, video: Path, folder: Path, backend: Backend) -> None:
        self._video, self._folder, self._backend = video, folder, backend
        self._held = hold_frames(video, backend)
        self._rounds: list[dict[str, WorkTime]] = []
        self._first_frames: list[float] = []

    def run_round(self) -> None:
        """Measure everything once."""
        conversions = []

        def run() -> int:
            conversions.append(
                run_pipeline(self._video, self._folder / "pipeline.mp4", self._backend)
            )
            return conversions[0].frames

        self._rounds.append(
            {
                "decode": decode_alone(self._video),
                "stylize": stylize_alone(self._held, self._backend),
                "encode": encode_alone(self._held, self._folder / "encode.mp4"),
                "pipeline": time_work(run),
                "null": run_null_pipeline(self._video, self._folder / "null.mp4"),
            }
        )
        first_frame_seconds = conversions[0].first_frame_seconds
        assert first_frame_seconds is not None  # the video has frames
        self._first_frames.append(first_frame_seconds)

    def results(
        self,
        cold: SubprocessRun | None,
        kept: SubprocessRun | None,
        real_time: RealTimeRun | None,
        peak_multiply_adds: float | None,
    ) -> SizeResults:
        """Return the medians of all rounds but the first."""
        info = self._held.info
        return SizeResults(
            width=info.width,
            height=info.height,
            cores=core_count(),
            rounds=len(self._rounds) - 1,
            decode=self._median("decode"),
            stylize=self._median("stylize"),
            encode=self._median("encode"),
            pipeline=self._median("pipeline"),
            null=self._median("null"),
            real_time=None if real_time is None else real_time.work,
            late_frames=None if real_time is None else real_time.late_frames,
            warm_first_frame_seconds=median_low(self._first_frames[1:]),
            cold_first_frame_seconds=None if cold is None else cold.first_frame_seconds,
            kept_first_frame_seconds=None if kept is None else kept.first_frame_seconds,
            peak_bytes=None if cold is None else cold.peak_bytes,
            multiply_adds_per_pixel=self._backend.engine.card.multiply_adds_per_pixel,
            peak_multiply_adds=peak_multiply_adds,
        )

    def _median(self, name: str) -> WorkTime:
        # The lower of two middle ones: a mean would mix the times of two rounds.
        by_rate = sorted((times[name] for times in self._rounds[1:]), key=lambda work: work.rate)
        return by_rate[(len(by_rate) - 1) // 2]


def run_pipeline(video: Path, target: Path, backend: Backend) -> Conversion:
    """Convert a video as `toonvid convert` does. The target is replaced if it exists."""
    return convert(video, target, backend, ConvertOptions(encoding=EncodeOptions(overwrite=True)))
