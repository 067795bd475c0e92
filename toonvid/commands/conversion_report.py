"""Messages of `toonvid convert`: planned conversions, progress, results and errors in, lines out.

Messages go to standard error; JSON and `--status` go to standard output. Nothing is converted here.
"""

from __future__ import annotations

import logging
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

from toonvid.commands.cluster_progress import cluster_bars, cluster_lines
from toonvid.commands.conversion_notes import (
    describe_forecast,
    forecast_note,
    full_disk_warning,
    library_lines,
    small_source_note,
    video_note,
)
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
        self.say(describe_backend(backend), "dim")
        if self.level == VERBOSE:
            self.say(describe_license(backend.engine), "dim")

    def show_decoding(self, decoding: Decoding) -> None:
        """Print the decoder, where there was a choice. A source that needs another gets a note."""
        if decoding.reason:
            self.say(f"Decoding: {decoding.name} ({decoding.reason})", "dim")

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
            full_disk_warning(self.say),
            forecast_note(self.say, job, options.encoding.audio),
            self._last_frames(job),
        ]
        if options.decoding.size is not None and not options.decoding.upscale:
            watchers.append(small_source_note(self.say, options.decoding.size))
        reason = why_in_one_go(job.source, job.target, options.encoding)
        with ExitStack() as stack:
            if self.level == NORMAL:  # with -v, all that is logged is printed
                stack.enter_context(library_lines(self.say))
            if self.level > QUIET and self._console.is_terminal:
                watchers.append(stack.enter_context(conversion_bar(self._console, job.source)))
            elif self.level > QUIET:
                watchers.append(conversion_lines(self.say, job.source))
            if reason is None:
                watchers.append(stack.enter_context(finish_segment_first(self.say)))
            else:
                line = f"this conversion cannot be resumed: {reason}"
                watchers.append(video_note(self.say, line))

            def show(progress: Progress) -> None:
                for watch in watchers:
                    watch(progress)

            yield show

    def _last_frames(self, job: PlannedConversion) -> Callable[[Progress], None]:
        """Make a callback that remembers how far a conversion has come, in case it is stopped."""
        self._begun = None

        def watch(progress: Progress) -> None:
            self._begun = (job.target, progress.frames)

        return watch

    def show_position(self, number: int, total: int, job: PlannedConversion) -> None:
        """Print which of several sources comes next."""
        if total > 1:
            self.say(f"{number} of {total}: {job.source}", "dim")

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
            self.say(f"No segment was finished: the work on {frames} is lost", "yellow")

    def show_result(self, done: Conversion) -> None:
        """Print what a conversion wrote, its notices, damage of its source, and what is missing."""
        from toonvid.pipeline import CHANGED
        from toonvid.reading.packets import BEGUN_LATE

        if self.as_json:
            values = asdict(done) | {"slowest_stage": done.slowest_stage}
            values["stage_seconds"] = done.stage_seconds or None
            print_json(values)
        for notice in done.notices:
            self.say(f"note: {notice}", "yellow")
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
        # Of a single image, and where other processes made the frames, neither says anything.
        says_speed = done.frames > 1 and done.slowest_stage is not None
        self.say(
            f"Wrote {done.target}: {count(frames, 'frame')}{earlier} in {done.seconds:.1f} s"
            + speed * says_speed
        )

    def show_finished_before(self, job: PlannedConversion, is_single: bool) -> None:
        """Print that an earlier run has written the target.

        Args:
            job: The conversion.
            is_single: Whether it is the only one of the command.
        """
        self._finished_before += 1
        if is_single:
            self.say(f"{job.target} was finished before; what was left beside it is removed")
        if self.as_json:
            record = {"source": job.source, "target": job.target, "done_before": True}
            print_json(record)
        if self.level == VERBOSE:
            self.say(f"{job.target} was finished before", "dim")

    def show_total(self, exit_codes: list[int]) -> None:
        """Print how many sources were skipped and how many failed."""
        sources = count(len(exit_codes), "source")
        if self._finished_before and len(exit_codes) > 1:
            verb = "was" if self._finished_before == 1 else "were"
            self.say(f"{self._finished_before} of {sources} {verb} finished before and skipped")
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
        self.say(f"note: {line}", "yellow")

    def cluster_progress(self) -> AbstractContextManager[Callable[[ClusterStatus], None]]:
        """Show how far a run on a cluster is: bars on a terminal, else a line now and then."""
        if self.level == QUIET:
            return nullcontext(lambda status: None)
        if self._console.is_terminal:
            return cluster_bars(self._console)
        return nullcontext(cluster_lines(self.say))

    def say(self, line: str, style: str | None = None) -> None:
        """Print a line on standard error, unless nothing but errors is wanted."""
        if self.level > QUIET:
            say(self._console, line, style)
