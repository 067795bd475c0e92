"""Read-ahead: an iterator runs on a thread of its own and fills a bounded queue.

In: any iterable. Out: the same items in the same order. Decoding, stylizing and encoding overlap
because each stage reads its input through one `prefetch`.
"""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")

_PATIENCE_SECONDS = 1.0  # how long `close` waits for a read that cannot be ended


class _Failure:
    """An exception to be raised in the consuming thread."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


class _End:
    """Queue item that marks the end of the iterator."""


class prefetch(Generic[T]):
    """Iterates over `items` on another thread, at most `depth` items ahead of the consumer.

    Items arrive in order. An exception in `items` is raised in the consumer after the items that
    precede it. `close` stops the thread and waits for it; until then `items` may still be in use,
    and behind that too where a read of `items` cannot be ended.
    """

    def __init__(
        self, items: Iterable[T], depth: int, interrupt: Callable[[], bool] | None = None
    ) -> None:
        """Start the thread.

        Args:
            items: Iterated on the new thread only.
            depth: Maximum number of finished items in the queue. With 0, an item is made only when
                the consumer asks for it.
            interrupt: Called by `close`; ends a blocking wait inside `items`, and returns whether
                it can: if not, `close` waits for a second only. None when `items` never blocks for
                long.
        """
        if depth < 0:
            raise ValueError(f"{depth = }")
        self.working_seconds = 0.0
        """Seconds spent inside `items`, including the time for which they block."""
        self.waiting_seconds = 0.0
        """Seconds for which the consumer has waited for an item."""
        self._queue: queue.Queue[T | _Failure | _End] = queue.Queue(max(depth, 1))
        self._is_on_demand = depth == 0
        self._demand = threading.Semaphore(0)
        self._stopping = threading.Event()
        self._unused = threading.Event()  # `items` has given all, or failed
        self._ended = threading.Event()
        self._is_closed = False
        self._interrupt = interrupt
        self._thread = threading.Thread(target=self._run, args=(items,), daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        began = time.perf_counter()
        self._demand.release()
        item = self._queue.get()
        self.waiting_seconds += time.perf_counter() - began
        if isinstance(item, _End):
            self._queue.put(item)  # an exhausted iterator stays exhausted
            raise StopIteration
        if isinstance(item, _Failure):
            self._queue.put(_End())
            raise item.error
        return item

    def stop(self) -> bool:
        """Do as `close`. Returns True: whoever waits for an item on another thread waits no more.

        It is the `interrupt` of a second `prefetch` whose items are made of these.
        """
        self.close()
        return True

    def close(self) -> None:
        """Stop the thread and wait until `items` is no longer in use."""
        if self._is_closed:
            return
        self._stopping.set()
        self._demand.release()
        can_end = True
        if self._interrupt is not None and not self._unused.is_set():
            can_end = self._interrupt()
        given_up = math.inf if can_end else time.monotonic() + _PATIENCE_SECONDS
        # The thread may be blocked on a full queue, so the queue is emptied until the thread ends.
        # A signal during `join` makes Python 3.11 take a thread for ended that is not.
        while not self._has_ended() and time.monotonic() < given_up:
            self._drain()
            if self._ended.wait(0.05):
                self._thread.join(timeout=0.05)
        self._is_closed = True
        with suppress(queue.Full):
            self._queue.put_nowait(_End())  # for a consumer that waits on a thread of its own

    def __enter__(self) -> prefetch[T]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self, items: Iterable[T]) -> None:
        try:
            iterator = iter(items)
            while not self._stopping.is_set():
                if self._is_on_demand:
                    self._demand.acquire()
                began = time.perf_counter()
                try:
                    item = next(iterator)
                except StopIteration:
                    break
                finally:
                    self.working_seconds += time.perf_counter() - began
                self._queue.put(item)
                del item  # or it would stay in memory until the next one is made
            end: _Failure | _End = _End()
        except BaseException as error:  # also KeyboardInterrupt: the consumer has to raise it
            end = _Failure(error)
        self._unused.set()
        self._queue.put(end)
        self._ended.set()

    def _has_ended(self) -> bool:
        return self._ended.is_set() and not self._thread.is_alive()

    def _drain(self) -> None:
        try:
            while True:
                self._queue.get_nowait()
        except queue.Empty:
            pass
