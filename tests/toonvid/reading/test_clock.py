"""Times of every kind of source become one clock that begins at 0 and rises; nothing is lost."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path

import av
import pytest
from av.video.frame import PictureType
from support.clips import Clip, Tone, decoded, decoded_audio, frame_times, moving_frames, only

from toonvid.errors import SourceError
from toonvid.reading.decoder import VideoDecoder
from toonvid.reading.options import DecodeOptions

F = Fraction
FRAME = F(1, 25)
B_FRAMES = {"bf": "2", "b_strategy": "0", "g": "12", "crf": "10"}  # x264 makes none if lossless
LONG_GOP = Clip(moving_frames(50), options=B_FRAMES, audio=(Tone("mp2", F(2)),))
MPEG2 = Clip(
    moving_frames(50),
    codec="mpeg2video",
    options={"bf": "2", "g": "12", "b": "2000k"},
    audio=(Tone("mp2", F(2)),),
)
WRAP_SECONDS = F(2**33, 90000)  # of the 33 bits of MPEG's times


def offset(clip: Clip, seconds: Fraction | int, container: str | None = None) -> Clip:
    """The same clip, its clock that much later."""
    muxing = {**clip.muxing, "output_ts_offset": f"{float(seconds):.6f}"}
    return Clip(**{**clip.__dict__, "muxing": muxing, "container": container or clip.container})


def joined(target: Path, *parts: Path) -> Path:
    """A file made of others, end to end, as recorders and `cat` make them."""
    target.write_bytes(b"".join(part.read_bytes() for part in parts))
    return target


def levels(path: Path | str) -> list[float]:
    """The brightness of each frame, which rises in our clips."""
    return [float(frame.mean()) for frame in decoded(path)]


def assert_whole(done, frames: int, restarts: int = 0) -> None:
    """Every frame is there, in order, at an even pace from 0, but for a gap at each restart."""
    times = frame_times(done.target)
    assert done.damage is None
    assert done.frames == len(times) == frames
    assert times[0] <= F(1, 4)
    steps = [later - earlier for earlier, later in itertools.pairwise(times)]
    uneven = [step for step in steps if abs(step - FRAME) > F(1, 500)]
    assert len(uneven) <= restarts
    assert all(0 < step < F(1, 2) for step in steps)


def assert_all_audio(done, sources: list[Path]) -> None:
    """Every audio packet is there, and audio lies as far from the video as in the sources."""
    sound = only(done.target, "audio")
    assert len(sound.content) == sum(len(only(source, "audio").content) for source in sources)
    times = [time for time in sound.times if time is not None]
    assert times == sorted(times)
    assert times[-1] == pytest.approx(float(frame_times(done.target)[-1]), abs=0.15)


# Frames that come out of order, or without times.


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
@pytest.mark.parametrize("part", [None, DecodeOptions(start=F(4, 5), end=F(8, 5))])
def test_avi_with_b_frames_keeps_every_frame_in_order(codec, part, tmp_path, toon):
    source = Clip(moving_frames(50), codec=codec, options=B_FRAMES).write(tmp_path / "source.avi")
    with av.open(str(source)) as container:
        assert PictureType.B in [frame.pict_type for frame in container.decode(video=0)]
    done = toon(source, "target.mp4", decoding=part)
    assert_whole(done, frames=50 if part is None else 20)
    assert done.notices == ()
    # Coding costs up to half a level; from frame to frame it is three.
    assert all(later > earlier - 1 for earlier, later in itertools.pairwise(levels(done.target)))


@pytest.mark.parametrize(("codec", "container"), [("libx264", "h264"), ("libx265", "hevc")])
def test_a_raw_stream_begins_at_the_start_that_was_asked_for(codec, container, tmp_path, toon):
    clip = Clip(moving_frames(50), codec=codec, options={"bf": "2", "g": "10"}, container=container)
    source = clip.write(tmp_path / f"source.{container}")
    assert_whole(toon(source, "whole.mp4"), frames=50)
    done = toon(source, "part.mp4", decoding=DecodeOptions(start=F(1), end=F(8, 5)))
    assert_whole(done, frames=15)
    assert levels(done.target)[0] == pytest.approx(levels(source)[25], abs=1.5)


# Clocks that begin late, wrap, or start again.


@pytest.mark.parametrize(
    ("name", "clip"),
    [
        ("source.ts", offset(LONG_GOP, 40000)),
        ("source.mpg", offset(MPEG2, 40000, "vob")),
        ("source.mkv", offset(Clip(moving_frames(50), audio=(Tone("libopus", F(2)),)), 40000)),
        ("source.mp4", offset(Clip(moving_frames(50), audio=(Tone(seconds=F(2)),)), 40000)),
        ("source.flv", offset(Clip(moving_frames(50), audio=(Tone(seconds=F(2)),)), 4000)),
        ("source.ts", offset(LONG_GOP, WRAP_SECONDS - 1)),
        ("source.mpg", offset(MPEG2, WRAP_SECONDS - 1, "vob")),
    ],
    ids=["ts", "vob", "mkv", "mp4", "flv", "ts-wrap", "vob-wrap"],
)
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_late_or_wrapping_clock_begins_at_0(name, clip, suffix, tmp_path, toon):
    source = clip.write(tmp_path / name)
    done = toon(source, f"target.{suffix}")
    assert_whole(done, frames=50)
    assert_all_audio(done, [source])
    # In a transport stream, the clock of the video needs no start of its own.
    assert min(only(done.target, "audio").times) < F(1, 4)


def test_a_part_of_a_source_with_a_late_clock_is_the_part_from_its_beginning(tmp_path, toon):
    source = offset(LONG_GOP, 40000).write(tmp_path / "source.ts")
    done = toon(source, decoding=DecodeOptions(start=F(1), end=F(9, 5)))
    assert_whole(done, frames=21, restarts=1)  # the one on screen at the start begins there
    assert levels(done.target)[0] == pytest.approx(levels(source)[24], abs=1.5)


CUT = {"ts": (LONG_GOP, None), "mpg": (MPEG2, "vob")}


@pytest.fixture(params=CUT)
def cut_together(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, list[Path]]:
    """Three recordings in one file: the second clock begins anew, the third far ahead."""
    clip, container = CUT[request.param]
    parts = [
        offset(clip, later, container).write(tmp_path / f"{later}.{request.param}")
        for later in (0, 1, 5000)
    ]
    return joined(tmp_path / f"source.{request.param}", parts[0], parts[1], parts[2]), parts


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_clock_that_starts_again_or_jumps_is_continued(suffix, cut_together, tmp_path, toon):
    source, parts = cut_together
    done = toon(source, f"target.{suffix}")
    assert_whole(done, frames=150, restarts=2)
    assert_all_audio(done, parts)
    assert frame_times(done.target)[-1] == pytest.approx(6, abs=0.3)


def test_a_part_that_crosses_a_restart_begins_and_ends_where_it_was_asked(
    cut_together, tmp_path, toon
):
    source, _ = cut_together
    whole = toon(source, "whole.mp4")
    part = DecodeOptions(start=F(3, 2), end=F(5))
    done = toon(source, "part.mp4", decoding=part)
    assert done.damage is None
    inside = [
        (float(time - part.start), level)
        for time, level in zip(frame_times(whole.target), levels(whole.target), strict=True)
        if part.start <= time < part.end
    ]
    found = [
        (float(t), level)
        for t, level in zip(frame_times(done.target), levels(done.target), strict=True)
    ]
    assert len(found) - len(inside) in (0, 1)  # a frame may be on screen at the start
    for (time, level), (expected_time, expected) in zip(found[-len(inside) :], inside, strict=True):
        assert time == pytest.approx(expected_time, abs=0.002)
        assert level == pytest.approx(expected, abs=1.5)


def test_an_audio_clock_that_jumps_alone_is_continued(tmp_path, toon):
    source = tmp_path / "source.ts"
    clip = LONG_GOP.write(tmp_path / "good.ts")
    with av.open(str(clip)) as good, av.open(str(source), "w") as target:
        copies = [target.add_stream_from_template(s, opaque=True) for s in good.streams]
        for packet in [packet for packet in good.demux() if packet.size]:
            if packet.stream.type == "audio" and packet.pts * packet.time_base > F(12, 5):
                packet.pts, packet.dts = packet.pts + 900000, packet.dts + 900000  # ten seconds
                packet.pts, packet.dts = packet.pts + 900000, packet.dts + 900000
            packet.stream = copies[packet.stream_index]
            target.mux(packet)
    done = toon(source)
    assert_whole(done, frames=50)
    assert_all_audio(done, [source])


def test_a_pause_of_all_streams_is_kept_where_the_format_has_one_clock(tmp_path, toon):
    pts = [*range(10), *range(1000, 1010)]  # a time lapse, say
    source = Clip(moving_frames(20), pts=pts).write(tmp_path / "source.mkv")
    assert frame_times(toon(source).target) == [F(time, 25) for time in pts]


def test_a_video_of_one_frame_in_15_seconds_stays_beside_its_audio(tmp_path, toon):
    clip = Clip(
        moving_frames(4), pts=(0, 15, 30, 45), time_base=F(1), rate=F(1), options={"bf": "0"},
        audio=(Tone("mp2", F(50)),),
    )  # fmt: skip
    source = clip.write(tmp_path / "source.ts")
    done = toon(source)
    times, sound = frame_times(done.target), only(done.target, "audio").times
    assert [round(time) for time in times] == [0, 15, 30, 45]
    assert (round(sound[0]), round(sound[-1])) == (0, 50)
    part = toon(source, "part.mp4", decoding=DecodeOptions(start=F(2), end=F(4)))
    assert frame_times(part.target) == [0]  # the frame that is on screen there


def test_a_file_of_jpegs_in_a_row_is_a_video(tmp_path, toon):
    clip = Clip(moving_frames(5), codec="mjpeg", pix_fmt="yuvj420p", container="mjpeg")
    assert toon(clip.write(tmp_path / "source.mjpeg")).frames == 5


# A video that begins behind its audio.


LATE_SECONDS = {"known from the header": 4, "not known before it is read": 8}


@pytest.fixture(params=LATE_SECONDS)
def late_video(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, int]:
    """A video with audio from 0, and the second at which its first frame is shown."""
    late = LATE_SECONDS[request.param]
    times = range(25 * late, 25 * late + 25)
    clip = Clip(moving_frames(25), pts=times, audio=(Tone("libopus", F(late + 2)),))
    return clip.write(tmp_path / "source.mkv"), late


def test_audio_before_the_first_frame_is_kept_behind_a_start(late_video, toon):
    source, late = late_video
    done = toon(source, "target.mkv", decoding=DecodeOptions(start=F(1)))
    assert frame_times(done.target)[0] == pytest.approx(late - 1, abs=0.01)
    sound = [time for time in only(done.target, "audio").times if time is not None]
    assert sound[0] == pytest.approx(0, abs=0.03)
    assert max(b - a for a, b in itertools.pairwise(sound)) < F(1, 20)


def test_an_end_before_the_first_frame_is_one_clear_line(late_video):
    source, late = late_video
    with (
        pytest.raises(SourceError, match=rf"before 2\.0 seconds: its video begins at {late}\.0"),
        VideoDecoder(source, DecodeOptions(end=F(2)), with_auxiliary=True),
    ):
        pass


def test_a_clock_that_begins_below_0_begins_at_0_with_all_its_audio(tmp_path, toon):
    tone = Tone(seconds=F(1))
    whole = Clip(moving_frames(25), audio=(tone,)).write(tmp_path / "whole.mkv")
    source = tmp_path / "below.mkv"
    unshifted = {"avoid_negative_ts": "disabled"}
    with av.open(str(whole)) as clip, av.open(str(source), "w", options=unshifted) as below:
        streams = {s.index: below.add_stream_from_template(s) for s in clip.streams}
        for packet in clip.demux():
            if packet.dts is None:
                continue
            packet.stream = streams[packet.stream_index]
            packet.pts -= 300  # milliseconds
            packet.dts -= 300
            below.mux(packet)
    done = toon(source)
    times = frame_times(done.target)
    # The audio begins with its priming, by which frames below 0, which have no time, are early.
    assert times[0] == 0 and len(times) == 25
    assert all(F(39, 1000) < b - a < F(65, 1000) for a, b in itertools.pairwise(times))
    assert not any("right behind" in notice for notice in done.notices)
    assert decoded_audio(done.target)[0] == pytest.approx(0, abs=0.03)
    lengths = [len(decoded_audio(path)[1]) for path in (whole, done.target)]
    assert lengths[1] >= lengths[0] - 2048
