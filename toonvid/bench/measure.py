"""Measure one size: the stages by themselves, all of them together, and what surrounds them."""

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


@dataclass(frozen=True)
class BenchOptions:
    """How thoroughly to measure."""

    source: Path | None = None
    """Whose beginning is measured on; None draws our own scene."""
    seconds: float | None = None
    """Length of the film; None: about the same work at each size."""
    rounds: int = 3
    """How often each thing is timed at most, after one round that is not counted."""
    paced: bool = True
    """Whether to convert at the film's own rate too."""
    apart: tuple[str, ...] | None = None
    """Words for `toonvid convert`, which is run in a new process too; None leaves that out."""
    rounds_seconds: float = 60.0
    """For the counted rounds of one size; when they do not fit there are fewer, but always one."""


def measure_size(
    backend: Backend,
    size: tuple[int, int] | int,
    options: BenchOptions,
    peak_multiply_adds: float | None = None,
    on_step: Callable[[str], None] = lambda _: None,
) -> SizeResults:
    """Measure a film of one size.

    What is compared takes turns in each round, so that a machine that slows down slows all of it.

    Args:
        backend: Open.
        size: A box or a short side in pixels, as `DecodeOptions.size`.
        options: How thoroughly.
        peak_multiply_adds: What the machine reaches in a matrix product, to stand beside.
        on_step: Told what comes next, and for how long as soon as that can be known.
    """
    with tempfile.TemporaryDirectory(prefix="toonvid-bench-") as name:
        folder = Path(name)
        film = folder / "film.mp4"
        on_step("its film")
        write_test_video(film, options.source, size, options.seconds)
        cold, paced = None, None
        if options.apart is not None:
            on_step("a new process")
            cold = convert_in_subprocess(film, folder / "apart.mp4", options.apart)
        bench = _Bench(film, folder, backend)
        for step in _rounds(options):
            on_step(step)
            bench.go_round()
        if options.paced:
            on_step("at the film's own rate")
            paced = run_in_real_time(film, folder / "paced.mp4", backend)
        return bench.figures(cold, paced, peak_multiply_adds)


def _rounds(options: BenchOptions) -> Iterator[str]:
    """Yield what to say of each round; how many there are is known after the first."""
    began = time.perf_counter()
    yield "a round that is not counted"
    each = time.perf_counter() - began
    count = max(1, min(options.rounds, int(options.rounds_seconds / each)))
    for number in range(count):
        yield f"round {number + 1} of {count}, {each * (count - number):.0f} s to go"


class _Bench:
    """Rounds over one film, and what they gave."""

    def __init__(self, film: Path, folder: Path, backend: Backend) -> None:
        self._film, self._folder, self._backend = film, folder, backend
        self._held = hold_frames(film, backend)
        self._rounds: list[dict[str, WorkTime]] = []
        self._first_frames: list[float] = []

    def go_round(self) -> None:
        """Measure everything once."""
        done = []

        def run() -> int:
            done.append(run_pipeline(self._film, self._folder / "pipeline.mp4", self._backend))
            return done[0].frames

        self._rounds.append(
            {
                "decode": decode_alone(self._film),
                "stylize": stylize_alone(self._held, self._backend),
                "encode": encode_alone(self._held, self._folder / "encode.mp4"),
                "pipeline": time_work(run),
                "null": run_null_pipeline(self._film, self._folder / "null.mp4"),
            }
        )
        self._first_frames.append(done[0].first_frame_seconds)

    def figures(
        self,
        cold: SubprocessRun | None,
        paced: RealTimeRun | None,
        peak_multiply_adds: float | None,
    ) -> SizeResults:
        """What all rounds but the first gave."""
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
            paced=None if paced is None else paced.work,
            late_frames=None if paced is None else paced.late_frames,
            warm_first_frame_seconds=median_low(self._first_frames[1:]),
            cold_first_frame_seconds=None if cold is None else cold.first_frame_seconds,
            peak_bytes=None if cold is None else cold.peak_bytes,
            multiply_adds_per_pixel=self._backend.engine.card.multiply_adds_per_pixel,
            peak_multiply_adds=peak_multiply_adds,
        )

    def _median(self, name: str) -> WorkTime:
        by_rate = sorted((found[name] for found in self._rounds[1:]), key=lambda work: work.rate)
        return by_rate[(len(by_rate) - 1) // 2]


def run_pipeline(film: Path, target: Path, backend: Backend) -> Conversion:
    """Convert a film as `toonvid convert` does; the target is replaced."""
    return convert(film, target, backend, ConvertOptions(encoding=EncodeOptions(overwrite=True)))
