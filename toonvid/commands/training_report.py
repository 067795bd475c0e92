"""What `toonvid train` prints of a training, while it goes on and after it. Nothing is trained."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from trainer.training.train import Progress as TrainProgress

_WIDTH_OF_THE_REST = 51  # of the bar beside its figures, up to a million steps


@contextmanager
def messages(console: Console) -> Iterator[None]:
    """Print what the trainer has to say meanwhile."""
    from rich.logging import RichHandler

    handler = RichHandler(console=console, show_time=False, show_path=False)
    logger = logging.getLogger("trainer")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


@contextmanager
def progress_bar(console: Console, steps: int) -> Iterator[Callable[[TrainProgress], None]]:
    """Show how far the training is, and what the trainer has to say meanwhile."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=10),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
        TextColumn("{task.fields[figures]}", markup=False),
    )
    with messages(console), Progress(*columns, console=console) as bar:
        task = bar.add_task("Training", total=steps, figures="")

        def show(progress: TrainProgress) -> None:
            figures = f"{progress.pictures_per_second:.1f} pictures/s  {in_short(progress.figures)}"
            room = max(0, console.width - _WIDTH_OF_THE_REST)
            bar.update(
                task,
                completed=progress.step,
                figures=figures if len(figures) <= room else figures[: room - 1] + "…",
                description=progress.phase.capitalize(),
            )

        yield show


def in_short(figures: dict[str, float]) -> str:
    """Memory and losses for a line."""
    memory = figures.get("gpu_memory_mb", figures.get("memory_mb"))
    other = ("learning_rate", "pictures_per_second", "gpu_memory_mb", "memory_mb")
    losses = [
        f"{name} {value:.3f}"
        for name, value in figures.items()
        if name not in other and not name.startswith("levels_")
    ]
    return "  ".join([f"{memory:.0f} MB" if memory else "", *losses]).strip()


def tell_skipped(console: Console, progress: TrainProgress) -> None:
    """How many pictures were left out; each was named when it was met."""
    if progress.skipped:
        names = ", ".join(path.name for path in progress.skipped)
        say(console, f"Skipped {len(progress.skipped)} of the pictures: {names}")


def say(console: Console, text: str) -> None:
    """Print a line as it is, in one piece."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)
