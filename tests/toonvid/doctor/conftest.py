"""Tests of the doctor see none of the user's files, and no display."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty folders for caches and engines, a terminal of 80 columns, no display."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("DISPLAY", "")
    monkeypatch.delenv("TOONVID_ENGINES", raising=False)
    monkeypatch.delenv("TORCH_HOME", raising=False)
