"""The demo scene: the same frames and sound every time, at any size."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from toonvid.bench.demo_scene import SAMPLE_RATE, draw_frames, draw_scene, make_sound, write_scene


@pytest.mark.parametrize(("width", "height"), [(1, 1), (7, 3), (96, 64), (64, 96)])
def test_the_scene_is_drawn_at_any_size(width: int, height: int) -> None:
    pixels = draw_scene(width, height, 1.0)
    assert pixels.shape == (height, width, 3)
    assert pixels.dtype == np.uint8


def test_the_same_time_gives_the_same_pixels() -> None:
    assert np.array_equal(draw_scene(96, 64, 2.5), draw_scene(96, 64, 2.5))


def test_the_scene_moves_and_has_detail() -> None:
    first, later = draw_scene(96, 64, 0.0).astype(int), draw_scene(96, 64, 1.0).astype(int)
    assert np.abs(first - later).mean() > 5
    assert first.std() > 30


def test_the_number_of_frames_is_rate_times_seconds() -> None:
    assert len(list(draw_frames(16, 16, Fraction(24000, 1001), 0.5))) == 12


def test_the_sound_is_stereo_and_not_silent() -> None:
    sound = make_sound(0.5)
    assert sound.shape == (2, SAMPLE_RATE // 2)
    assert 0.05 < np.abs(sound).max() <= 1
    assert not np.array_equal(sound[0], sound[1])


def test_video_and_audio_streams_have_the_same_length(tmp_path: Path) -> None:
    write_scene(tmp_path / "scene.mp4", 32, 32, Fraction(10), 1.0)
    with av.open(tmp_path / "scene.mp4") as video:
        assert video.streams.video[0].frames == 10
        lengths = [float(s.duration * s.time_base) for s in video.streams]
    assert lengths == pytest.approx([1.0, 1.0], abs=0.05)
