"""Nodes: the machines of a cluster, how many segments each makes at once, and which are left out.

In: what Ray knows of its nodes. Out: `Node`s. Each segment is given to a node by name: a node whose
results would be other bytes, or whose disk is full, must get no more, and Ray knows of no such.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

CPUS_PER_SEGMENT = 1
"""Cores that Ray reserves for one segment."""
_MAX_FAILED_SOURCES = 3


@dataclass
class Node:
    """One machine."""

    node_id: str
    """Ray's name for it."""
    name: str
    """Host name, and the beginning of `node_id` where several nodes have the same host."""
    slots: int
    """Number of segments that it makes at once."""
    running: int = 0
    """Number of segments that it makes now."""
    frames: int = 0
    """Number of frames that it has made."""
    is_alive: bool = True
    refusal: str = ""
    """Why it gets no more segments; empty while it does."""
    failed_sources: set[str] = field(default_factory=set, repr=False)
    """Sources that it failed with and other nodes did not. Each counts once."""
    failed_in_a_row: int = 0
    """Number of these since its last success."""

    @property
    def is_usable(self) -> bool:
        """Whether it is there and gets segments."""
        return self.is_alive and not self.refusal

    @property
    def free_slots(self) -> int:
        """Number of segments that it can begin now."""
        return self.slots - self.running if self.is_usable else 0

    def note_success(self, frames: int) -> None:
        """Note a segment that it made."""
        self.frames += frames
        self.failed_in_a_row = 0

    def note_failed_source(self, source: str, reason: str) -> None:
        """Note that another node made a segment of a source that this one failed with.

        After several such sources in a row it gets no more segments. A source that was noted before
        is no further one.
        """
        if source in self.failed_sources:
            return
        self.failed_sources.add(source)
        self.failed_in_a_row += 1
        if self.failed_in_a_row >= _MAX_FAILED_SOURCES:
            self.refusal = self.refusal or reason


class Nodes:
    """All nodes that have been seen."""

    def __init__(self, with_gpus: bool) -> None:
        """Begin with none.

        Args:
            with_gpus: Whether each segment needs a GPU of its own, instead of cores.
        """
        self._with_gpus = with_gpus
        self._nodes: dict[str, Node] = {}

    def update(self, found: Iterable[dict[str, object]]) -> list[Node]:
        """Note which nodes there are now.

        Args:
            found: What `ray.nodes()` returns.

        Returns:
            Nodes that were there before and are gone.
        """
        alive = {}
        for each in found:
            resources = each.get("Resources")
            if not each.get("Alive") or not isinstance(resources, dict):
                continue
            resource = "GPU" if self._with_gpus else "CPU"
            slots = int(resources.get(resource, 0)) // (1 if self._with_gpus else CPUS_PER_SEGMENT)
            if slots:
                alive[str(each["NodeID"])] = (str(each["NodeManagerHostname"]), slots)
        gone = [
            node for node in self._nodes.values() if node.is_alive and node.node_id not in alive
        ]
        for node in gone:
            node.is_alive = False
        hosts = [host for host, _ in alive.values()]
        for node_id, (host, slots) in alive.items():
            if node_id not in self._nodes:
                name = host if hosts.count(host) == 1 else f"{host}/{node_id[:6]}"
                self._nodes[node_id] = Node(node_id, name, slots)
        return gone

    def __iter__(self) -> Iterator[Node]:
        return iter(self._nodes.values())

    def with_id(self, node_id: str) -> Node:
        """Return a node by Ray's name for it."""
        return self._nodes[node_id]

    @property
    def slots(self) -> int:
        """Number of segments that all usable nodes make at once."""
        return sum(node.slots for node in self._nodes.values() if node.is_usable)

    def freest(self, other_than: Iterable[str] = ()) -> Node | None:
        """Return the node with the most free slots; None where there is no free slot."""
        avoided = set(other_than)
        free = [n for n in self._nodes.values() if n.free_slots > 0 and n.node_id not in avoided]
        return max(free, key=lambda node: node.free_slots, default=None)

    @property
    def refusals(self) -> str:
        """Why nodes are left out, in one line."""
        refused = [n for n in self._nodes.values() if n.refusal]
        return "; ".join(f"{node.name}: {node.refusal}" for node in refused)
