"""Two backends on one film, by turns: A B A B."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from types import TracebackType

from toonvid.backends import Backend
from toonvid.bench.measure import BenchOptions, run_pipeline
from toonvid.bench.test_video import write_test_video
from toonvid.bench.work_time import time_work
from toonvid.video import Pixels


@dataclass(frozen=True)
class SideBySide:
    """How two pipelines went, turn by turn, in frames a second."""

    first: tuple[float, ...]
    second: tuple[float, ...]
    """In the same order as `first`."""

    @property
    def ratios(self) -> tuple[float, ...]:
        """The first one's rate over the second one's, turn by turn."""
        return tuple(a / b for a, b in zip(self.first, self.second, strict=True))

    @property
    def ratio(self) -> float:
        """The median of `ratios`."""
        return median(self.ratios)

    @property
    def spread(self) -> tuple[float, float]:
        """The lowest and the highest of `ratios`: a machine at rest gives nearly the same."""
        return min(self.ratios), max(self.ratios)


def run_side_by_side(
    first: Backend, second: Backend, size: tuple[int, int] | int, options: BenchOptions
) -> SideBySide:
    """Let two backends convert one film by turns, `options.rounds` times, after one not counted."""
    with tempfile.TemporaryDirectory(prefix="toonvid-bench-") as name:
        folder = Path(name)
        film = folder / "film.mp4"
        write_test_video(film, options.source, size, options.seconds)
        turns = [
            tuple(_rate(film, folder / "target.mp4", backend) for backend in (first, second))
            for _ in range(options.rounds + 1)
        ][1:]
    return SideBySide(tuple(a for a, _ in turns), tuple(b for _, b in turns))


class OneBatchAtATime:
    """A backend that finishes each batch before it takes the next: how a camera is served."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.engine, self.name = backend.engine, backend.name
        self.device, self.precision = backend.device, backend.precision
        self.reason, self.batch_size = backend.reason, backend.batch_size

    def run(self, frames: Pixels) -> Pixels:
        """See `toonvid.backends.Backend.run`."""
        return self._backend.run(frames)

    def stream(self, batches: Iterable[Pixels]) -> Iterator[Pixels]:
        """See `toonvid.backends.Backend.stream`."""
        yield from map(self._backend.run, batches)

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


def _rate(film: Path, target: Path, backend: Backend) -> float:
    return time_work(lambda: run_pipeline(film, target, backend).frames).rate
