"""A disk that is too small is reported before any work is done."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from support.clips import Clip, moving_frames

from toonvid.errors import TargetError
from toonvid.pipeline import ConvertOptions, Progress
from toonvid.resume.segmented import convert, least_target_bytes
from toonvid.video import VideoInfo
from toonvid.writing.codec import Codec
from toonvid.writing.options import EncodeOptions
from toonvid.writing.part_folder import part_folder

MB = 10**6
F = Fraction


def info(width: int = 1000, frames: int | None = 1000) -> VideoInfo:
    return VideoInfo("video", "mp4", width, 1000, F(1, 1000), frame_count=frames)


def test_the_lower_of_two_forecasts_is_taken():
    x264 = Codec("libx264")
    by_pixels = least_target_bytes(10**12, info(), x264)
    assert by_pixels == 1000**3 * 0.07 / 8
    assert least_target_bytes(10**12, info(width=2000), x264) == 2 * by_pixels
    assert least_target_bytes(10**12, info(frames=10**12), x264) == 0.8 * 10**12
    assert least_target_bytes(1000, info(), x264) == 800


def test_coarser_targets_need_less_and_finer_ones_are_not_trusted_with_more():
    usual = least_target_bytes(MB, info(), Codec("libx264"))
    assert least_target_bytes(MB, info(), Codec("libx264", crf=30)) == usual / 4
    assert least_target_bytes(MB, info(), Codec("libx264", crf=3)) == usual
    assert least_target_bytes(MB, info(), Codec("ffv1")) == usual


def test_a_video_of_unknown_length_has_no_forecast():
    assert least_target_bytes(MB, info(frames=None), Codec("libx264")) == 0


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Sets how many bytes the disk has left."""

    def set_free(size: int) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=size))

    return set_free


class Stopped(Exception):
    pass


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Two seconds of video, and two megabytes of ballast behind them."""
    path = Clip(moving_frames(48, (1280, 720)), options={"preset": "ultrafast"}).write(
        tmp_path / "video.mkv"
    )
    path.write_bytes(path.read_bytes() + bytes(2 * MB))
    return path


def test_a_disk_that_cannot_hold_the_video_is_refused_before_any_work(
    video, identity, tmp_path, free
):
    target = tmp_path / "target.mp4"
    needed = 2 * least_target_bytes(
        video.stat().st_size, VideoInfo("", "", 1280, 720, F(1), frame_count=48), Codec("libx264")
    )
    written: list[Progress] = []
    free(needed - 1)
    with pytest.raises(TargetError, match=r"has 1 MB left, and the video needs at least 1"):
        convert(video, target, identity, on_progress=written.append)
    assert written == []
    assert not part_folder(target).exists()
    free(max(needed, 2**20))
    convert(video, target, identity, on_progress=written.append)
    assert target.exists()


def test_what_is_finished_corrects_the_forecast(identity, tmp_path, free):
    noise = list(np.random.default_rng(8).integers(0, 256, (48, 288, 288, 3), np.uint8))
    video = Clip(noise, options={"preset": "ultrafast"}).write(tmp_path / "video.mkv")
    target = tmp_path / "target.mkv"
    # ffv1 takes far more than any forecast.
    options = ConvertOptions(encoding=EncodeOptions(codec="ffv1"), segment_seconds=F(1, 2))

    def stop(progress: Progress) -> None:
        if progress.kept_seconds:
            raise Stopped

    def run(watch: Callable[[Progress], None] | None = None) -> None:
        convert(video, target, identity, options, on_progress=watch)

    with pytest.raises(Stopped):
        run(stop)
    size = sum(path.stat().st_size for path in part_folder(target).iterdir())
    assert size > MB
    free(2 * size)  # of about 7 that are needed
    with pytest.raises(TargetError, match="the video needs at least"):
        run()
    told: list[int] = []
    free(5 * size)  # too little, but that is not certain: it is noted
    run(lambda progress: told.append(progress.missing_bytes))
    assert told[0] > 0
