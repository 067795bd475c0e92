"""What a first signal says and does while a command runs."""

from __future__ import annotations

import os
import signal

from toonvid.commands.interrupt import record_signals


def test_a_signal_in_training_is_answered_at_once_and_recorded() -> None:
    """The training loop ends its step, which may take a while."""
    lines: list[str] = []
    before = signal.getsignal(signal.SIGTERM)
    with record_signals(lines.append) as received:
        os.kill(os.getpid(), signal.SIGTERM)
        assert received == [signal.SIGTERM]
        (line,) = lines
        assert line.startswith("Finishing the current step and saving the training state")
        assert signal.getsignal(signal.SIGTERM) == before  # a second one ends at once
    assert signal.getsignal(signal.SIGTERM) == before
