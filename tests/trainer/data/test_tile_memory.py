"""Images stay in memory up to a limit, and are never mixed up."""

from __future__ import annotations

import numpy as np
import pytest

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


def test_processes_of_a_run_on_one_machine_divide_the_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("trainer.data.tile_memory.MEMORY_LIMIT", 200)
    for processes, times_read in (("1", 2), ("2", 4)):
        monkeypatch.setenv("LOCAL_WORLD_SIZE", processes)
        memory, reads = TileMemory(), []

        def read(reads: list[int] = reads) -> list[np.ndarray]:
            reads.append(1)
            return [np.ones(100, np.uint8)]

        for key in "abab":
            memory.get(key, read)
        assert len(reads) == times_read
