"""Images stay in memory up to a limit, and are never mixed up."""

from __future__ import annotations

import numpy as np

from trainer.data.tile_memory import TileMemory


def test_the_least_recently_used_images_are_dropped() -> None:
    memory, reads = TileMemory(limit=250), []

    def get(key: str) -> int:
        def read() -> list[np.ndarray]:
            reads.append(key)
            return [np.full(100, ord(key), np.uint8)]

        return int(memory.get(key, read)[0][0])

    assert [chr(get(key)) for key in "abacab"] == list("abacab")
    assert reads == ["a", "b", "c", "b"]


def test_images_above_the_limit_are_returned_all_the_same() -> None:
    memory = TileMemory(limit=10)
    assert memory.get("a", lambda: [np.ones(100, np.uint8)])[0].sum() == 100
