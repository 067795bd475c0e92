"""A real backend that takes its time."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any

from toonvid.backends import Backend
from toonvid.video import Pixels


class SlowBackend:
    """Runs as another does, and waits: so long for a picture, so long for each pixel."""

    def __init__(self, backend: Backend, seconds: float = 0.0, per_pixel: float = 0.0) -> None:
        self.slept = 0.0
        self._backend, self._seconds, self._per_pixel = backend, seconds, per_pixel

    def run(self, frames: Pixels) -> Pixels:
        seconds = self._seconds + self._per_pixel * frames.size / 3
        time.sleep(seconds)
        self.slept += seconds
        return self._backend.run(frames)

    def stream(self, batches: Iterable[Pixels]) -> Iterator[Pixels]:
        return map(self.run, batches)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def __enter__(self) -> SlowBackend:
        return self

    def __exit__(self, *_: object) -> None:
        """The other stays open."""
