"""A child process runs files of the current folder only where its parent may."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from toonvid.child_python import child_python


def test_files_of_the_current_folder_are_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cv2.py").write_text("print('a stranger')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["/usr/bin", *sys.path[1:]])  # as the installed command has it
    command = [*child_python(), "-c", "import cv2"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "a stranger" not in ended.stdout
    monkeypatch.setattr(sys, "path", ["", *sys.path[1:]])  # as `python -m toonvid` has it
    assert child_python() == [sys.executable]
