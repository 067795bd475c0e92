"""A folder of the user's own for what is added."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def styles_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where added styles go; no other styles are found but those that ship."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("TOONVID_ENGINES", "")
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path / "data" / "toonvid" / "engines"
