"""`toonvid convert --cluster`: sources and targets in, exit codes out.

Hands what can be made in segments to `toonvid.cluster.driver`, and shows how far it is. Images, and
videos that cannot be resumed, are left to `toonvid.commands.convert`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from typing import TYPE_CHECKING

from toonvid.commands.conversion_notes import full_disk_warning
from toonvid.commands.conversion_report import DAMAGED_SOURCE, FAILED, ConversionReport
from toonvid.commands.interrupt import finish_segment_first
from toonvid.errors import ToonvidError

if TYPE_CHECKING:
    from toonvid.backends import Backend
    from toonvid.cluster.status import ClusterStatus
    from toonvid.pipeline import Conversion, ConvertOptions
    from toonvid.writing.output_paths import PlannedConversion


def convert_on_cluster(
    address: str,
    jobs: Sequence[PlannedConversion],
    backend: Backend,
    options: ConvertOptions,
    report: ConversionReport,
    is_single: bool,
) -> list[int]:
    """Convert sources on a cluster, and report on each.

    Args:
        address: As `toonvid.cluster.connection.connected` takes it.
        jobs: Sources that can be made in segments, and their targets.
        backend: Open, on this machine.
        options: How all are converted.
        report: Prints results.
        is_single: Whether the command has one source only, whose error ends it.

    Returns:
        An exit code for each source, in the order in which they ended.

    Raises:
        ClusterError: There is no cluster, or none of its nodes can take part.
        ToonvidError: The only source failed.
    """
    from toonvid.cluster.connection import connected
    from toonvid.cluster.driver import ClusterRun

    by_target = {job.target: job for job in jobs}
    exit_codes: list[int] = []

    def show_done(_source: str, target: str, done: Conversion) -> None:
        report.show_result(done)
        exit_codes.append(DAMAGED_SOURCE if done.damage or done.left_out else 0)

    def show_failed(_source: str, target: str, error: ToonvidError) -> None:
        if is_single:
            raise error
        report.show_failure(by_target[target], error)
        report.show_unfinished(by_target[target])
        exit_codes.append(FAILED)

    try:
        with ExitStack() as stack:
            ray = stack.enter_context(connected(address))
            show_status = stack.enter_context(_status_watcher(report))
            run = ClusterRun(
                ray=ray,
                backend=backend,
                options=options,
                on_done=show_done,
                on_failed=show_failed,
                on_note=report.show_note,
                on_status=show_status,
            )
            run.run([(job.source, job.target) for job in jobs])
    except BaseException:
        for job in jobs:
            report.show_unfinished(job)
        raise
    return exit_codes


@contextmanager
def _status_watcher(report: ConversionReport) -> Iterator[Callable[[ClusterStatus], None]]:
    """Show a run's progress, and handle signals while it runs."""
    from toonvid.pipeline import Progress
    from toonvid.video import VideoInfo

    nothing = VideoInfo("", "", 0, 0, Fraction(1))  # progress of many videos is that of none
    warn = full_disk_warning(report.say)
    with ExitStack() as stack:
        watch = stack.enter_context(finish_segment_first(report.show_note))
        show = stack.enter_context(report.cluster_progress())

        def show_all(status: ClusterStatus) -> None:
            show(status)
            progress = Progress(
                info=nothing,
                frames=status.frames,
                video_seconds=status.kept_seconds,
                kept_seconds=status.kept_seconds,
                missing_bytes=status.missing_bytes,
            )
            warn(progress)
            watch(progress)

        yield show_all
