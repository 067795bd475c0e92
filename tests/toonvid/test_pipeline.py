"""The whole way from a source to its target: what must come through as it was."""

from __future__ import annotations

from fractions import Fraction

import pytest
from support.clips import Clip, Tone, frame_times, moving_frames, video_end

from toonvid.pipeline import Progress, convert

F = Fraction
NTSC = Fraction(24000, 1001)

SOURCES = {
    "constant": ("mp4", Clip()),
    "ntsc": ("mp4", Clip(time_base=1 / NTSC, rate=NTSC)),
    "variable": ("mp4", Clip(pts=(0, 1, 5, 6, 30, 31), time_base=F(1, 90))),
    "variable-odd-clock": (
        "mp4",
        Clip(pts=(0, 1001, 3003, 3500, 9999, 10001), time_base=F(1, 30000)),
    ),
    "b-frames": ("mp4", Clip(moving_frames(12), options={"bf": "3", "b_strategy": "0"})),
    "late-start": ("mp4", Clip(pts=range(13, 19), audio=(Tone(),))),
    "late-start-late-sound": ("mp4", Clip(pts=range(13, 19), audio=(Tone(start=F(1, 10)),))),
    "late-sound": ("mp4", Clip(audio=(Tone(start=F(1, 3)),))),
    "b-frames-late-start": (
        "mp4",
        Clip(moving_frames(12), pts=range(7, 19), options={"bf": "3", "b_strategy": "0"}),
    ),
    "b-frames-negative-dts": (
        "mp4",
        Clip(
            moving_frames(12),
            options={"bf": "3", "b_strategy": "0"},
            muxing={"movflags": "negative_cts_offsets"},
            audio=(Tone(),),
        ),
    ),
    "mov": ("mov", Clip(time_base=1 / NTSC, rate=NTSC, audio=(Tone("pcm_s16le"),))),
    "matroska": ("mkv", Clip(audio=(Tone("libopus"),))),
    "matroska-ntsc": ("mkv", Clip(time_base=1 / NTSC, rate=NTSC)),
    "matroska-variable-late": ("mkv", Clip(pts=(40, 41, 45, 46, 70, 71), time_base=F(1, 90))),
    "webm": ("webm", Clip(codec="libvpx-vp9", options={"deadline": "realtime"})),
    "transport": ("ts", Clip(audio=(Tone("mp2"),))),
    "gif": (
        "gif",
        Clip(codec="gif", pix_fmt="rgb8", pts=(0, 7, 9, 30, 31, 50), time_base=F(1, 100)),
    ),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_frame_times_survive_exactly(kind, tmp_path, toon):
    suffix, film = SOURCES[kind]
    source = film.write(tmp_path / f"source.{suffix}")
    times = frame_times(source)
    for target in ("target.mp4", "target.mov", f"again.{suffix}"):
        done = toon(source, target)
        assert frame_times(done.target) == times, target
        assert done.frames == len(times)
        assert done.damage is None


def test_frame_times_of_avi_survive(tmp_path, toon):
    film = Clip(codec="mpeg4", audio=(Tone("libmp3lame"),))
    source = film.write(tmp_path / "source.avi")
    done = toon(source)
    assert frame_times(done.target) == frame_times(source)
    assert done.damage is None


@pytest.mark.parametrize("kind", ["constant", "ntsc", "variable", "late-start", "b-frames"])
def test_frame_times_in_matroska_are_right_to_its_millisecond(kind, tmp_path, toon):
    suffix, film = SOURCES[kind]
    source = film.write(tmp_path / f"source.{suffix}")
    found = frame_times(toon(source, "target.mkv").target)
    expected = frame_times(source)
    assert len(found) == len(expected)
    assert all(abs(a - b) <= F(1, 2000) for a, b in zip(found, expected, strict=True))


def test_last_frame_is_shown_as_long_as_in_the_source(tmp_path, toon):
    source = Clip(pts=(0, 1, 5, 6, 30, 31), time_base=F(1, 90)).write(tmp_path / "source.mp4")
    assert video_end(toon(source).target) == video_end(source)


def test_progress_counts_frames_and_film_seconds(tmp_path, identity):
    source = Clip().write(tmp_path / "source.mp4")
    seen: list[Progress] = []
    done = convert(source, tmp_path / "target.mp4", identity, on_progress=seen.append)
    assert [progress.frames for progress in seen] == [1, 2, 3, 4, 5, 6]
    assert seen[-1].film_seconds == pytest.approx(6 / 25)
    assert done.film_seconds == pytest.approx(6 / 25)
    assert set(done.stage_seconds) == {"decode", "stylize", "encode"}
    assert done.slowest_stage in done.stage_seconds
    assert all(0 <= taken <= done.seconds for taken in done.stage_seconds.values())
