"""Cluster job: one source of a run, from its lock to its join.

In: a source, a target, and what nodes make of its segments. Out: requests for what is missing, and
at last the target. Locks, journal and join are those of `toonvid.resume.segmented`. Which node
makes what is left to `toonvid.cluster.driver`.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter, deque
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import msgspec

from toonvid.backends import Backend
from toonvid.cluster.check_frames import cpu_cores
from toonvid.cluster.request import (
    EngineRequest,
    Plain,
    SegmentRequest,
    SourceRequest,
    as_crossed,
)
from toonvid.cluster.segment_task import END, MISPLANNED
from toonvid.cluster.status import VideoStatus
from toonvid.errors import TargetError
from toonvid.pipeline import Conversion, ConvertOptions
from toonvid.resume.fingerprint import made_with
from toonvid.resume.journal_entries import FinishedSegment, frame_kind
from toonvid.resume.segment_plan import SegmentPlan, plan_segments
from toonvid.resume.segmented import SegmentedConversion
from toonvid.resume.work_folder import disk_errors

_MAX_FAILURES_IN_A_ROW = 3  # of a node with a source, after which it gets no more of that source

Piece: TypeAlias = int | None
"""Number of a segment; None for all that are missing, one after the other."""


class ClusterJob:
    """One source. Opened by `open`, on any thread; used by one thread at a time."""

    def __init__(self, source: str, target: str, backend: Backend, options: ConvertOptions) -> None:
        """Remember what to convert; nothing is opened."""
        self.source, self.target = source, target
        self.conversion = SegmentedConversion(Path(source), Path(target), backend, options)
        self.waiting: deque[Piece] = deque()
        """What no node makes."""
        self.failures: Counter[Piece] = Counter()
        """How often making a piece has failed."""
        self.node_failures: dict[str, list[str]] = {}
        """Ray's name of a node -> why it failed, each time since it last made a segment."""
        self.nodes_with_copy: set[str] = set()
        """Ray's names of the nodes that keep a copy of the source."""
        self.is_made = False
        """Whether all segments are finished, so that they can be joined."""
        self.is_open = False
        self._plan: SegmentPlan | None = None
        self._is_last_made = False  # the last segment of the plan, and the source ended there

    def open(self) -> ClusterJob:
        """Lock the target, read what is finished and plan the rest.

        Raises:
            ToonvidError: The source cannot be read, or the target not be written.
        """
        conversion = self.conversion.__enter__()
        self.is_open = True
        try:
            if conversion.work_folder.source_end is not None:
                self.is_made = True
                return self
            self._frame_kind = frame_kind(conversion.first_cartoon())
            options = conversion.options
            plan = plan_segments(conversion.source, options.decoding, options.segment_seconds)
            if plan is None or not plan.places:
                self.waiting.append(None)
                return self
            self._plan = plan
            # Whether an earlier run has found that the source ends behind the last is not known.
            last = plan.places[-1].number
            finished = conversion.work_folder.finished
            self.waiting.extend(
                place.number
                for place in plan.places
                if place.number not in finished or place.number == last
            )
        except BaseException:
            self.close()
            raise
        return self

    @property
    def failed_nodes(self) -> dict[str, str]:
        """Ray's names of the nodes that get no more of this source -> the last reason of each."""
        return {
            node_id: reasons[-1]
            for node_id, reasons in self.node_failures.items()
            if len(reasons) >= _MAX_FAILURES_IN_A_ROW
        }

    def note_failure(self, piece: Piece, node_id: str, reason: str) -> None:
        """Note that a node cannot make a piece."""
        self.failures[piece] += 1
        self.node_failures.setdefault(node_id, []).append(reason)

    def close(self) -> None:
        """Unlock the target. Finished segments stay for the next run."""
        if self.is_open:
            self.is_open = False
            self.conversion.__exit__(None, None, None)

    def join(self) -> Conversion:
        """Join the segments to the target, and close."""
        try:
            return self.conversion.join()
        finally:
            self.close()

    def request(self, piece: Piece, driver_node: str, check_digest: str) -> SegmentRequest:
        """Return what a node is told, to make a piece.

        Args:
            piece: What to make.
            driver_node: Ray's name of this node.
            check_digest: What this machine makes of the check frames.
        """
        conversion = self.conversion
        backend, folder = conversion.backend, conversion.work_folder
        card = backend.engine.card
        whole = SegmentRequest(
            source=self.source_request(driver_node),
            engine=EngineRequest(
                style=card.style,
                sha256=card.sha256,
                backend=backend.name,  # type: ignore[arg-type]
                device=backend.device,
                precision=backend.precision,
            ),
            options=conversion.options,
            target_name=f"target{conversion.target.suffix}",
            frame_kind=self._frame_kind,
            made_with=made_with(backend, as_crossed(conversion.options)),
            check_digest=check_digest,
            cores=cpu_cores(),
            finished=tuple(folder.finished.values()) if piece is None else (),
        )
        if piece is None:
            return whole
        assert self._plan is not None
        place = self._plan.places[piece]
        return replace(whole, number=place.number, begin=place.begin, warm_up=place.warm_up)

    def source_request(self, driver_node: str) -> SourceRequest:
        """Return where nodes can read the source."""
        return SourceRequest(
            path=str(self.conversion.source.absolute()),
            fingerprint=self.conversion.job.fingerprint,
            driver_node=driver_node,
        )

    def take(self, piece: Piece, made: Plain) -> bool:
        """Take over what a node has made of a piece.

        Args:
            piece: What it was told to make.
            made: What it has yielded, of the kinds SEGMENT, END or MISPLANNED.

        Returns:
            Whether the plan still holds. If not, nothing that nodes make now is of use, and the
            rest waits to be made in one piece.

        Raises:
            ValueError: It is not what a node yields, or was damaged on the way.
            TargetError: The disk is full or fails, or the source has no frames.
        """
        folder = self.conversion.work_folder
        if made["kind"] == MISPLANNED:
            return self._give_up_plan()
        if made["kind"] == END:
            if not folder.finished:
                raise TargetError(f"nothing to write: {self.source} has no frames there")
            end = msgspec.convert(made, _End)
            folder.record_source_end(tuple(end.notices), end.damage)
            self.is_made = True
            return True
        finished = msgspec.convert(made["finished"], FinishedSegment)
        content = made["content"]
        self._check(piece, finished, content)
        assert isinstance(content, bytes)
        before = len(folder.finished) - (finished.number in folder.finished)
        self._write(finished, content)
        if self._plan is None:
            return True
        is_last = finished.number == self._plan.places[-1].number
        if len(folder.finished) != before + 1 or made["is_last"] != is_last:
            return self._give_up_plan()
        self._is_last_made |= is_last
        if self._is_last_made and len(folder.finished) == len(self._plan.places):
            folder.record_source_end(self._plan.notices, None)
            self.is_made = True
        return True

    def status(self) -> VideoStatus:
        """Return how far it is."""
        folder = self.conversion.work_folder
        return VideoStatus(
            source=self.source,
            finished_seconds=folder.finished_seconds,
            duration_seconds=self.conversion.info.duration_seconds,
            frames=folder.finished_frames,
        )

    def missing_bytes(self) -> int:
        """Return how many bytes the disk lacks for the rest, as far as can be told."""
        return self.conversion.work_folder.missing_bytes(self.conversion.info.duration_seconds)

    def _check(self, piece: Piece, finished: FinishedSegment, content: object) -> None:
        """Check what came over a network: where it will lie, and that all of it is there."""
        segment, path = finished.segment, self.conversion.work_folder.segment_path(finished.number)
        is_whole = isinstance(content, bytes) and (
            hashlib.sha256(content).hexdigest() == segment.sha256 and len(content) == segment.size
        )
        if not is_whole or segment.name != path.name or piece not in (None, finished.number):
            raise ValueError(f"segment {finished.number} was damaged on the way")

    def _write(self, finished: FinishedSegment, content: bytes) -> None:
        """Write the file of a segment, safe on disk, then its line in the journal."""
        folder = self.conversion.work_folder
        folder.check_space(len(content))
        path = folder.segment_path(finished.number)
        with disk_errors(folder.target):
            path.unlink(missing_ok=True)
            with path.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        folder.record_segment(finished)

    def _give_up_plan(self) -> bool:
        self._plan = None
        self.waiting.clear()
        self.waiting.append(None)
        return False


class _End(msgspec.Struct):
    """What a node yields at the end of a source."""

    notices: list[str]
    damage: str | None
