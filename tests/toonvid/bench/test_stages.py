"""The stages one at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.bench import frame_times
from support.clips import decoded

from toonvid.backends import Backend
from toonvid.bench.stages import decode_alone, encode_alone, hold_frames, stylize_alone


def test_each_stage_processes_the_whole_video(
    scene_video: Path, tmp_path: Path, identity: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("toonvid.bench.stages._HELD_FRAMES", (2, 3))
    held = hold_frames(scene_video, identity)
    assert (held.frames, len(held.sources), len(held.cartoons)) == (12, 3, 3)
    target = tmp_path / "encoded.mp4"
    stages = (decode_alone(scene_video), stylize_alone(held, identity), encode_alone(held, target))
    assert [stage.frames for stage in stages] == [12, 12, 12]
    assert frame_times(target) == frame_times(scene_video)
    frames = [frame.astype(int) for frame in decoded(target)]
    assert np.abs(frames[0] - frames[4]).mean() < np.abs(frames[0] - frames[2]).mean()
