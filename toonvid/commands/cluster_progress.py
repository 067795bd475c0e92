"""Progress of `toonvid convert --cluster`: a run's status in, bars or lines out.

On a terminal there is a bar for the run with the rate of each node, and a line for each video under
way; elsewhere a line every half minute.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import PurePath
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, TaskID, TaskProgressColumn, TextColumn
from rich.progress import Progress as Bar

from toonvid.commands.messages import count, format_duration, shorten

if TYPE_CHECKING:
    from toonvid.cluster.status import ClusterStatus, VideoStatus

_LINE_SECONDS = 30.0


@contextmanager
def cluster_bars(console: Console) -> Iterator[Callable[[ClusterStatus], None]]:
    """Show a bar for the run and one for each video under way; removed on exit.

    Yields:
        The callback to call with each status.
    """
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[figures]}", markup=False),
    )
    with Bar(*columns, console=console, transient=True) as bar:
        run = bar.add_task("", total=None, figures="")
        tasks: dict[str, TaskID] = {}

        def show(status: ClusterStatus) -> None:
            bar.update(
                run,
                description=f"{status.done} of {count(status.sources, 'source')}",
                total=status.sources,
                completed=status.done + sum(map(_share, status.videos)),
                figures=rates(status),
            )
            under_way = {video.source: video for video in status.videos}
            for source in tasks.keys() - under_way.keys():
                bar.remove_task(tasks.pop(source))
            for source, video in under_way.items():
                if source not in tasks:
                    tasks[source] = bar.add_task(shorten(PurePath(source).name), figures="")
                bar.update(
                    tasks[source],
                    total=video.duration_seconds,
                    completed=video.finished_seconds,
                    figures=count(video.frames, "frame"),
                )

        yield show


def cluster_lines(say: Callable[[str], None]) -> Callable[[ClusterStatus], None]:
    """Return a callback that prints a line every half minute."""
    last = time.monotonic()

    def show(status: ClusterStatus) -> None:
        nonlocal last
        if time.monotonic() - last < _LINE_SECONDS:
            return
        last = time.monotonic()
        say(
            f"{status.done} of {count(status.sources, 'source')} done,"
            f" {format_duration(status.kept_seconds)} of video; {rates(status)}"
        )

    return show


def rates(status: ClusterStatus) -> str:
    """Return the frames per second of all nodes together, and of each."""
    seconds = max(status.seconds, 1e-3)
    nodes = [f"{name} {frames / seconds:.1f}" for name, frames in status.node_frames.items()]
    return f"{status.frames / seconds:.1f} fps ({', '.join(nodes) or 'no node'})"


def _share(video: VideoStatus) -> float:
    """Return how much of a video is finished, 0..1; 0 where its length is not known."""
    if not video.duration_seconds:
        return 0.0
    return min(1.0, video.finished_seconds / video.duration_seconds)
