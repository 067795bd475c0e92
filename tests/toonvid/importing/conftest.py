"""A folder of the user's own for what is added, and no process of its own for each file."""

from __future__ import annotations

from pathlib import Path

import pytest

from toonvid.importing import trial_run


@pytest.fixture(autouse=True)
def styles_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where added styles go; no other styles are found but those that ship."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("TOONVID_ENGINES", "")
    monkeypatch.setenv("COLUMNS", "200")
    # It takes a second, and is the subject of test_hostile_files.py, which undoes this.
    monkeypatch.setattr(trial_run, "try_in_subprocess", lambda path: None)
    return tmp_path / "data" / "toonvid" / "engines"
