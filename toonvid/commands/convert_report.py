"""What `toonvid convert` tells its user, on standard error, so that standard output stays free."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from toonvid.commands.job_status import clock
from toonvid.errors import ToonvidError

if TYPE_CHECKING:
    from rich.console import Console

    from toonvid.backends import Backend
    from toonvid.ffmpeg.hardware import Decoding
    from toonvid.pipeline import Conversion, Progress
    from toonvid.writing.options import EncodeOptions
    from toonvid.writing.output_paths import PlannedConversion

QUIET, NORMAL, VERBOSE = -1, 0, 1
FAILED = 1
"""Exit code."""

_MEGABYTE = 10**6


class Report:
    """What the user is told: on standard error, so that standard output stays free."""

    def __init__(self, level: int, as_json: bool) -> None:
        from rich.console import Console

        self.level = level
        self.as_json = as_json
        self.done_before = 0
        self.console: Console = Console(stderr=True, soft_wrap=True, highlight=False)
        if level == VERBOSE:
            logging.basicConfig(level=logging.DEBUG, format="%(name)s: %(message)s")

    def show_choice(self, backend: Backend) -> None:
        reason = f" ({backend.reason})" if backend.reason else ""
        self._say(
            f"{backend.engine.card.title}: {backend.name} on {backend.device},"
            f" {backend.precision}{reason}",
            "dim",
        )

    def show_decoding(self, decoding: Decoding) -> None:
        """What decodes, where there was a choice; films that need another get a note."""
        if decoding.reason:
            self._say(f"Decoding: {decoding.name} ({decoding.reason})", "dim")

    @contextmanager
    def progress(
        self, job: PlannedConversion, encoding: EncodeOptions
    ) -> Iterator[Callable[[Progress], None]]:
        """A bar while a source is converted, where anybody sees it; and an eye on signals."""
        from toonvid.commands.gentle_stop import gentle_stop
        from toonvid.commands.progress_bar import progress_bar
        from toonvid.resume.eligibility import why_in_one_go

        watchers: list[Callable[[Progress], None]] = [self._warn_of_full_disk]
        reason = why_in_one_go(job.source, job.target, encoding)
        with ExitStack() as stack:
            if self.level > QUIET and self.console.is_terminal:
                watchers.append(stack.enter_context(progress_bar(self.console, job.source)))
            if reason is None:
                watchers.append(stack.enter_context(gentle_stop(self._say)))
            else:
                watchers.append(self._warning(f"this conversion cannot be resumed: {reason}"))
            self._has_warned = False

            def show(progress: Progress) -> None:
                for watch in watchers:
                    watch(progress)

            yield show

    def _warning(self, line: str) -> Callable[[Progress], None]:
        """What says a line with the first progress of a film, and nothing after that."""
        said: list[str] = []

        def say(progress: Progress) -> None:
            if not said and not progress.info.is_image:
                said.append(line)
                self._say(f"note: {line}", "yellow")

        return say

    def _warn_of_full_disk(self, progress: Progress) -> None:
        if progress.missing_bytes and not self._has_warned:
            self._has_warned = True
            missing = progress.missing_bytes / _MEGABYTE
            self._say(f"note: the disk lacks about {missing:.0f} MB for the whole film", "yellow")

    def show_unfinished(self, job: PlannedConversion) -> None:
        """Say how to go on, if anything of a stopped conversion is kept."""
        from toonvid.resume.job_state import read_job_state

        state = None if job.target == "-" else read_job_state(Path(job.target))
        if state is not None and state.segments and state.process_id is None:
            self.console.print(
                f"{clock(state.finished_seconds)} of the film are finished and kept. Go on with\n"
                f"  {state.job.command}",
                style="yellow",
                markup=False,
            )

    def show_result(self, done: Conversion) -> None:
        if self.as_json:
            typer.echo(json.dumps(asdict(done) | {"slowest_stage": done.slowest_stage}))
        for notice in done.notices:
            self._say(f"note: {notice}", "yellow")
        if done.damage:
            self.console.print(
                f"{done.source} is damaged: {done.damage}. All that could be read was written.",
                style="yellow",
                markup=False,
            )
        frames = done.frames - done.resumed_frames
        earlier = f" ({done.resumed_frames} more were finished before)" * bool(done.resumed_frames)
        speed = frames / done.seconds
        self._say(
            f"Wrote {done.target}: {frames} frames{earlier} in {done.seconds:.1f} s"
            f" ({speed:.1f} a second; {done.slowest_stage} was the slowest)"
        )

    def show_done(self, job: PlannedConversion) -> None:
        """Note that an earlier run has written the target."""
        self.done_before += 1
        if self.as_json:
            told = {"source": job.source, "target": job.target, "done_before": True}
            typer.echo(json.dumps(told))
        if self.level == VERBOSE:
            self._say(f"{job.target} was finished before", "dim")

    def show_total(self, codes: list[int]) -> None:
        if self.done_before:
            self._say(f"{self.done_before} of {len(codes)} were finished before, and are left")
        failed = sum(code == FAILED for code in codes)
        if len(codes) > 1 and failed:
            self.console.print(f"{failed} of {len(codes)} sources were not converted", style="red")

    def show_failure(self, job: PlannedConversion, error: ToonvidError) -> None:
        if self.as_json:
            typer.echo(json.dumps({"source": job.source, "error": str(error)}))
        self.console.print(f"toonvid: {error}", style="red", markup=False)

    def _say(self, line: str, style: str | None = None) -> None:
        if self.level > QUIET:
            self.console.print(line, style=style, markup=False)
