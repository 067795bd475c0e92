"""A backend that is slower than the real one it wraps."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any

from toonvid.backends import Backend, ControlValues
from toonvid.video import Pixels


class SlowBackend:
    """Wraps a backend and sleeps before each `run`.

    Args:
        backend: Backend to wrap. It stays open on exit.
        seconds: Delay per call, in seconds.
        per_pixel: Further delay per pixel, in seconds.
    """

    def __init__(self, backend: Backend, seconds: float = 0.0, per_pixel: float = 0.0) -> None:
        self.slept = 0.0
        self._backend, self._seconds, self._per_pixel = backend, seconds, per_pixel

    def run(self, frames: Pixels, controls: ControlValues | None = None) -> Pixels:
        seconds = self._seconds + self._per_pixel * frames.size / 3
        time.sleep(seconds)
        self.slept += seconds
        return self._backend.run(frames, controls)

    def stream(
        self, batches: Iterable[Pixels], controls: ControlValues | None = None
    ) -> Iterator[Pixels]:
        return (self.run(batch, controls) for batch in batches)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def __enter__(self) -> SlowBackend:
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the wrapped backend open."""
