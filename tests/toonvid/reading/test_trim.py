"""Trimming: frames, audio, subtitles and chapters are moved by the same time."""

from __future__ import annotations

import json
from fractions import Fraction

import numpy as np
import pytest
from support.clips import (
    Clip,
    Subtitles,
    Tone,
    chapters,
    decoded,
    frame_times,
    moving_frames,
    only,
)

from toonvid.errors import TargetError
from toonvid.pipeline import ConvertOptions
from toonvid.reading.decoder import VideoDecoder
from toonvid.reading.options import DecodeOptions, fitted
from toonvid.reading.trim import TimeRange

F = Fraction
B_FRAMES = {"bf": "3", "b_strategy": "0", "g": "10"}
LINES = tuple((F(n, 5), F(1, 10), f"line {n}") for n in range(10))
CLIP = Clip(
    moving_frames(50),
    options={"g": "10"},
    audio=(Tone(seconds=F(2)),),
    subtitles=(Subtitles(lines=LINES),),
    chapters=((0, 500, "One"), (500, 1500, "Two"), (1500, 2000, "Three")),
)


def brightness(path) -> list[float]:
    """Mean level of each frame, which identifies it in these clips."""
    return [float(pixels.mean()) for pixels in decoded(path)]


def test_start_and_end_apply_to_frames_audio_subtitles_and_chapters(tmp_path, toon):
    source = CLIP.write(tmp_path / "source.mp4")
    done = toon(source, decoding=DecodeOptions(start=F(4, 5), end=F(8, 5)))
    assert frame_times(done.target) == [F(n, 25) for n in range(20)]
    assert brightness(done.target) == pytest.approx(brightness(source)[20:40], abs=1)

    original, found = only(source, "audio"), only(done.target, "audio")
    kept = [n for n, time in enumerate(original.times) if F(4, 5) <= time < F(8, 5)]
    assert found.times == tuple(original.times[n] - F(4, 5) for n in kept)
    assert found.content == tuple(original.content[n] for n in kept)

    texts = only(done.target, "subtitle")
    lines = {t: c[2:].decode() for t, c in zip(texts.times, texts.content, strict=True) if c[2:]}
    assert lines == {F(n - 4, 5): f"line {n}" for n in range(4, 8)}

    assert chapters(done.target) == [(F(0), F(7, 10), "Two"), (F(7, 10), F(4, 5), "Three")]
    assert done.damage is None


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "mov"])
@pytest.mark.parametrize("options", [{"g": "10"}, B_FRAMES], ids=["plain", "b-frames"])
@pytest.mark.parametrize("first", [0, 13])
def test_frames_begin_at_every_start(suffix, options, first, tmp_path, toon):
    video = Clip(moving_frames(30), pts=range(first, first + 30), options=options)
    source = video.write(tmp_path / f"source.{suffix}")
    times = [time - frame_times(source)[0] for time in frame_times(source)]
    light = brightness(source)
    for start in (11, 28):
        done = toon(source, f"{start}.mp4", decoding=DecodeOptions(start=F(start, 25)))
        assert frame_times(done.target) == [time - F(start, 25) for time in times[start:]]
        assert brightness(done.target) == pytest.approx(light[start:], abs=1)
        assert done.damage is None


def test_start_counts_from_the_first_frame(tmp_path, toon):
    video = Clip(moving_frames(20), pts=range(100, 120))
    source = video.write(tmp_path / "source.mp4")
    done = toon(source, decoding=DecodeOptions(start=F(2, 5)))
    assert len(frame_times(done.target)) == 10
    assert frame_times(done.target)[0] == 0


def test_the_frame_on_screen_at_the_start_comes_first(tmp_path, toon):
    video = Clip(pts=(0, 10, 20, 30, 40, 100), time_base=F(1, 100))
    source = video.write(tmp_path / "source.mp4")
    done = toon(source, decoding=DecodeOptions(start=F(3, 4), end=F(11, 10)))
    assert frame_times(done.target) == [F(0), F(1, 4)]
    assert brightness(done.target) == pytest.approx(brightness(source)[4:], abs=1)


def test_the_last_frame_ends_at_the_end(tmp_path):
    video = Clip(pts=(0, 10, 20, 100, 110, 120), time_base=F(1, 100), options={"bf": "0"})
    source = video.write(tmp_path / "source.mp4")
    with VideoDecoder(source, DecodeOptions(end=F(1, 2))) as decoder:
        frames = list(decoder.frames())
    assert [frame.seconds for frame in frames] == [F(0), F(1, 10), F(1, 5)]
    assert frames[-1].seconds + frames[-1].duration * frames[-1].time_base == F(1, 2)


