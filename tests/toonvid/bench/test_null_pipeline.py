"""The null pipeline: it changes nothing but the coding."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
from support.bench import frame_times, packets
from support.clips import Clip, Tone, decoded

from toonvid.bench.null_pipeline import run_null_pipeline


def test_the_null_pipeline_keeps_times_audio_and_nearly_all_pixels(
    scene_video: Path, tmp_path: Path
) -> None:
    target = tmp_path / "null.mp4"
    work = run_null_pipeline(scene_video, target)
    assert work.frames == len(frame_times(scene_video))
    assert frame_times(target) == frame_times(scene_video)
    assert [b for _, b in packets(target, "audio")] == [b for _, b in packets(scene_video, "audio")]
    differences = [
        np.abs(one.astype(int) - other).mean()
        for one, other in zip(decoded(scene_video), decoded(target), strict=True)
    ]
    assert max(differences) < 5


def test_the_null_pipeline_lets_the_encoder_choose_key_frames(tmp_path: Path) -> None:
    source = Clip(options={"g": "1"}, audio=(Tone(),)).write(tmp_path / "source.mp4")
    run_null_pipeline(source, tmp_path / "null.mp4")
    with av.open(str(tmp_path / "null.mp4")) as container:
        keys = [p.is_keyframe for p in container.demux(video=0) if p.size]
    assert keys == [True] + [False] * 5
