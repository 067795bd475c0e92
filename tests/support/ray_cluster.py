"""A Ray cluster of several nodes on this machine, for tests and scripts.

Each node has an object store of its own, of bounded size, and one core. Everything that is started
is ended on exit.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
_STORE_BYTES = 100 * 2**20


@contextmanager
def ray_cluster(nodes: int = 2, environment: dict[str, str] | None = None) -> Iterator[Any]:
    """Start nodes whose workers use this checkout.

    Args:
        nodes: Number of nodes, each with one core; the first is the head.
        environment: More environment variables of the nodes.

    Yields:
        `ray.cluster_utils.Cluster`; its `address` can be given to `--cluster`.
    """
    before = dict(os.environ)
    os.environ |= {
        "RAY_USAGE_STATS_ENABLED": "0",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
        **(environment or {}),
    }
    from ray.cluster_utils import Cluster

    cluster = Cluster()
    try:
        for _ in range(nodes):
            cluster.add_node(num_cpus=1, object_store_memory=_STORE_BYTES, include_dashboard=False)
        yield cluster
    finally:
        cluster.shutdown()
        os.environ.clear()
        os.environ |= before


def segment_workers() -> list[int]:
    """Return the ids of the processes that make segments now, on nodes that this process began."""
    return [process for process in descendants() if _is_making_a_segment(process)]


def descendants() -> set[int]:
    """Return the ids of all processes that this process has started, and those have started."""
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        parents[int(path.parent.name)] = int(fields[1])
    found = {os.getpid()}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {os.getpid()}


def _is_making_a_segment(process: int) -> bool:
    try:
        title = Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:  # it has just ended
        return False
    return title.startswith((b"ray::segment ", b"ray::the rest "))


def kill(process_id: int) -> None:
    """End a process as kill -9 does, if it is still there."""
    try:
        os.kill(process_id, signal.SIGKILL)
    except ProcessLookupError:
        return
