"""A forecast says how many frames a conversion has and how large its target gets, and writes
nothing."""

from __future__ import annotations

import json
import time
from fractions import Fraction
from pathlib import Path

import pytest
from support.clips import Clip, Tone, moving_frames
from support.run_toonvid import run_here

from toonvid.backends import Backend
from toonvid.bench.forecast import forecast, forecast_progress
from toonvid.errors import SourceError
from toonvid.pipeline import ConvertOptions, Progress, convert
from toonvid.reading.options import DecodeOptions
from toonvid.stylizing.options import StylizeOptions
from toonvid.writing.options import EncodeOptions

F = Fraction
OPTIONS = ConvertOptions(stylizing=StylizeOptions(steady=0))


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Six seconds with a tone."""
    frames = moving_frames(150, (128, 96))
    return Clip(frames, audio=(Tone(seconds=F(6)),)).write(tmp_path / "clip.mp4")


@pytest.mark.parametrize("audio", [True, False])
def test_the_size_is_about_that_of_the_target(
    clip: Path, identity: Backend, tmp_path: Path, audio: bool
) -> None:
    options = ConvertOptions(
        stylizing=StylizeOptions(steady=0), encoding=EncodeOptions(audio=audio)
    )
    expected = forecast(clip, tmp_path / "target.mp4", identity, options, trial_seconds=0.01)
    assert not (tmp_path / "target.mp4").exists()
    convert(clip, tmp_path / "target.mp4", identity, options)
    size = (tmp_path / "target.mp4").stat().st_size
    assert expected.frames == 150
    assert expected.target_bytes == pytest.approx(size, rel=0.3)


def test_a_part_is_forecast_from_that_part(clip: Path, identity: Backend, tmp_path: Path) -> None:
    part = ConvertOptions(
        decoding=DecodeOptions(start=F(2), end=F(4)), stylizing=StylizeOptions(steady=0)
    )
    expected = forecast(clip, tmp_path / "target.mp4", identity, part, trial_seconds=0.01)
    whole = forecast(clip, tmp_path / "target.mp4", identity, OPTIONS, trial_seconds=0.01)
    assert expected.frames == 50
    assert expected.target_bytes < whole.target_bytes / 2


def test_the_time_is_that_of_the_trial(clip: Path, identity: Backend, tmp_path: Path) -> None:
    began = time.perf_counter()
    expected = forecast(clip, tmp_path / "target.mp4", identity, OPTIONS, trial_seconds=60)
    assert 0 < expected.seconds <= time.perf_counter() - began


def test_a_source_without_a_length_is_refused(identity: Backend, tmp_path: Path) -> None:
    raw = Clip(codec="libx264", container="h264").write(tmp_path / "raw.h264")
    with pytest.raises(SourceError, match="does not state how long it is"):
        forecast(raw, tmp_path / "target.mp4", identity, OPTIONS)


def test_a_conversion_under_way_is_forecast_from_its_share(
    clip: Path, identity: Backend, tmp_path: Path
) -> None:
    seen: list[Progress] = []
    convert(clip, tmp_path / "target.mp4", identity, OPTIONS, on_progress=seen.append)
    assert forecast_progress(seen[10], frames=10, seconds=1.0) is None  # too early
    half = forecast_progress(seen[74], frames=74, seconds=2.0)
    silent = forecast_progress(seen[74], frames=74, seconds=2.0, with_audio=False)
    assert half is not None and silent is not None
    audio_bytes = half.info.audio_bit_rate / 8 * 6
    assert audio_bytes > 0
    assert half.target_bytes - silent.target_bytes == pytest.approx(audio_bytes, rel=0.01)
    assert (half.frames, half.rate) == (150, 37.0)
    size = (tmp_path / "target.mp4").stat().st_size
    assert half.target_bytes == pytest.approx(size, rel=0.3)


@pytest.mark.usefixtures("only_tiny_engines")
def test_a_dry_run_prints_its_forecast_and_writes_nothing(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ("convert", clip, "--style", "identity", "--dry-run")
    shown = run_here(capsys, *command)
    assert shown.code == 0
    assert "clip.toon.mp4: 150 frames of 128x96 at about" in shown.out
    found = json.loads(run_here(capsys, *command, "--json").out)
    assert found["frames"] == 150
    assert found["seconds"] == pytest.approx(150 / found["frames_per_second"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mp4"]
