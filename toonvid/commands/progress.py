"""Progress bars: a context manager for each long task, which yields the task's progress callback.

Conversions and preparations show a bar only on a terminal; a bar is removed when its task ends.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bar

from toonvid.commands.messages import count, say, shorten
from toonvid.commands.trainer_package import trainer_log
from toonvid.errors import without_secrets

if TYPE_CHECKING:
    from toonvid.pipeline import Progress as ConversionProgress
    from trainer.evaluation.evaluate import EvaluationProgress
    from trainer.prepare.prepare import PrepareProgress
    from trainer.training.train import TrainingProgress

# Width of the training bar without its figures, in characters, for up to a million steps.
_TRAINING_BAR_WIDTH = 51
# Where there is no terminal: a line for each of so many parts, and after so many seconds.
_LINES_IN_ALL, _LINE_SECONDS = 10, 30.0
_NOT_SHOWN = ("learning_rate", "images_per_second", "gpu_memory_mb", "memory_mb")


@contextmanager
def conversion_bar(console: Console, source: str) -> Iterator[Callable[[ConversionProgress], None]]:
    """Show the share of the video's time, frames per second, speed over real time, time left.

    Args:
        console: Where to draw.
        source: The source, whose file name stands before the bar.

    Yields:
        The callback to call after each frame.
    """
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[figures]}", markup=False),
        TimeRemainingColumn(),
    )
    started = time.perf_counter()
    shown = without_secrets(source)
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task(shorten(PurePath(shown).name or shown), total=None, figures="")

        def show(progress: ConversionProgress) -> None:
            elapsed = time.perf_counter() - started
            figures = f"{progress.frames / elapsed:.1f} fps"
            if not progress.info.is_image:
                figures += f", {progress.video_seconds / elapsed:.2f}x real time"
            bar.update(
                task,
                completed=progress.video_seconds,
                total=progress.info.duration_seconds,
                figures=figures,
            )

        yield show


def progress_lines(
    say: Callable[[str], None], name: str
) -> Callable[[float, float | None, str], None]:
    """Make a callback that prints a line now and then, for where there is no terminal.

    Args:
        say: Prints a line.
        name: What the line begins with.

    Returns:
        Called as often as one likes, with how much is done, of how much (None if that is not
        known), and what else the line says. It prints a line every tenth and every 30 seconds.
    """
    said_at, said_share = time.monotonic(), 0.0

    def show(done: float, total: float | None, rest: str) -> None:
        nonlocal said_at, said_share
        now, share = time.monotonic(), min(1.0, done / total) if total else 0.0
        is_due = share < 1 and _steps(share) > _steps(said_share)
        if is_due or now - said_at >= _LINE_SECONDS:
            said_at, said_share = now, share
            say(f"{name}: {share:.0%}, {rest}" if total else f"{name}: {rest}")

    return show


def _steps(share: float) -> int:
    return int(share * _LINES_IN_ALL + 1e-9)  # 0.3 * 10 is a little less than 3


def conversion_lines(
    say: Callable[[str], None], source: str
) -> Callable[[ConversionProgress], None]:
    """Make a conversion's callback that prints a line now and then."""
    shown = without_secrets(source)
    lines = progress_lines(say, PurePath(shown).name or shown)
    started = time.perf_counter()

    def show(progress: ConversionProgress) -> None:
        rate = progress.frames / max(time.perf_counter() - started, 1e-9)
        rest = f"{count(progress.frames, 'frame')}, {rate:.1f} per second"
        lines(progress.video_seconds, progress.info.duration_seconds, rest)

    return show


@contextmanager
def preparation_bar(console: Console) -> Iterator[Callable[[PrepareProgress], None] | None]:
    """Show the share of the sources that are done, and print the trainer's warnings.

    Yields:
        The callback to call after each frame; None where there is no terminal.
    """
    with trainer_log(console, logging.WARNING):
        if not console.is_terminal:
            yield None
            return
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[figures]}", markup=False),
            TimeRemainingColumn(),
        )
        with Bar(*columns, console=console, transient=True, disable=console.quiet) as bar:
            task = bar.add_task("", total=None, figures="")

            def show(progress: PrepareProgress) -> None:
                sources = count(progress.total, "source")
                bar.update(
                    task,
                    description=shorten(Path(progress.source).name),
                    completed=progress.done + progress.share,
                    total=progress.total,
                    figures=f"{progress.done}/{sources}, {count(progress.crops, 'image')}",
                )

            yield show


@contextmanager
def task_bar(console: Console, name: str, total: float) -> Iterator[Callable[[float], None]]:
    """Show a bar, or lines where there is no terminal, for a task of a known size.

    Yields:
        The callback to call with how much is done.
    """
    if not console.is_terminal:
        lines = progress_lines(lambda line: say(console, line), name)
        yield lambda done: lines(done, total, f"{done:.1f} of {total:g}")
        return
    with Bar(console=console, transient=True) as bar:
        task = bar.add_task(name, total=total)
        yield lambda done: bar.update(task, completed=done)


@contextmanager
def training_bar(console: Console, steps: int) -> Iterator[Callable[[TrainingProgress], None]]:
    """Show phase, step, time left, speed, memory and losses, and print the trainer's log.

    Args:
        console: Where to draw.
        steps: Number of training steps of both phases.

    Yields:
        The callback to call after each step that is logged.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=10),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
        TextColumn("{task.fields[figures]}", markup=False),
    )
    if not console.is_terminal:
        lines = progress_lines(lambda line: say(console, line), "Training")

        def show_line(progress: TrainingProgress) -> None:
            rest = f"step {progress.step:,} of {steps:,}, {memory_and_losses(progress.figures)}"
            lines(progress.step, steps, rest)

        with trainer_log(console):
            yield show_line
        return
    with trainer_log(console), Bar(*columns, console=console) as bar:
        task = bar.add_task("Training", total=steps, figures="")

        def show(progress: TrainingProgress) -> None:
            figures = f"{progress.images_per_second:.1f} images/s"
            bar.update(
                task,
                completed=progress.step,
                figures=shorten(
                    f"{figures}  {memory_and_losses(progress.figures)}",
                    width=max(0, console.width - _TRAINING_BAR_WIDTH),
                ),
                description=progress.phase.capitalize(),
            )

        yield show


@contextmanager
def evaluation_bars(console: Console) -> Iterator[Callable[[EvaluationProgress], None]]:
    """Show a bar for each stage: a video, the cartoons, the photos. Print the trainer's warnings.

    Yields:
        The callback to call as a stage goes on.
    """
    bar = Bar(console=console, transient=True, disable=not console.is_terminal)
    with trainer_log(console, logging.WARNING), bar as bars:
        tasks: dict[str, TaskID] = {}

        def show(progress: EvaluationProgress) -> None:
            if progress.stage not in tasks:
                tasks[progress.stage] = bars.add_task(progress.stage)
            bars.update(tasks[progress.stage], completed=progress.done, total=progress.total)

        yield show


def memory_and_losses(figures: dict[str, float]) -> str:
    """Format the figures of a training step in one line: memory in MB, then the losses."""
    memory = figures.get("gpu_memory_mb", figures.get("memory_mb"))
    losses = [
        f"{name} {value:.3f}"
        for name, value in figures.items()
        if name not in _NOT_SHOWN and not name.startswith("levels_")
    ]
    return "  ".join([f"{memory:.0f} MB" if memory else "", *losses]).strip()
