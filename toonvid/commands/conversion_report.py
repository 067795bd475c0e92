"""Messages of `toonvid convert`: planned conversions, progress, results and errors in, lines out.

Messages go to standard error; JSON and `--status` go to standard output. Nothing is converted here.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import (
    AbstractContextManager,
    ExitStack,
    contextmanager,
    nullcontext,
    suppress,
)
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from toonvid.commands.arguments import format_size
from toonvid.commands.cluster_progress import cluster_bars, cluster_lines
from toonvid.commands.interrupt import finish_segment_first
from toonvid.commands.messages import (
    PrintableFormatter,
    count,
    describe_backend,
    describe_license,
    error_console,
    format_duration,
    output_console,
    print_json,
    say,
)
from toonvid.commands.progress import conversion_bar, conversion_lines
from toonvid.errors import TargetError, ToonvidError

if TYPE_CHECKING:
    from toonvid.backends import Backend
    from toonvid.bench.forecast import Forecast
    from toonvid.cluster.status import ClusterStatus
    from toonvid.ffmpeg.hardware import Decoding
    from toonvid.pipeline import Conversion, ConvertOptions, Progress
    from toonvid.writing.output_paths import PlannedConversion

QUIET, NORMAL, VERBOSE = -1, 0, 1  # levels of messages

# Exit codes.
FAILED = 1
DAMAGED_SOURCE = 4

_MEGABYTE = 10**6
_FORECAST_AFTER_SECONDS = 2.0
_LONG_SECONDS = 30.0  # a conversion that takes less is over before its forecast is read


class ConversionReport:
    """Messages of one run of `toonvid convert`, over all its sources."""

    def __init__(self, level: int, as_json: bool) -> None:
        """Open standard error.

        Args:
            level: QUIET, NORMAL or VERBOSE.
            as_json: Whether each result is also printed as a line of JSON on standard output.
        """
        self.level = level
        self.as_json = as_json
        self._finished_before = 0
        self._begun: tuple[str, int] | None = None  # target, and frames of it that were encoded
        self._console = error_console()
        if level == VERBOSE:
            handler = logging.StreamHandler()
            handler.setFormatter(PrintableFormatter("%(name)s: %(message)s"))
            logging.basicConfig(level=logging.DEBUG, handlers=[handler])

    def show_backend(self, backend: Backend) -> None:
        """Print what runs the engine; with -v also the license of the style."""
        self._say(describe_backend(backend), "dim")
        if self.level == VERBOSE:
            self._say(describe_license(backend.engine), "dim")

    def show_decoding(self, decoding: Decoding) -> None:
        """Print the decoder, where there was a choice. A source that needs another gets a note."""
        if decoding.reason:
            self._say(f"Decoding: {decoding.name} ({decoding.reason})", "dim")

    @contextmanager
    def progress(
        self, job: PlannedConversion, options: ConvertOptions
    ) -> Iterator[Callable[[Progress], None]]:
        """Show one conversion's progress, and handle signals while it runs.

        Yields:
            The callback to call after each frame.
        """
        from toonvid.resume.eligibility import why_in_one_go

        watchers = [
            self.full_disk_warning(),
            self._forecast_note(job),
            self._last_frames(job),
        ]
        if options.decoding.size is not None and not options.decoding.upscale:
            watchers.append(self._small_source_note(options.decoding.size))
        reason = why_in_one_go(job.source, job.target, options.encoding)
        with ExitStack() as stack:
            if self.level > QUIET and self._console.is_terminal:
                watchers.append(stack.enter_context(conversion_bar(self._console, job.source)))
            elif self.level > QUIET:
                watchers.append(conversion_lines(self._say, job.source))
            if reason is None:
                watchers.append(stack.enter_context(finish_segment_first(self._say)))
            else:
                watchers.append(self._video_note(f"this conversion cannot be resumed: {reason}"))

            def show(progress: Progress) -> None:
                for watch in watchers:
                    watch(progress)

            yield show

    def _small_source_note(self, size: tuple[int, int] | int) -> Callable[[Progress], None]:
        """Make a callback that notes once that a source is smaller than the size asked for."""
        is_known = False

        def watch(progress: Progress) -> None:
            nonlocal is_known
            if is_known:
                return
            is_known = True
            width, height = progress.info.width, progress.info.height
            missing = (
                min(size[0] - width, size[1] - height)
                if isinstance(size, tuple)
                else size - min(width, height)
            )
            if missing > 1:  # frames that were fitted may lack a pixel, because sides are even
                self._say(
                    f"note: {width}x{height} is smaller than --size {format_size(size)}, and stays"
                    " so; --upscale enlarges it",
                    "yellow",
                )

        return watch

    def _last_frames(self, job: PlannedConversion) -> Callable[[Progress], None]:
        """Make a callback that remembers how far a conversion has come, in case it is stopped."""
        self._begun = None

        def watch(progress: Progress) -> None:
            self._begun = (job.target, progress.frames)

        return watch

    def show_position(self, number: int, total: int, job: PlannedConversion) -> None:
        """Print which of several sources comes next."""
        if total > 1:
            self._say(f"{number} of {total}: {job.source}", "dim")

    def _video_note(self, line: str) -> Callable[[Progress], None]:
        """Make a callback that prints a note once, when the first frame of a video is finished.

        Not earlier: whether the source is a video or an image is only known then.
        """
        is_said = False

        def watch(progress: Progress) -> None:
            nonlocal is_said
            if not is_said and not progress.info.is_image:
                is_said = True
                self._say(f"note: {line}", "yellow")

        return watch

    def full_disk_warning(self) -> Callable[[Progress], None]:
        """Make a callback that warns once of a disk that is too small for the target."""
        is_said = False

        def watch(progress: Progress) -> None:
            nonlocal is_said
            if progress.missing_bytes and not is_said:
                is_said = True
                missing = progress.missing_bytes / _MEGABYTE
                self._say(
                    f"note: the disk lacks about {missing:.0f} MB for the whole video", "yellow"
                )

        return watch

    def _forecast_note(self, job: PlannedConversion) -> Callable[[Progress], None]:
        """Make a callback that says once how long a long conversion will take."""
        from toonvid.bench.forecast import forecast_progress

        began: float | None = None
        first_frame = 0
        is_said = False

        def watch(progress: Progress) -> None:
            nonlocal began, first_frame, is_said
            now = time.perf_counter()
            if began is None:
                began, first_frame = now, progress.frames
            if is_said or progress.info.is_image or now - began < _FORECAST_AFTER_SECONDS:
                return
            expected = forecast_progress(progress, progress.frames - first_frame, now - began)
            if expected is None:
                return
            is_said = True
            remaining = (expected.frames - progress.frames) / expected.rate
            if remaining >= _LONG_SECONDS:
                self._say(f"{job.source}: {describe_forecast(expected, remaining)}", "dim")

        return watch

    def show_forecast(self, job: PlannedConversion, expected: Forecast) -> None:
        """Print how long a conversion would take, and how large its target would be."""
        if self.as_json:
            print_json(
                {
                    "source": job.source,
                    "target": job.target,
                    "frames": expected.frames,
                    "frames_per_second": expected.rate,
                    "seconds": expected.seconds,
                    "target_bytes": expected.target_bytes,
                }
            )
            return
        line = describe_forecast(expected, expected.seconds)
        say(output_console(), f"{job.source} -> {job.target}: {line}")

    def show_unfinished(self, job: PlannedConversion) -> None:
        """Print how to resume a stopped conversion, or that nothing of it is kept."""
        from toonvid.resume.job_state import read_job_state

        state = None
        if job.target != "-":
            with suppress(TargetError):  # the error that ended the conversion says more
                state = read_job_state(Path(job.target))
        if state is not None and state.segments and state.process_id is None:
            say(
                self._console,
                f"{format_duration(state.finished_seconds)} of the video are finished and kept."
                f" Resume with\n  {state.job.command}",
                "yellow",
            )
        elif self._begun is not None and self._begun[0] == job.target and self._begun[1]:
            frames = count(self._begun[1], "frame")
            self._say(f"No segment was finished: the work on {frames} is lost", "yellow")

    def show_result(self, done: Conversion, on_cluster: bool = False) -> None:
        """Print what a conversion wrote, its notices, damage of its source, and what is missing.

        Args:
            done: The conversion.
            on_cluster: Whether it shared its machines with others, so that its time says little.
        """
        from toonvid.pipeline import CHANGED
        from toonvid.reading.packets import BEGUN_LATE

        if self.as_json:
            values = asdict(done) | {"slowest_stage": done.slowest_stage}
            values["film_seconds"] = values.pop("video_seconds")  # the key of toonvid 0.1
            print_json(values)
        for notice in done.notices:
            self._say(f"note: {notice}", "yellow")
        if done.damage:
            is_all = done.left_out is None and not any(
                lost in done.damage for lost in (CHANGED, BEGUN_LATE)
            )
            say(
                self._console,
                f"{done.source} is damaged: {done.damage}."
                + " All that could be read was written." * is_all,
                "yellow",
            )
        if done.left_out:
            say(self._console, f"{done.target} lacks {done.left_out}.", "yellow")
        frames = done.frames - done.resumed_frames
        earlier = f" ({done.resumed_frames} more were finished before)" * bool(done.resumed_frames)
        speed = f" ({frames / done.seconds:.1f} per second;"
        speed += f" {done.slowest_stage} was the slowest stage)"
        is_video = done.frames > 1 and not on_cluster  # of a single image neither says anything
        self._say(
            f"Wrote {done.target}: {count(frames, 'frame')}{earlier} in {done.seconds:.1f} s"
            + speed * is_video
        )

    def show_finished_before(self, job: PlannedConversion, is_single: bool) -> None:
        """Print that an earlier run has written the target.

        Args:
            job: The conversion.
            is_single: Whether it is the only one of the command.
        """
        self._finished_before += 1
        if is_single:
            self._say(f"{job.target} was finished before; what was left beside it is removed")
        if self.as_json:
            record = {"source": job.source, "target": job.target, "done_before": True}
            print_json(record)
        if self.level == VERBOSE:
            self._say(f"{job.target} was finished before", "dim")

    def show_total(self, exit_codes: list[int]) -> None:
        """Print how many sources were skipped and how many failed."""
        sources = count(len(exit_codes), "source")
        if self._finished_before and len(exit_codes) > 1:
            verb = "was" if self._finished_before == 1 else "were"
            self._say(f"{self._finished_before} of {sources} {verb} finished before and skipped")
        failed = sum(code == FAILED for code in exit_codes)
        if len(exit_codes) > 1 and failed:
            verb = "was" if failed == 1 else "were"
            say(self._console, f"{failed} of {sources} {verb} not converted", "red")

    def show_failure(self, job: PlannedConversion, error: ToonvidError) -> None:
        """Print why one of several sources was not converted."""
        if self.as_json:
            print_json({"source": job.source, "error": str(error)})
        say(self._console, f"toonvid: {error}", "red")

    def show_note(self, line: str) -> None:
        """Print what the user should know of a run."""
        self._say(f"note: {line}", "yellow")

    def cluster_progress(self) -> AbstractContextManager[Callable[[ClusterStatus], None]]:
        """Show how far a run on a cluster is: bars on a terminal, else a line now and then."""
        if self.level == QUIET:
            return nullcontext(lambda status: None)
        if self._console.is_terminal:
            return cluster_bars(self._console)
        return nullcontext(cluster_lines(self._say))

    def _say(self, line: str, style: str | None = None) -> None:
        if self.level > QUIET:
            say(self._console, line, style)


def describe_forecast(expected: Forecast, seconds: float) -> str:
    """Say in one line how long a conversion takes and how large its target gets.

    Args:
        expected: The forecast.
        seconds: How long it takes from now on.
    """
    megabytes = max(1, round(expected.target_bytes / _MEGABYTE))
    return (
        f"{count(expected.frames, 'frame')} of {expected.info.width}x{expected.info.height} at"
        f" about {expected.rate:.3g} per second take about {format_duration(seconds)} and"
        f" {megabytes} MB"
    )


def show_status(target: str, as_json: bool) -> None:
    """Print how far the conversion to a target is.

    Raises:
        typer.Exit: With code 1, when no conversion to the target is known.
    """
    from toonvid.resume.job_state import read_job_state

    state = read_job_state(Path(target))
    console = output_console()
    is_finished = state is None and Path(target).is_file()
    if as_json:
        record: dict[str, object] = {"target": target, "finished": is_finished}
        if state is not None:
            record |= {
                "process": state.process_id,
                "segments": state.segments,
                "frames": state.frames,
                "film_seconds": state.finished_seconds,
                "whole_seconds": state.job.duration_seconds,
                "command": state.job.command,
            }
        print_json(record)
    elif state is None:
        say(console, f"{target}: {'finished' if is_finished else 'no conversion to it is known'}")
    else:
        total = state.job.duration_seconds
        of_total = "" if total is None else f" of {format_duration(total)}"
        say(
            console,
            f"{target}: {format_duration(state.finished_seconds)}{of_total} finished,"
            f" {count(state.frames, 'frame')} in {count(state.segments, 'segment')}",
        )
        if state.process_id is not None:
            say(console, f"process {state.process_id} is working on it")
        else:
            say(console, f"no process is working on it; resume with\n  {state.job.command}")
    if state is None and not is_finished:
        raise typer.Exit(FAILED)
