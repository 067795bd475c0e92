"""Two backends side by side: they convert the same video by turns, A B A B.

In: two open backends. Out: a `SideBySide` with a ratio per turn. By turns, because a machine that
slows down while it is measured slows both.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from types import TracebackType

from toonvid.backends import Backend, ControlValues
from toonvid.bench.measure import BenchOptions, run_pipeline
from toonvid.bench.test_video import write_test_video
from toonvid.bench.work_time import time_work
from toonvid.video import Pixels


@dataclass(frozen=True)
class SideBySide:
    """Frame rates of two pipelines, turn by turn, in frames per second."""

    first: tuple[float, ...]
    second: tuple[float, ...]
    """In the same order as `first`."""

    @property
    def ratios(self) -> tuple[float, ...]:
        """Rate of the first over rate of the second, per turn."""
        return tuple(a / b for a, b in zip(self.first, self.second, strict=True))

    @property
    def ratio(self) -> float:
        """Median of `ratios`."""
        return median(self.ratios)

    @property
    def spread(self) -> tuple[float, float]:
        """Lowest and highest of `ratios`. On an idle machine they are nearly the same."""
        return min(self.ratios), max(self.ratios)


def run_side_by_side(
    first: Backend, second: Backend, size: tuple[int, int] | int, options: BenchOptions
) -> SideBySide:
    """Convert a test video on two backends by turns.

    Args:
        first: Open backend.
        second: Open backend to compare with.
        size: Frame size as in `DecodeOptions.size`.
        options: `rounds` is the number of turns, after one that is not counted.
    """
    with tempfile.TemporaryDirectory(prefix="toonvid-bench-") as name:
        folder = Path(name)
        video = folder / "video.mp4"
        write_test_video(video, options.source, size, options.seconds)
        # The first turn compiles both engines, and is dropped.
        turns = [
            tuple(_rate(video, folder / "target.mp4", backend) for backend in (first, second))
            for _ in range(options.rounds + 1)
        ][1:]
    return SideBySide(tuple(a for a, _ in turns), tuple(b for _, b in turns))


class OneBatchAtATime:
    """Wraps a backend; it finishes each batch before it takes the next, as live video does."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.engine, self.name = backend.engine, backend.name
        self.device, self.precision = backend.device, backend.precision
        self.reason, self.batch_size = backend.reason, backend.batch_size

    def prepare(self, shape: tuple[int, ...]) -> None:
        """See `toonvid.backends.Backend.prepare`: `stream` of the wrapped backend is not called."""

    def run(self, frames: Pixels, controls: ControlValues | None = None) -> Pixels:
        """See `toonvid.backends.Backend.run`."""
        return self._backend.run(frames, controls)

    def stream(
        self, batches: Iterable[Pixels], controls: ControlValues | None = None
    ) -> Iterator[Pixels]:
        """See `toonvid.backends.Backend.stream`."""
        for batch in batches:
            yield self._backend.run(batch, controls)

    def __enter__(self) -> OneBatchAtATime:
        self._backend.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._backend.__exit__(kind, error, trace)


def _rate(video: Path, target: Path, backend: Backend) -> float:
    return time_work(lambda: run_pipeline(video, target, backend).frames).rate
