"""What the page's server says of requests that failed: one line a minute for each kind.

In: log records of aiohttp and asyncio, with tracebacks. Out: lines for the user. Whoever reaches
the port can send any number of odd requests; nothing of them is repeated.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

_QUIET_SECONDS = 60.0  # after a line, in which no other of its kind is given


class RequestLog(logging.Handler):
    """Turns failures of the server into lines, at most one a minute for each kind of failure."""

    def __init__(self, on_notice: Callable[[str], None]) -> None:
        """Prepare.

        Args:
            on_notice: Called with one line, on the server's thread.
        """
        super().__init__(logging.WARNING)
        self._on_notice = on_notice
        self._told_at: dict[str, float] = {}  # kind -> `time.monotonic()`
        # One of its own, that no other part of the process finds by name or configures.
        self.logger = logging.Logger("page")
        self.logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Report a log record of aiohttp."""
        error = record.exc_info[1] if record.exc_info else None
        self.report(error, record.levelname.lower())

    def report(self, error: BaseException | None, otherwise: str = "error") -> None:
        """Report a failure.

        Args:
            error: Its class is the kind; the message, in which a stranger's words may be, is not
                repeated. None where only the kind is known.
            otherwise: The kind of a failure without an error.
        """
        kind = otherwise if error is None else type(error).__name__
        now = time.monotonic()
        if now - self._told_at.get(kind, -_QUIET_SECONDS) >= _QUIET_SECONDS:
            self._told_at[kind] = now
            self._on_notice(f"page: a request was not answered as usual ({kind})")

    def report_of_loop(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Report what asyncio would log; for `asyncio.loop.set_exception_handler`."""
        self.report(context.get("exception"))
