"""Run an iterator ahead of its reader, on a thread of its own."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class _Failure:
    """An exception on its way to the reader."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


class _End:
    """The iterator is exhausted."""


class prefetch(Generic[T]):
    """Iterate over `items` on another thread, at most `depth` items ahead.

    Items arrive in order. An error in `items` is raised in the reader after the items that came
    before it. `close` stops the thread and waits for it: until then `items` may still be in use.
    """

    def __init__(
        self, items: Iterable[T], depth: int, interrupt: Callable[[], None] | None = None
    ) -> None:
        """Start the thread.

        Args:
            items: Read on the new thread only.
            depth: How many finished items may wait; at least 1.
            interrupt: Called by `close`: makes `items` end where they wait for something.
        """
        if depth < 1:
            raise ValueError(f"{depth = }")
        self.working_seconds = 0.0
        """Time spent inside `items`, what those wait for included."""
        self.waiting_seconds = 0.0
        """Time that the reader stood waiting for an item."""
        self._queue: queue.Queue[T | _Failure | _End] = queue.Queue(depth)
        self._stopping = threading.Event()
        self._interrupt = interrupt
        self._thread = threading.Thread(target=self._run, args=(items,), daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        began = time.perf_counter()
        item = self._queue.get()
        self.waiting_seconds += time.perf_counter() - began
        if isinstance(item, _End):
            self._queue.put(item)  # so that the next call ends too
            raise StopIteration
        if isinstance(item, _Failure):
            self._queue.put(_End())
            raise item.error
        return item

    def close(self) -> None:
        """Stop reading ahead and wait until `items` is no longer in use."""
        self._stopping.set()
        if self._interrupt is not None:
            self._interrupt()
        while self._thread.is_alive():
            self._drain()
            self._thread.join(timeout=0.05)

    def __enter__(self) -> prefetch[T]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self, items: Iterable[T]) -> None:
        try:
            iterator = iter(items)
            while not self._stopping.is_set():
                began = time.perf_counter()
                try:
                    item = next(iterator)
                except StopIteration:
                    break
                finally:
                    self.working_seconds += time.perf_counter() - began
                self._queue.put(item)
            end: _Failure | _End = _End()
        except BaseException as error:
            end = _Failure(error)
        self._queue.put(end)

    def _drain(self) -> None:
        try:
            while True:
                self._queue.get_nowait()
        except queue.Empty:
            pass
