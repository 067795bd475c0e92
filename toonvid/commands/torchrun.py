"""What commands do where `torchrun` started several processes: the first one alone speaks.

`train` runs in each of them; `trainer.training.processes` says what they exchange.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer
from rich.console import Console

from toonvid.commands.interrupt import Ended
from toonvid.commands.messages import SafeConsole, say, table_console
from toonvid.commands.trainer_package import trainer_log
from toonvid.errors import ToonvidError

if TYPE_CHECKING:
    from trainer.device import DeviceName
    from trainer.training.processes import Processes


@contextmanager
def run_processes(device: DeviceName) -> Iterator[Processes]:
    """Join the processes of a run; of their errors and signals, the first one is printed.

    Args:
        device: Device that was asked for.

    Yields:
        This process. An error of it is raised if no other process failed before. Otherwise the
        process ends with the error's exit code, and without a line: it failed for want of the
        other one.
    """
    from trainer.training.processes import choose_gpu, join_processes

    with join_processes(device) as processes:
        if processes.share.count == 1:
            yield processes
            return
        try:
            choose_gpu(device)
            yield processes
        except (ToonvidError, typer.BadParameter, Ended) as error:
            # This process ends already; torchrun sends SIGTERM to those that are left.
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
            if processes.is_first_to_fail():
                raise
            code = 128 + error.number if isinstance(error, Ended) else error.exit_code
            raise typer.Exit(code) from error


@contextmanager
def speaking_console(processes: Processes) -> Iterator[Console]:
    """Open the console of a process: silent in all but the first.

    The others print one thing themselves: which images they could not use, and why.
    """
    if processes.is_first:
        yield table_console()
        return
    with trainer_log(table_console(), logging.WARNING, of="trainer.data"):
        yield SafeConsole(quiet=True)


def signal_teller(console: Console, processes: Processes) -> Callable[[str], None]:
    """Make a function that prints a line when a signal comes; it prints nothing under `torchrun`.

    There SIGTERM also comes where another process failed, and no step will be finished then.
    """
    alone = processes.share.count == 1
    return lambda line: say(console, line) if alone else None
