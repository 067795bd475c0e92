"""Driver: hands out the segments of many sources to the nodes of a cluster, and takes them back.

In: sources and targets, an open backend and a connected Ray. Out: targets, each as soon as it is
finished. Every free place of every node has work while any source has some: sources are opened and
planned ahead, and joined, on threads of their own. What a node was making when it was lost is given
to another, and so is what takes much longer than the rest.
"""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from toonvid.backends import Backend
from toonvid.cluster.check_frames import check_digest
from toonvid.cluster.cluster_job import ClusterJob, Piece
from toonvid.cluster.nodes import CPUS_PER_SEGMENT, Node, Nodes
from toonvid.cluster.request import Plain
from toonvid.cluster.segment_task import FAILED, REFUSED, SEGMENT, make_segments
from toonvid.cluster.source_copy import delete_copy, engine_files
from toonvid.cluster.status import ClusterStatus
from toonvid.errors import ClusterError, SourceError, ToonvidError
from toonvid.pipeline import Conversion, ConvertOptions

_WAIT_SECONDS = 0.5  # for results, before nodes and slow segments are looked at
_MAX_FAILURES = 8  # of one segment, after which its source is given up
_SLOW_FACTOR = 3.0  # a segment that takes so many times the median is given to another node too
_NO_NODE_SECONDS = 60.0  # without any node, after which the run ends
_FETCH_SECONDS = 120.0  # for one finished segment, after which it counts as lost
_OPEN_AHEAD = 2  # sources that are opened at the same time


@dataclass(eq=False)
class _Running:
    """A piece that a node makes now."""

    job: ClusterJob
    piece: Piece
    node: Node
    results: Any
    """Ray's generator of what the node yields."""
    since: float = field(default_factory=time.monotonic)


