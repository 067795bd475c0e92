"""The bar that shows how far a conversion has come."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import PurePath

from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from toonvid.pipeline import Progress

_NAME_WIDTH = 32


@contextmanager
def progress_bar(console: Console, source: str) -> Iterator[Callable[[Progress], None]]:
    """Show a bar: share of the film's time, frames a second, speed against real time, time left.

    Args:
        console: Where to draw.
        source: Whose name stands before the bar.

    Yields:
        What to call after each frame.
    """
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[figures]}", markup=False),
        TimeRemainingColumn(),
    )
    name = PurePath(source).name or source
    if len(name) > _NAME_WIDTH:
        name = name[: _NAME_WIDTH - 1] + "…"
    began = time.perf_counter()
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task(name, total=None, figures="")

        def show(progress: Progress) -> None:
            elapsed = time.perf_counter() - began
            figures = f"{progress.frames / elapsed:.1f} fps"
            if not progress.info.is_image:
                figures += f", {progress.film_seconds / elapsed:.2f}x real time"
            bar.update(
                task,
                completed=progress.film_seconds,
                total=progress.info.duration_seconds,
                figures=figures,
            )

        yield show
