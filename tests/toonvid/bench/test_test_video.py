"""The test video: length, size, repetition."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from support.bench import frame_times, packets
from support.clips import decoded

from toonvid.bench.test_video import repeat_video, wide_size, write_test_video
from toonvid.reading.decoder import VideoDecoder


def test_the_scene_is_repeated_without_a_gap(tmp_path: Path) -> None:
    video = tmp_path / "video.mp4"
    write_test_video(video, None, (64, 48), 6)
    found = frame_times(video)
    assert found == [Fraction(n, 24) for n in range(144)]
    frames = decoded(video)
    assert np.array_equal(frames[0], frames[48])
    sounds = [dts for dts, _ in packets(video, "audio")]
    assert sounds == sorted(set(sounds))
    assert sounds[-1] > Fraction(11, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["video.mp4"]


def test_a_large_test_video_is_drawn_small_and_enlarged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("toonvid.bench.test_video._MAX_DRAWN_PIXELS", 64 * 48)
    video = tmp_path / "video.mp4"
    write_test_video(video, None, (128, 96), 0.5)
    assert decoded(video)[0].shape == (96, 128, 3)
    assert frame_times(video) == [Fraction(n, 24) for n in range(12)]
    assert packets(video, "audio")
    assert [path.name for path in tmp_path.iterdir()] == ["video.mp4"]


def test_the_length_is_kept_when_the_scene_is_repeated(tmp_path: Path) -> None:
    video = tmp_path / "video.mp4"
    write_test_video(video, None, (32, 32), 2.75)
    assert len(frame_times(video)) == 66


@pytest.mark.parametrize(("pixels", "frames"), [(32 * 32 * 30, 30), (1, 24), (32 * 32 * 99, 48)])
def test_test_videos_have_the_same_number_of_pixels_if_the_length_allows(
    pixels: int, frames: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("toonvid.bench.test_video._TOTAL_PIXELS", pixels)
    monkeypatch.setattr("toonvid.bench.test_video._LENGTH_SECONDS", (1.0, 2.0))
    write_test_video(tmp_path / "video.mp4", None, (32, 32))
    assert len(frame_times(tmp_path / "video.mp4")) == frames


def test_the_beginning_of_a_source_is_scaled_to_the_size(scene_video: Path, tmp_path: Path) -> None:
    video = tmp_path / "video.mp4"
    write_test_video(video, scene_video, 128, 0.5)  # larger than it is
    with VideoDecoder(video) as decoder:
        assert (decoder.info.width, decoder.info.height) == (192, 128)
    assert frame_times(video) == frame_times(scene_video)[:6]
    assert packets(video, "audio")


@pytest.mark.parametrize(("side", "size"), [(360, (640, 360)), (540, (960, 540)), (33, (58, 32))])
def test_a_short_side_becomes_a_wide_even_size(side: int, size: tuple[int, int]) -> None:
    assert wide_size(side) == size


def test_repeating_keeps_every_video_packet(scene_video: Path, tmp_path: Path) -> None:
    repeat_video(scene_video, tmp_path / "thrice.mp4", 3)
    once = [b for _, b in packets(scene_video, "video")]
    assert [b for _, b in packets(tmp_path / "thrice.mp4", "video")] == once * 3
