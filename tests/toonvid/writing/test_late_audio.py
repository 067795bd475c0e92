"""Audio that begins late, in mid-file, or with another format: kept, or told as a loss."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from support.clips import Clip, Tone, frame_times, moving_frames, only

F = Fraction


@pytest.mark.parametrize(("suffix", "codec"), [("ts", "libx264"), ("mpg", "mpeg2video")])
@pytest.mark.parametrize("target", ["target.mp4", "target.mkv"])
def test_audio_that_begins_after_many_seconds_is_kept(suffix, codec, target, tmp_path, toon):
    # FFmpeg looks for the format of a stream in the first 5 seconds, or 7 in program streams.
    frames = moving_frames(225, (32, 16))
    clip = Clip(frames, codec=codec, audio=(Tone("mp2", start=F(9)),))
    source = clip.write(tmp_path / f"source.{suffix}")
    done = toon(source, target)
    audio = only(done.target, "audio")
    assert audio.content and audio.content == only(source, "audio").content
    assert float(audio.times[0]) == pytest.approx(9, abs=0.1)
    assert (done.left_out, done.notices) == (None, ())


def test_a_stream_that_is_in_the_middle_alone_is_a_loss(tmp_path, toon):
    random = np.random.default_rng(0)
    noise = [random.integers(0, 256, (48, 64, 3), np.uint8) for _ in range(75)]
    # FFmpeg examines the first 5 seconds, and the last 250,000 bytes.
    begin = Clip(noise[:15], pts=range(15), time_base=F(1), rate=F(1)).write(tmp_path / "begin.ts")
    middle = Clip(audio=(Tone("mp2", seconds=F(1)),)).write(tmp_path / "middle.ts")
    end = Clip(noise).write(tmp_path / "end.ts")
    assert end.stat().st_size > 300_000
    source = tmp_path / "source.ts"
    source.write_bytes(b"".join(part.read_bytes() for part in (begin, middle, end)))
    done = toon(source)
    assert len(frame_times(done.target)) == 15 + 6 + 75
    assert done.damage == "streams that begin in mid-file are left out: 1"


@pytest.mark.parametrize("change", [{"layout": "stereo"}, {"rate": 32000}])
def test_aac_that_changes_its_format_is_never_played_as_noise(change, tmp_path, toon):
    parts = [
        Clip(moving_frames(50), audio=(Tone("aac", seconds=F(2), **how),)).write(
            tmp_path / f"part{number}.ts"
        )
        for number, how in enumerate([{"layout": "mono", "rate": 48000}, change])
    ]
    source = tmp_path / "source.ts"
    source.write_bytes(b"".join(part.read_bytes() for part in parts))
    first, both = only(parts[0], "audio").content, only(source, "audio").content
    assert len(both) > len(first) + 20
    for suffix in ("mp4", "mkv"):
        done = toon(source, f"target.{suffix}")
        assert len(only(done.target, "audio").content) == len(first)
        assert "s of audio stream 1 (aac), which changes its format" in done.left_out
    done = toon(source, "target.ts")
    assert sorted(only(done.target, "audio").content) == sorted(both) and done.left_out is None
