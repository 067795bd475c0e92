"""Opening of video encoders, without what SVT-AV1 does beside it.

In: an encoder with its settings. Out: the same, open.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from av.video.codeccontext import VideoCodecContext

_THREADS = Path("/proc/self/task")


def open_encoder(context: VideoCodecContext) -> None:
    """Open an encoder.

    For root, as in most containers, SVT-AV1 gives its threads, and the one that opens it, a
    real-time priority: nothing else on the machine runs before they have nothing to do. It has no
    setting against that, so the priority is taken back.

    Raises:
        FFmpegError, ValueError: It does not take its settings.
    """
    os.environ.setdefault("SVT_LOG", "1")  # else SVT-AV1 prints its settings
    with _priority_of_this_thread():
        context.open()


@contextmanager
def _priority_of_this_thread() -> Iterator[None]:
    """Threads that are started in the block keep the priority of this one, as it keeps its own."""
    if not _THREADS.is_dir() or not hasattr(os, "sched_setscheduler"):  # not on Linux
        yield
        return
    this = threading.get_native_id()
    policy, parameters = os.sched_getscheduler(this), os.sched_getparam(this)
    before = _threads()
    try:
        yield
    finally:
        for thread in (this, *_threads() - before):
            with suppress(ProcessLookupError):  # it has ended meanwhile
                if os.sched_getscheduler(thread) != policy:
                    os.sched_setscheduler(thread, policy, parameters)


def _threads() -> set[int]:
    """Return the numbers of this process's threads, as the kernel counts them."""
    return {int(thread.name) for thread in _THREADS.iterdir()}
