"""Which images of a batch one process of a run takes, where several processes train together."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Share:
    """One process's share of each batch: every `count`-th image, from number `index` on.

    The images alternate between the processes, rather than each taking a part in one piece, because
    the costly losses use the leading images of a batch only: so each process gets its part of them.
    """

    index: int = 0
    """Number of the process, from 0."""
    count: int = 1
    """Number of processes; 1 takes whole batches."""

    @property
    def slice(self) -> slice:
        """Index of the images of a whole batch that belong to the share."""
        return slice(self.index, None, self.count)

    def indices(self, first: int, size: int) -> range:
        """Numbers of the share's images in a batch of `size` images that begins at `first`."""
        return range(first + self.index, first + size, self.count)

    def size_of(self, leading: int) -> int:
        """Number of the share's images among the leading images of a batch."""
        return len(self.indices(0, leading))


WHOLE = Share()
"""All images, for a run of one process."""
