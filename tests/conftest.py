"""What all tests share: a cache that is not the user's own, and one thread for PyTorch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

# Before PyTorch is imported, here or in a child process. Tensors of tests are small, and threads
# that wait for each other take many times as long where cores are busy.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("XDG_CACHE_HOME", str(folder))
        patch.delenv("TOONVID_MODELS", raising=False)
        yield folder