def test_without_a_start_times_are_not_moved(tmp_path, toon):
    video = Clip(moving_frames(20), pts=range(5, 25), audio=(Tone(),))
    source = video.write(tmp_path / "source.mp4")
    done = toon(source, decoding=DecodeOptions(end=F(2, 5)))
    assert frame_times(done.target) == [F(n, 25) for n in range(5, 10)]


def test_a_subtitle_across_the_start_is_shortened(tmp_path, toon):
    video = Clip(moving_frames(25), subtitles=(Subtitles("srt", ((F(1, 5), F(2, 5), "long"),)),))
    source = video.write(tmp_path / "source.mkv")
    done = toon(source, "target.mkv", decoding=DecodeOptions(start=F(2, 5), end=F(1, 2)))
    text = only(done.target, "subtitle")
    assert (text.times, text.durations, text.content) == ((F(0),), (F(1, 10),), (b"long",))


def test_audio_is_moved_by_whole_samples(tmp_path, toon):
    video = Clip(moving_frames(25), audio=(Tone("pcm_s16le", F(1), rate=44100),))
    source = video.write(tmp_path / "source.mov")
    done = toon(source, "target.mov", decoding=DecodeOptions(start=F(1, 3)))
    moved, original = only(done.target, "audio").times, only(source, "audio").times
    assert moved[0] == next(time for time in original if time >= F(1, 3)) - F(1, 3)


def test_info_describes_the_part(tmp_path):
    source = CLIP.write(tmp_path / "source.mp4")
    with VideoDecoder(source, DecodeOptions(start=F(1, 2), end=F(1))) as decoder:
        assert decoder.info.duration_seconds == pytest.approx(0.5)
        assert decoder.info.frame_count == 12
    with VideoDecoder(source, DecodeOptions(start=F(1, 2), end=F(100))) as decoder:
        assert decoder.info.duration_seconds == pytest.approx(1.5)


def test_a_start_after_the_end_is_refused_and_leaves_nothing(tmp_path, toon):
    source = CLIP.write(tmp_path / "source.mp4")
    with pytest.raises(TargetError, match="has no frames there"):
        toon(source, decoding=DecodeOptions(start=F(100)))
    assert list(tmp_path.iterdir()) == [source]


@pytest.mark.parametrize(
    ("bad", "expected"),
    [
        ({"start": F(-1)}, "start is 0 or more"),
        ({"end": F(0)}, "end is after the start"),
        ({"start": F(2), "end": F(1)}, "end is after the start"),
        ({"size": 0}, "size is a short side"),
        ({"size": (5,)}, "size is a short side"),
        ({"size": (320, 180, 3)}, "size is a short side"),
        ({"decode": "gpu"}, "decode is one of auto, software, nvdec, not 'gpu'"),
    ],
)
def test_impossible_options_are_refused(bad, expected):
    with pytest.raises(ValueError, match=expected):
        DecodeOptions(**bad)


def test_a_size_may_be_made_of_integers_of_numpy():
    half = np.array([64, 48]) // 2
    options = DecodeOptions(size=(half[0], half[1]))
    assert fitted(64, 48, options) == (32, 24)
    assert fitted(64, 48, DecodeOptions(size=half[1])) == (32, 24)
    # As JSON they are the ordinary ones, in the names of compiled models for instance.
    assert json.dumps([options.size, DecodeOptions(size=half[1]).size]) == "[[32, 24], 24]"
    assert repr(options) == repr(DecodeOptions(size=(32, 24)))


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_segments_have_a_length(seconds):
    with pytest.raises(ValueError, match="segment_seconds is above 0"):
        ConvertOptions(segment_seconds=seconds)


def test_chapters_without_a_length_are_kept_where_they_lie_inside():
    points = [
        {"id": n, "start": n * 1000, "end": n * 1000, "time_base": F(1, 1000), "metadata": {}}
        for n in range(4)
    ]
    every = TimeRange(None, None).trim_chapters(points, F(0))
    assert [(c["start"], c["end"]) for c in every] == [(n * 1000, n * 1000) for n in range(4)]
    part = TimeRange(F(1), F(3)).trim_chapters(points, F(0))
    assert [(c["id"], c["start"], c["end"]) for c in part] == [(1, 0, 0), (2, 1000, 1000)]