class ClusterRun:
    """One run over many sources. Used once."""

    def __init__(
        self,
        ray: ModuleType,
        backend: Backend,
        options: ConvertOptions,
        on_done: Callable[[str, str, Conversion], None],
        on_failed: Callable[[str, str, ToonvidError], None],
        on_note: Callable[[str], None] = lambda line: None,
        on_status: Callable[[ClusterStatus], None] = lambda status: None,
        slow_after_seconds: float = 30.0,
    ) -> None:
        """Prepare the run.

        Args:
            ray: Connected (`toonvid.cluster.connection`).
            backend: Open, on this machine. Nodes open the same.
            options: How all sources are converted.
            on_done: Called with source, target and what was done, when a target is in its place.
            on_failed: Called with source, target and the reason, when a source is given up.
            on_note: Called with a line for the user when a node is lost or left out.
            on_status: Called often, on the calling thread. What it raises ends the run; what is
                finished stays.
            slow_after_seconds: A segment is never taken for a slow one before.
        """
        self._ray = ray
        self._backend, self._options = backend, options
        self._on_done, self._on_failed = on_done, on_failed
        self._on_note, self._on_status = on_note, on_status
        self._slow_after_seconds = slow_after_seconds
        self._uses_gpus = backend.device.lower().startswith("cuda")
        self._nodes = Nodes(with_gpus=self._uses_gpus)
        self._driver_node = ray.get_runtime_context().get_node_id()
        self._remote: dict[Callable[..., object], Any] = {}
        self._engine_files = [ray.put(engine_files(backend.engine))]
        self._digests: dict[str, str] = {}  # suffix of targets -> what this machine makes
        self._running: list[_Running] = []
        self._jobs: list[ClusterJob] = []
        self._opening: dict[Future[ClusterJob], ClusterJob] = {}
        self._joining: dict[Future[Conversion], ClusterJob] = {}
        self._piece_seconds: deque[float] = deque(maxlen=200)
        self._done = self._source_count = self._frames = 0
        self._kept_seconds = 0.0  # of sources that are done
        self._began = time.monotonic()
        self._node_seen_at = self._began

    def run(self, conversions: Iterable[tuple[str, str]]) -> None:
        """Convert all sources.

        Args:
            conversions: (source, target), each a file and a video that can be made in segments.

        Raises:
            ClusterError: No node can make segments. Finished segments stay.
        """
        unopened = deque(conversions)
        self._source_count = len(unopened)
        with (
            _signals_pass(),
            ThreadPoolExecutor(_OPEN_AHEAD) as openers,
            ThreadPoolExecutor(1) as joiner,
        ):
            try:
                while unopened or self._opening or self._jobs or self._joining:
                    self._look_at_nodes()
                    self._open_ahead(unopened, openers)
                    self._take_opened(joiner)
                    self._give_up_unmakable()
                    self._hand_out()
                    self._take_results(joiner)
                    self._take_joined()
                    self._on_status(self._status())
            finally:
                for running in self._running:
                    self._cancel(running)
                self._close_all()

    # Sources.

    def _open_ahead(self, unopened: deque[tuple[str, str]], openers: ThreadPoolExecutor) -> None:
        """Open sources until there is more to make than nodes can begin."""
        waiting = sum(len(job.waiting) for job in self._jobs)
        while unopened and len(self._opening) < _OPEN_AHEAD and waiting < self._nodes.slots:
            job = ClusterJob(*unopened.popleft(), self._backend, self._options)
            self._opening[openers.submit(job.open)] = job

    def _take_opened(self, joiner: ThreadPoolExecutor) -> None:
        for future in [each for each in self._opening if each.done()]:
            job = self._opening.pop(future)
            try:
                future.result()
            except ToonvidError as error:
                self._fail(job, error)
                continue
            self._jobs.append(job)
            self._join_if_made(job, joiner)

    def _join_if_made(self, job: ClusterJob, joiner: ThreadPoolExecutor) -> None:
        if job.is_made:
            self._jobs.remove(job)
            self._kept_seconds += job.status().finished_seconds
            self._joining[joiner.submit(job.join)] = job

    def _take_joined(self) -> None:
        for future in [each for each in self._joining if each.done()]:
            job = self._joining.pop(future)
            try:
                done = future.result()
            except ToonvidError as error:
                self._fail(job, error)
            else:
                self._done += 1
                self._on_done(job.source, job.target, done)
            self._delete_copies(job)

    def _fail(self, job: ClusterJob, error: ToonvidError) -> None:
        """Give a source up; the others go on."""
        for running in [each for each in self._running if each.job is job]:
            self._stop(running)
        if job in self._jobs:
            self._jobs.remove(job)
        job.close()
        self._done += 1
        self._on_failed(job.source, job.target, error)

    def _close_all(self) -> None:
        """Unlock all targets, when the run ends early."""
        for opening in self._opening:
            opening.cancel()
        for joining in self._joining:
            joining.cancel()
        futures: list[Future[Any]] = [*self._opening, *self._joining]
        for future in futures:
            if not future.cancelled():
                future.exception()  # waits for it
        for job in [*self._jobs, *self._opening.values(), *self._joining.values()]:
            job.close()

    # Nodes.

    def _look_at_nodes(self) -> None:
        for node in self._nodes.update(self._ray.nodes()):
            lost = [each for each in self._running if each.node is node]
            self._on_note(
                f"node {node.name} is gone"
                + f": what it was making is given to others ({len(lost)})" * bool(lost)
            )
            for running in lost:
                self._stop(running)
                self._give_back(running)
        if self._nodes.slots:
            self._node_seen_at = time.monotonic()
        elif refusals := self._nodes.refusals:
            raise ClusterError(f"no node of the cluster can take part: {refusals}")
        elif time.monotonic() - self._node_seen_at > _NO_NODE_SECONDS:
            needed = "a GPU" if self._uses_gpus else "a core"
            raise ClusterError(f"the cluster has no node with {needed} to make segments with")

    def _leave_out(self, node: Node, reason: str) -> None:
        if not node.refusal:
            node.refusal = reason
            self._on_note(f"node {node.name} is left out: {reason}")

    # Segments.

    def _give_up_unmakable(self) -> None:
        """Give up the sources that every usable node has failed with: the fault is theirs."""
        usable = {node.node_id for node in self._nodes if node.is_usable}
        for job in list(self._jobs):
            failed = job.failed_nodes
            if job.waiting and usable and usable <= failed.keys():
                reason = list(failed.values())[-1]
                self._give_up(job, f"every node has failed with it, at last: {reason}")

    def _hand_out(self) -> None:
        """Give work to all free places: what waits, in the order of sources, then what is slow."""
        for job in self._jobs:
            while job.waiting and (node := self._nodes.freest(other_than=job.failed_nodes)):
                if job.waiting[0] is None and self._running_of(job):
                    break  # pieces of a plan that did not hold are being stopped
                self._start(job, job.waiting.popleft(), node)
        if not any(job.waiting for job in self._jobs):
            for running in self._slow_ones():
                avoided = [running.node.node_id, *running.job.failed_nodes]
                if node := self._nodes.freest(other_than=avoided):
                    self._on_note(
                        f"node {running.node.name} is slow with segment {running.piece} of"
                        f" {Path(running.job.source).name}: {node.name} makes it too"
                    )
                    self._start(running.job, running.piece, node)

    def _on_node(self, function: Callable[..., object], node_id: str, **options: Any) -> Any:
        """Return a remote function that runs on one node.

        A function of an installed module crosses by its name, not as code.
        """
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        there = NodeAffinitySchedulingStrategy(node_id, soft=False)
        remote = self._remote.setdefault(function, self._ray.remote(function))
        # Who makes again what was lost is decided here.
        return remote.options(max_retries=0, scheduling_strategy=there, **options)

    def _start(self, job: ClusterJob, piece: Piece, node: Node) -> None:
        request = job.request(piece, self._driver_node, self._digest(Path(job.target).suffix))
        resources: dict[str, Any] = (
            {"num_gpus": 1} if self._uses_gpus else {"num_cpus": CPUS_PER_SEGMENT}
        )
        name = f"{_piece_name(piece)} of {Path(job.source).name}"
        task = self._on_node(
            make_segments, node.node_id, num_returns="streaming", name=name, **resources
        )
        results = task.remote(request.to_plain(), self._engine_files)
        node.running += 1
        self._running.append(_Running(job, piece, node, results))

    def _digest(self, suffix: str) -> str:
        if suffix not in self._digests:
            digest = check_digest(self._backend, self._options, f"check{suffix}")
            self._digests[suffix] = digest
        return self._digests[suffix]

    def _slow_ones(self) -> list[_Running]:
        """Return pieces that take much longer than others, and that one node alone makes."""
        usual = statistics.median(self._piece_seconds) if self._piece_seconds else 0.0
        patience = max(self._slow_after_seconds, _SLOW_FACTOR * usual)
        now = time.monotonic()
        return [
            each
            for each in self._running
            if each.piece is not None
            and now - each.since > patience
            and len([r for r in self._running_of(each.job) if r.piece == each.piece]) == 1
        ]

    def _running_of(self, job: ClusterJob) -> list[_Running]:
        return [each for each in self._running if each.job is job]

    # Results.

    def _take_results(self, joiner: ThreadPoolExecutor) -> None:
        if not self._running:
            time.sleep(0.05)
            return
        ready, _ = self._ray.wait(
            [each.results for each in self._running],
            num_returns=1,
            timeout=_WAIT_SECONDS if not self._opening and not self._joining else 0.1,
            fetch_local=False,
        )
        for running in [each for each in self._running if each.results in ready]:
            if running in self._running:  # not stopped by what another has brought
                self._take_result(running, joiner)

    def _take_result(self, running: _Running, joiner: ThreadPoolExecutor) -> None:
        from ray.exceptions import RayError, RayTaskError

        job = running.job
        try:
            made: Plain = self._ray.get(next(running.results), timeout=_FETCH_SECONDS)
            if made["kind"] == REFUSED:
                self._leave_out(running.node, str(made["reason"]))
                self._release(running)
                self._give_back(running)
                return
            if made["kind"] == FAILED:
                self._note_failure(running, str(made["reason"]))
                return
            is_planned = job.take(running.piece, made)
            if made.get("is_copy"):
                job.nodes_with_copy.add(running.node.node_id)
        except StopIteration:
            self._release(running)
            if running.piece is None and not job.is_made:
                self._note_failure(running, "it ended early")
            return
        except ToonvidError as error:  # of this machine: its disk is full
            self._fail(job, error)
            return
        except RayTaskError as error:
            lines = str(error.cause or error).strip().splitlines()
            self._note_failure(running, lines[-1] if lines else "an unknown error")
            return
        except (RayError, ValueError) as error:
            self._note_loss(running, error)
            return
        if made["kind"] == SEGMENT:
            self._note_segment(running, made)
        if running.piece is not None:
            self._release(running)
        for each in self._running_of(job):
            # Others that make the same, or what is of no use without the plan.
            if running.piece is not None and (each.piece == running.piece or not is_planned):
                self._stop(each)
        self._join_if_made(job, joiner)

    def _note_segment(self, running: _Running, made: Plain) -> None:
        finished: Any = made["finished"]
        frames = int(finished["segment"]["frames"])
        self._note_success(running.job, running.node, frames)
        self._frames += frames
        self._piece_seconds.append(time.monotonic() - running.since)
        running.since = time.monotonic()

    def _note_success(self, job: ClusterJob, node: Node, frames: int) -> None:
        node.note_success(frames)
        job.node_failures.pop(node.node_id, None)
        for node_id, reason in job.failed_nodes.items():  # the source is not what they failed for
            other = self._nodes.with_id(node_id)
            is_usable = other.is_usable
            other.note_failed_source(job.source, reason)
            if is_usable and other.refusal:
                self._on_note(f"node {other.name} is left out: {reason}")

    def _note_loss(self, running: _Running, error: Exception) -> None:
        """A process, a node or an object was lost: another makes the piece again."""
        from ray.exceptions import NodeDiedError, TaskUnschedulableError

        reason = str(error).strip().splitlines()[0]
        self._stop(running)
        if not isinstance(error, NodeDiedError | TaskUnschedulableError):
            running.job.failures[running.piece] += 1
            self._on_note(
                f"{_piece_name(running.piece)} of {Path(running.job.source).name} was lost on node"
                f" {running.node.name} and is made again ({type(error).__name__})"
            )
        self._give_up_if_hopeless(running, reason)

    def _note_failure(self, running: _Running, reason: str) -> None:
        """A node says that it cannot make a piece; another may."""
        self._stop(running)
        job, node = running.job, running.node
        is_known = node.node_id in job.failed_nodes
        job.note_failure(running.piece, node.node_id, reason)
        if node.node_id in job.failed_nodes and not is_known:
            name = Path(job.source).name
            self._on_note(f"node {node.name} gets no more segments of {name}: {reason}")
        self._give_up_if_hopeless(running, reason)

    def _give_up_if_hopeless(self, running: _Running, reason: str) -> None:
        if running.job.failures[running.piece] >= _MAX_FAILURES:
            failed = f"{_piece_name(running.piece)} failed {_MAX_FAILURES} times"
            self._give_up(running.job, f"{failed}, at last: {reason}")
        else:
            self._give_back(running)

    def _give_up(self, job: ClusterJob, reason: str) -> None:
        self._fail(job, SourceError(f"{job.source}: {reason}. What is finished is kept"))

    def _give_back(self, running: _Running) -> None:
        """Let a piece wait again, before all others of its source."""
        job = running.job
        is_made_elsewhere = any(each.piece == running.piece for each in self._running_of(job))
        if job in self._jobs and not is_made_elsewhere and running.piece not in job.waiting:
            job.waiting.appendleft(running.piece)

    def _release(self, running: _Running) -> None:
        """Note that a node has ended a piece."""
        self._running.remove(running)
        running.node.running -= 1

    def _stop(self, running: _Running) -> None:
        """Take a piece from its node."""
        if running in self._running:
            self._release(running)
            self._cancel(running)

    def _cancel(self, running: _Running) -> None:
        # Its process is ended: it may hang, and asking it to stop would not help.
        self._ray.cancel(running.results, force=True)

    def _delete_copies(self, job: ClusterJob) -> None:
        """Delete the copies of a source that is done from the nodes that had to make one."""
        for node_id in job.nodes_with_copy:
            source = job.source_request(self._driver_node)
            self._on_node(delete_copy, node_id, num_cpus=0).remote(asdict(source))

    def _status(self) -> ClusterStatus:
        videos = tuple(job.status() for job in self._jobs)
        return ClusterStatus(
            sources=self._source_count,
            done=self._done,
            videos=videos,
            kept_seconds=self._kept_seconds + sum(video.finished_seconds for video in videos),
            frames=self._frames,
            seconds=time.monotonic() - self._began,
            node_frames={node.name: node.frames for node in self._nodes if node.is_alive},
            missing_bytes=max((job.missing_bytes() for job in self._jobs), default=0),
        )


@contextmanager
def _signals_pass() -> Iterator[None]:
    """Let what a signal's handler raises leave Ray, which turns it into a SystemError."""
    try:
        yield
    except SystemError as error:
        if error.__cause__ is None:
            raise
        raise error.__cause__ from None


def _piece_name(piece: Piece) -> str:
    return "the rest" if piece is None else f"segment {piece}"
