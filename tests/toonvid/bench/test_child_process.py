"""Conversions in a new process."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from toonvid.bench.child_process import can_pin, convert_in_subprocess
from toonvid.errors import ToonvidError


def test_a_conversion_in_a_new_process_is_measured(
    engines_folder: Path, scene_video: Path, tmp_path: Path
) -> None:
    style = ("--style", str(engines_folder / "negative.json"))
    before = os.sched_getaffinity(0) if can_pin() else None
    cores = {min(before)} if before else None
    found = convert_in_subprocess(scene_video, tmp_path / "target.mp4", style, cores)
    assert found.frames == 12
    assert found.seconds > found.first_frame_seconds > 0
    assert found.frames_per_second is not None and found.frames_per_second > 0
    if Path("/proc/self/status").exists():
        assert found.peak_bytes is not None and found.peak_bytes > 2**20
    if before is not None:
        assert os.sched_getaffinity(0) == before


def test_compiled_models_are_kept_where_the_caller_says(
    engines_folder: Path, scene_video: Path, tmp_path: Path
) -> None:
    style = ("--style", str(engines_folder / "negative.json"), "--end", "0.2")
    models = tmp_path / "models"
    found = convert_in_subprocess(scene_video, tmp_path / "target.mp4", style, models=models)
    assert found.frames == 3 and found.seconds > found.first_frame_seconds
    assert len(list(models.iterdir())) == 1


def test_a_conversion_in_a_new_process_that_fails_says_why(
    scene_video: Path, tmp_path: Path
) -> None:
    with pytest.raises(ToonvidError, match="no style named 'nobody'"):
        convert_in_subprocess(scene_video, tmp_path / "target.mp4", ("--style", "nobody"))
