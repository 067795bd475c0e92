"""Conversions at the video's own frame rate."""

from __future__ import annotations

import time
from fractions import Fraction
from pathlib import Path

import pytest
from support.slow_backend import SlowBackend

from toonvid.backends import Backend
from toonvid.bench.real_time_load import _PlaybackClock, run_in_real_time
from toonvid.pipeline import Progress
from toonvid.video import VideoInfo


def test_a_real_time_conversion_takes_as_long_as_the_video(
    scene_video: Path, tmp_path: Path, identity: Backend
) -> None:
    found = run_in_real_time(scene_video, tmp_path / "real_time.mp4", identity)
    assert found.work.frames == 12
    assert found.work.seconds >= 11 / 12  # from the first frame to the last


def test_frames_of_a_slow_engine_are_late(
    scene_video: Path, tmp_path: Path, identity: Backend
) -> None:
    slow = SlowBackend(identity, 0.2)  # 12 frames per second are due
    assert 1 <= run_in_real_time(scene_video, tmp_path / "slow.mp4", slow).late_frames < 12


def test_a_frame_is_late_if_it_comes_after_it_was_due(monkeypatch: pytest.MonkeyPatch) -> None:
    now, slept = 100.0, []
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    monkeypatch.setattr(time, "sleep", slept.append)
    info = VideoInfo("video", "mp4", 64, 48, Fraction(1, 100), frame_rate=Fraction(100))
    clock = _PlaybackClock()
    clock.take_frame(Progress(info, 1, 0.01))
    now += 0.05
    clock.take_frame(Progress(info, 2, 0.02))
    assert (clock.late_frames, slept) == (1, [])
    clock.take_frame(Progress(info, 3, 0.3))
    assert (clock.late_frames, slept) == (1, [pytest.approx(0.24)])
