"""Decoded images in memory, so that a GPU need not wait for JPEG files.

In: keys, and a function that reads what is missing. Out: the images. Which of them are in memory
changes nothing but the speed.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable

import psutil

from toonvid.video import Pixels

MEMORY_SHARE = 0.25
"""Largest share of the memory that was free at the start, for all processes of a run together."""
MEMORY_LIMIT = 6 * 10**9
"""Largest number of bytes, on a machine with much memory."""


class TileMemory:
    """The images that were used last, by key. Threads may share it."""

    def __init__(self, limit: int | None = None) -> None:
        """Start empty.

        Args:
            limit: Number of bytes; None for a share of the free memory. Processes that `torchrun`
                started on this machine divide it among them.
        """
        free = int(MEMORY_SHARE * psutil.virtual_memory().available)
        processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        self._limit = min(MEMORY_LIMIT, free) // processes if limit is None else limit
        self._size = 0
        self._images: OrderedDict[Hashable, list[Pixels]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, read: Callable[[], list[Pixels]]) -> list[Pixels]:
        """Return the images of a key, which must not be changed; read them if they are missing."""
        with self._lock:
            if key in self._images:
                self._images.move_to_end(key)
                return self._images[key]
        images = read()  # outside of the lock, which would make the threads wait for one another
        with self._lock:
            if key not in self._images:
                self._images[key] = images
                self._size += sum(image.nbytes for image in images)
            while self._size > self._limit and self._images:
                _, dropped = self._images.popitem(last=False)
                self._size -= sum(image.nbytes for image in dropped)
        return images
