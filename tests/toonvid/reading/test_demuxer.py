"""Damaged sources: everything readable is converted and the damage reported. Intact sources are
never reported as damaged.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from fractions import Fraction

import av
import pytest
from av.container import InputContainer
from support.clips import Clip, Subtitles, Tone, frame_times, moving_frames, only

from toonvid.errors import SourceError
from toonvid.reading.demuxer import Demuxer
from toonvid.reading.options import DecodeOptions
from toonvid.reading.trim import TimeRange

F = Fraction
LONG = Clip(
    moving_frames(100),
    options={"g": "10"},
    audio=(Tone(seconds=F(4)),),
    muxing={"movflags": "faststart"},
)


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "avi"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.97])
def test_a_truncated_file_gives_its_readable_frames_and_is_reported(suffix, share, tmp_path, toon):
    video = LONG
    if suffix == "avi":
        video = Clip(moving_frames(100), codec="mjpeg", pix_fmt="yuvj420p")
    source = video.write(tmp_path / f"source.{suffix}")
    times = frame_times(source)
    whole = source.read_bytes()
    source.write_bytes(whole[: int(len(whole) * share)])
    done = toon(source)
    assert 0 < done.frames < len(times) if share < 0.9 else done.frames <= len(times)
    assert done.frames >= len(times) * share * 0.5
    assert frame_times(done.target) == times[: done.frames]
    if share < 0.9:
        assert done.damage is not None and "\n" not in done.damage
        assert "it ends after" in done.damage or "damaged packet" in done.damage


def test_truncated_video_under_whole_audio_is_reported(tmp_path, toon):
    video = Clip(moving_frames(100), audio=(Tone(seconds=F(4)),), video_last=True)
    source = video.write(tmp_path / "source.mkv")
    faststart = Clip(
        video.frames, audio=video.audio, video_last=True, muxing={"movflags": "faststart"}
    ).write(tmp_path / "source.mp4")
    whole = faststart.read_bytes()
    faststart.write_bytes(whole[: int(len(whole) * 0.6)])
    done = toon(faststart)
    assert done.damage is not None
    assert 0 < done.frames < 100
    assert toon(source, "whole.mp4").damage is None


@pytest.mark.parametrize(("suffix", "size"), [("ts", 3000), ("mkv", 600), ("mp4", 600)])
def test_garbage_in_the_middle_costs_only_the_frames_it_covers(suffix, size, tmp_path, toon):
    source = LONG.write(tmp_path / f"source.{suffix}")
    times = frame_times(source)
    data = bytearray(source.read_bytes())
    middle = len(data) // 2
    data[middle : middle + size] = random.Random(3).randbytes(size)
    source.write_bytes(data)
    done = toon(source)
    if suffix != "mkv":  # FFmpeg resynchronizes in Matroska without an error
        assert done.damage is not None
    assert 60 <= done.frames <= 100
    found = frame_times(done.target)
    assert set(found) <= set(times)
    assert found[-1] >= times[-2]


def test_several_spots_of_garbage_do_not_end_the_frames(tmp_path, toon):
    source = LONG.write(tmp_path / "source.mkv")
    times = frame_times(source)
    data = bytearray(source.read_bytes())
    for share in (0.2, 0.4, 0.5, 0.6, 0.8):
        middle = int(len(data) * share)
        data[middle : middle + 300] = random.Random(middle).randbytes(300)
    source.write_bytes(data)
    assert frame_times(toon(source).target)[-1] >= times[-10]


class FailingContainer:
    """A container that raises an error before each of its packets."""

    def __init__(self, container: InputContainer, errors: int) -> None:
        self.container, self.errors = container, errors
        self.name, self.format, self.duration = "stumbling", container.format, None
        self.packets = (packet for packet in container.demux(video=0) if packet.size)

    def demux(self, streams) -> Iterator[av.Packet]:
        for _ in range(self.errors):
            self.errors -= 1
            raise av.error.InvalidDataError(1, "damaged")
        for packet in self.packets:
            yield packet
            self.errors = 1
            raise av.error.InvalidDataError(1, "damaged")


def test_reading_continues_after_every_error_while_packets_come(tmp_path):
    with av.open(str(Clip(moving_frames(30)).write(tmp_path / "source.mp4"))) as container:
        demuxer = Demuxer(
            FailingContainer(container, 1), container.streams.video[0], (), TimeRange()
        )
        assert len(list(demuxer.packets())) == 30
        assert demuxer.damage() == f"{demuxer.lost_packets} damaged packets"


def test_a_source_that_only_fails_is_given_up(tmp_path):
    with av.open(str(Clip().write(tmp_path / "source.mp4"))) as container:
        demuxer = Demuxer(
            FailingContainer(container, 10**9), container.streams.video[0], (), TimeRange()
        )
        assert list(demuxer.packets()) == []
        assert demuxer.lost_packets < 100


def test_a_header_without_frames_is_refused(tmp_path, toon):
    source = LONG.write(tmp_path / "source.mp4")
    data = source.read_bytes()
    source.write_bytes(data[: data.index(b"mdat") + 4])
    with pytest.raises(SourceError, match="no frame of it can be decoded"):
        toon(source)
    assert [path.name for path in tmp_path.iterdir()] == ["source.mp4"]


WHOLE = {
    "plain": ("mp4", Clip(moving_frames(30), audio=(Tone(seconds=F(6, 5)),))),
    "variable": ("mp4", Clip(pts=(0, 1, 5, 6, 300, 3000), time_base=F(1, 90))),
    "long-last-frame": ("mkv", Clip(pts=(0, 1, 5, 6, 300, 3000), time_base=F(1, 90))),
    "long-sound": ("mp4", Clip(audio=(Tone(seconds=F(5)),))),
    "long-sound-mkv": ("mkv", Clip(audio=(Tone("libopus", seconds=F(5)),))),
    "short-sound": ("mp4", Clip(moving_frames(75), audio=(Tone(seconds=F(1, 10)),))),
    "late": ("mp4", Clip(pts=range(100, 106), audio=(Tone(start=F(1)),))),
    "late-mkv": ("mkv", Clip(pts=range(100, 106), audio=(Tone("libopus", start=F(1)),))),
    "text-behind-the-video": (
        "mkv",
        Clip(subtitles=(Subtitles("srt", ((F(0), F(1), "a"), (F(8), F(1), "b"))),)),
    ),
    "b-frames": (
        "mp4",
        Clip(moving_frames(30), options={"bf": "3", "b_strategy": "0"}, audio=(Tone(),)),
    ),
    # The last packet in decoding order is not the last one that is shown.
    "one-frame-a-second": (
        "mp4",
        Clip(
            moving_frames(14),
            time_base=F(1),
            rate=F(1),
            codec="mpeg4",
            options={"bf": "3", "g": "50"},
        ),
    ),
    "variable-b-frames": (
        "mkv",
        Clip(
            moving_frames(14),
            pts=[n**3 for n in range(14)],
            codec="mpeg4",
            options={"bf": "3", "g": "50"},
        ),
    ),
    "avi-late-sound": (
        "avi",
        Clip(moving_frames(50), codec="mpeg4", audio=(Tone("libmp3lame", F(2), start=F(2)),)),
    ),
    "fragmented": (
        "mp4",
        Clip(moving_frames(60), audio=(Tone(),), muxing={"movflags": "frag_keyframe"}),
    ),
    "transport": ("ts", Clip(moving_frames(60), audio=(Tone("mp2"),))),
    "gif": ("gif", Clip(codec="gif", pix_fmt="rgb8", time_base=F(1, 100), pts=range(0, 60, 10))),
    "webm": ("webm", Clip(codec="libvpx-vp9", audio=(Tone("libopus", seconds=F(3)),))),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_an_intact_video_is_never_reported_as_damaged(kind, tmp_path, toon):
    suffix, video = WHOLE[kind]
    source = video.write(tmp_path / f"source.{suffix}")
    for number, part in enumerate(
        (None, DecodeOptions(start=F(1, 10)), DecodeOptions(end=F(1, 5)))
    ):
        if part and part.end and kind.startswith("late"):
            continue
        done = toon(source, f"{number}.mp4", decoding=part)
        assert done.damage is None, part


def test_an_edit_list_is_not_damage(tmp_path, toon):
    """An edit list hides frames at the end of the video; they exist and are not shown."""
    source = LONG.write(tmp_path / "source.mp4")
    data = bytearray(source.read_bytes())
    at = data.index(b"elst")  # version and flags, count, then duration, media time, rate
    duration = int.from_bytes(data[at + 12 : at + 16], "big")
    data[at + 12 : at + 16] = (duration // 4).to_bytes(4, "big")
    source.write_bytes(data)
    assert len(frame_times(source)) < 40
    done = toon(source)
    assert frame_times(done.target) == frame_times(source)
    assert done.damage is None


def test_truncated_audio_is_copied_as_far_as_it_goes(tmp_path, toon):
    source = LONG.write(tmp_path / "source.mp4")
    original = only(source, "audio").content
    whole = source.read_bytes()
    source.write_bytes(whole[: len(whole) // 2])
    found = only(toon(source).target, "audio").content
    assert 10 < len(found) < len(original)
    assert found[:-1] == original[: len(found) - 1]
