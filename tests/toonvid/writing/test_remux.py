"""Auxiliary streams in the target: audio, subtitles, chapters, tags, covers, attachments, data."""

from __future__ import annotations

from fractions import Fraction

import av
import pytest
from av.stream import Disposition
from support.clips import (
    Clip,
    Subtitles,
    Tone,
    chapters,
    decoded_audio,
    flat_frame,
    frame_times,
    image_file,
    metadata,
    moving_frames,
    only,
    streams,
    video_end,
)

from toonvid.reading.options import DecodeOptions
from toonvid.writing import remux
from toonvid.writing.options import EncodeOptions

F = Fraction
ENGLISH, GERMAN, FRENCH = ({"language": code} for code in ("eng", "deu", "fra"))
FORCED = int(Disposition.forced)


def kinds(path) -> list[tuple[str, str]]:
    return sorted((s.kind, s.codec) for s in streams(path))


def of_kind(path, kind):
    return [s for s in streams(path) if s.kind == kind and not s.is_cover]


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [
        ("mp4", "aac"),
        ("mp4", "ac3"),
        ("mp4", "libmp3lame"),
        ("mp4", "libopus"),
        ("mov", "pcm_s16le"),
        ("mov", "alac"),
        ("mkv", "aac"),
        ("mkv", "flac"),
        ("mkv", "libopus"),
        ("mkv", "pcm_s24le"),
        ("webm", "libopus"),
        ("ts", "mp2"),
        ("ts", "aac"),
    ],
)
def test_audio_packets_come_through_byte_for_byte_at_their_times(suffix, codec, tmp_path, toon):
    video = "libvpx-vp9" if suffix == "webm" else "libx264"
    clip = Clip(codec=video, audio=(Tone(codec), Tone(codec, start=F(1, 10), frequency=880)))
    source = clip.write(tmp_path / f"source.{suffix}")
    done = toon(source, f"target.{suffix}")
    found, expected = of_kind(done.target, "audio"), of_kind(source, "audio")
    assert [s.content for s in found] == [s.content for s in expected]
    assert [s.times for s in found] == [s.times for s in expected]
    assert [s.codec for s in found] == [s.codec for s in expected]
    assert done.notices == ()


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_two_audio_streams_keep_language_title_and_disposition(suffix, tmp_path, toon):
    comment = int(Disposition.comment)
    source = Clip(
        audio=(
            Tone(metadata=ENGLISH),
            Tone(frequency=880, metadata=GERMAN, disposition=comment),
        ),
    ).write(tmp_path / f"source.{suffix}")
    found = of_kind(toon(source, f"target.{suffix}").target, "audio")
    assert [s.language for s in found] == ["eng", "deu"]
    assert [s.disposition for s in found] == [int(Disposition.default), comment]


def test_audio_keeps_its_times_to_the_millisecond_in_another_container(tmp_path, toon):
    source = Clip(audio=(Tone(),)).write(tmp_path / "source.mp4")
    found, expected = only(toon(source, "target.mkv").target, "audio"), only(source, "audio")
    assert found.content == expected.content
    assert all(abs(a - b) <= F(1, 1000) for a, b in zip(found.times, expected.times, strict=True))


@pytest.mark.parametrize(
    ("source_suffix", "codec", "target_suffix", "expected"),
    [
        ("mkv", "pcm_s16le", "mp4", "aac"),
        ("mkv", "libopus", "mov", "aac"),
        ("mkv", "flac", "mov", "aac"),
        ("mkv", "vorbis", "mp4", "aac"),
        ("mp4", "aac", "webm", "opus"),
        ("mkv", "pcm_s16le", "ts", "aac"),
        ("mkv", "flac", "ts", "aac"),
    ],
)
@pytest.mark.parametrize("start", [F(0), F(1, 5)])
def test_audio_that_does_not_fit_is_converted_with_a_notice(
    source_suffix, codec, target_suffix, expected, start, tmp_path, toon
):
    clip = Clip(moving_frames(20), audio=(Tone(codec, F(1, 2), start=start, metadata=ENGLISH),))
    source = clip.write(tmp_path / f"source.{source_suffix}")
    done = toon(source, f"target.{target_suffix}")
    found = only(done.target, "audio")
    assert found.codec == expected
    assert found.language == "eng"
    (notice,) = done.notices
    assert f"is converted to {expected}" in notice and codec.removeprefix("lib") in notice
    began, wave = decoded_audio(done.target)
    _, original = decoded_audio(source)
    assert began + first_loud(wave) == pytest.approx(float(start), abs=0.03)
    assert 0 <= len(wave) - len(original) <= 3 * 1024  # whole, and filled up to a whole packet
    if target_suffix != "ts":  # which begins where its audio encoder does
        assert frame_times(done.target) == pytest.approx(frame_times(source), abs=0.001)


def first_loud(wave) -> float:
    """Return when the tone begins, in seconds."""
    return int((abs(wave) > 0.1).argmax()) / 48000


def test_surround_audio_stays_surround_when_converted(tmp_path, toon):
    source = Clip(audio=(Tone("pcm_s16le", layout="5.1"),)).write(tmp_path / "source.mkv")
    with av.open(toon(source).target) as target:
        assert target.streams.audio[0].layout.name == "5.1"


def test_audio_at_a_rate_that_opus_lacks_is_resampled(tmp_path, toon):
    clip = Clip(moving_frames(20), audio=(Tone("aac", F(1, 2), rate=44100),))
    done = toon(clip.write(tmp_path / "source.mp4"), "target.webm")
    _, wave = decoded_audio(done.target)
    assert len(wave) / 48000 == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize(
    ("source_suffix", "codec", "target_suffix", "expected"),
    [("mp4", "mov_text", "mp4", "mov_text"), ("mkv", "srt", "mkv", "subrip")],
)
def test_subtitles_are_copied_where_they_fit(
    source_suffix, codec, target_suffix, expected, tmp_path, toon
):
    clip = Clip(subtitles=(Subtitles(codec, metadata=GERMAN, disposition=FORCED),))
    source = clip.write(tmp_path / f"source.{source_suffix}")
    done = toon(source, f"target.{target_suffix}")
    found, original = only(done.target, "subtitle"), only(source, "subtitle")
    assert found.codec == expected
    assert found.language == "deu"
    assert found.disposition == original.disposition
    assert found.disposition & FORCED
    assert (found.times, found.durations) == (original.times, original.durations)
    assert found.content == original.content
    assert done.notices == ()


@pytest.mark.parametrize(
    ("source_suffix", "codec", "target_suffix", "expected"),
    [
        ("mkv", "srt", "mp4", "mov_text"),
        ("mkv", "srt", "mov", "mov_text"),
        ("mp4", "mov_text", "mkv", "subrip"),
        ("mkv", "ass", "mp4", "mov_text"),
        ("mkv", "webvtt", "mp4", "mov_text"),
        ("mkv", "srt", "webm", "webvtt"),
    ],
)
def test_subtitles_that_do_not_fit_are_converted_with_a_notice(
    source_suffix, codec, target_suffix, expected, tmp_path, toon
):
    clip = Clip(subtitles=(Subtitles(codec, metadata=FRENCH),))
    source = clip.write(tmp_path / f"source.{source_suffix}")
    done = toon(source, f"target.{target_suffix}")
    found = only(done.target, "subtitle")
    assert found.codec == expected
    assert found.language == "fra"
    assert any(f"is converted to {expected}" in notice for notice in done.notices)
    assert texts(found) == {(F(0), F(1, 20)): "Hello", (F(1, 10), F(1, 20)): "Grüße"}


def texts(stream) -> dict[tuple[Fraction, Fraction], str]:
    """Return (time, duration) -> words, without the empty texts that fill gaps in MP4."""
    skipped = 2 if stream.codec == "mov_text" else 0
    lines = zip(stream.times, stream.durations, stream.content, strict=True)
    return {(t, d): c[skipped:].decode() for t, d, c in lines if len(c) > skipped}


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv"])
def test_chapters_and_tags_survive(suffix, tmp_path, toon):
    source = Clip(
        chapters=((0, 100, "One"), (100, 240, "Two")),
        metadata={"title": "A video", "artist": "Somebody", "comment": "Rain"},
        video_metadata={"language": "fra"},
    ).write(tmp_path / f"source.{suffix}")
    done = toon(source, f"target.{suffix}")
    expected = [(F(0), F(1, 10), "One"), (F(1, 10), F(6, 25), "Two")]
    assert chapters(done.target) == expected
    assert {"title": "A video", "artist": "Somebody", "comment": "Rain"}.items() <= metadata(
        done.target
    ).items()
    assert only(done.target, "video").language == "fra"
    assert done.notices == ()


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv"])
def test_a_timecode_stream_is_kept_as_a_tag_without_a_notice(suffix, tmp_path, toon):
    code = {"timecode": "01:00:00:00"}
    source = Clip(video_metadata=code).write(tmp_path / "source.mov")
    assert "data" in [s.kind for s in streams(source)]
    done = toon(source, f"target.{suffix}")
    assert done.notices == ()
    tags = metadata(done.target) | only(done.target, "video").metadata
    assert code["timecode"] in tags.values()


def test_chapters_cross_containers(tmp_path, toon):
    clip = Clip(chapters=((0, 100, "One"), (100, 240, "Two")))
    source = clip.write(tmp_path / "source.mp4")
    matroska = toon(source, "target.mkv")
    assert chapters(toon(matroska.target, "back.mp4").target) == chapters(source)


def test_tags_of_a_camera_survive(tmp_path, toon):
    tags = {"com.apple.quicktime.make": "Apple", "com.apple.quicktime.model": "iPhone 6"}
    clip = Clip(metadata=tags, muxing={"movflags": "use_metadata_tags"})
    source = clip.write(tmp_path / "source.mov")
    assert tags.items() <= metadata(source).items()
    for name in ("target.mp4", "target.mov"):
        assert tags.items() <= metadata(toon(source, name).target).items()


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize("target_suffix", ["mp4", "mkv"])
def test_cover_image_stays_a_cover(suffix, target_suffix, tmp_path, toon):
    cover = image_file(flat_frame((200, 10, 10), (16, 16)), "png")
    source = Clip(audio=(Tone(),), cover=cover).write(tmp_path / f"source.{suffix}")
    done = toon(source, f"target.{target_suffix}")
    (found,) = (s for s in streams(done.target) if s.is_cover)
    assert found.content == (cover,)
    assert done.frames == 6
    assert done.notices == ()


def test_cover_image_survives_a_trim(tmp_path, toon):
    cover = image_file(flat_frame((200, 10, 10), (16, 16)), "png")
    source = Clip(moving_frames(25), cover=cover).write(tmp_path / "source.mp4")
    done = toon(source, decoding=DecodeOptions(start=F(1, 2)))
    (found,) = (s for s in streams(done.target) if s.is_cover)
    assert found.content == (cover,)


def test_attachment_survives_in_matroska(tmp_path, toon):
    source = Clip(attachment=b"the bytes of a font").write(tmp_path / "source.mkv")
    done = toon(source, "target.mkv")
    found = only(done.target, "attachment")
    assert found.content == (b"the bytes of a font",)
    assert found.metadata["filename"] == "font.ttf"
    assert found.metadata["mimetype"] == "font/ttf"
    assert done.notices == ()


def test_attachment_does_not_fit_mp4_and_is_named(tmp_path, toon):
    source = Clip(attachment=b"the bytes of a font").write(tmp_path / "source.mkv")
    (notice,) = toon(source).notices
    assert "attachment stream 1" in notice and "mp4" in notice and "left out" in notice


def test_data_stream_is_copied_where_it_fits(tmp_path, toon):
    data = ((F(0), b"first"), (F(1, 10), b"second"))
    source = Clip(data=data).write(tmp_path / "source.ts")
    done = toon(source, "target.ts")
    assert only(done.target, "data").content == (b"first", b"second")
    assert only(done.target, "data").times == only(source, "data").times


def test_data_stream_that_does_not_fit_is_named(tmp_path, toon):
    source = Clip(data=((F(0), b"first"),)).write(tmp_path / "source.ts")
    (notice,) = toon(source).notices
    assert notice == "data stream 1 (klv) does not fit mp4 and is left out"


def test_second_video_stream_is_left_out_and_named(tmp_path, toon):
    source = tmp_path / "source.mkv"
    with av.open(str(source), "w") as target:
        videos = [target.add_stream("libx264", rate=25) for _ in range(2)]
        for video, size in zip(videos, ((64, 48), (32, 24)), strict=True):
            video.width, video.height, video.pix_fmt = *size, "yuv420p"
        for video in videos:
            frame = av.VideoFrame.from_ndarray(flat_frame((9, 9, 9), (video.width, video.height)))
            target.mux([*video.encode(frame), *video.encode(None)])
    done = toon(source, "target.mkv")
    assert kinds(done.target) == [("video", "h264")]
    assert done.notices == ("video stream 1 (h264) is left out: one video stream is converted",)


def test_no_audio_and_no_subtitles_leave_them_out_quietly(tmp_path, toon):
    source = Clip(audio=(Tone(),), subtitles=(Subtitles(),)).write(tmp_path / "source.mp4")
    done = toon(source, "mute.mp4", encoding=EncodeOptions(audio=False))
    assert kinds(done.target) == [("subtitle", "mov_text"), ("video", "h264")]
    done = toon(source, "bare.mp4", encoding=EncodeOptions(audio=False, subtitles=False))
    assert kinds(done.target) == [("video", "h264")]
    assert done.notices == ()


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize("seconds", [F(1, 20), F(12)])
def test_audio_much_shorter_or_longer_than_its_video_is_complete(suffix, seconds, tmp_path, toon):
    clip = Clip(moving_frames(25), audio=(Tone(seconds=seconds, layout="mono"),))
    source = clip.write(tmp_path / f"source.{suffix}")
    done = toon(source, f"target.{suffix}")
    assert only(done.target, "audio").content == only(source, "audio").content
    assert only(done.target, "audio").times == only(source, "audio").times
    assert frame_times(done.target) == frame_times(source)
    assert done.damage is None


@pytest.mark.parametrize("order", ["video_first", "video_last"])
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_badly_interleaved_source_loses_nothing(order, suffix, tmp_path, toon):
    clip = Clip(moving_frames(100), audio=(Tone(seconds=F(4)),), **{order: True})
    source = clip.write(tmp_path / f"source.{suffix}")
    done = toon(source, f"target.{suffix}")
    assert only(done.target, "audio").content == only(source, "audio").content
    assert frame_times(done.target) == frame_times(source)
    assert done.damage is None


def test_audio_behind_its_video_in_the_file_survives_an_end(tmp_path, toon):
    clip = Clip(moving_frames(200), audio=(Tone(seconds=F(8)),), video_first=True)
    source = clip.write(tmp_path / "source.mkv")
    done = toon(source, "target.mkv", decoding=DecodeOptions(end=F(1)))
    assert only(done.target, "audio").times[-1] == pytest.approx(1, abs=0.03)
    assert done.frames == 25


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_audio_packets_that_share_a_time_are_all_kept(suffix, tmp_path, toon):
    """TrueHD has 1200 packets a second, and Matroska's clock 1000 ticks."""
    source = tmp_path / "source.mkv"
    clip = Clip(audio=(Tone("libopus"),)).write(tmp_path / "good.mkv")
    with av.open(str(clip)) as good, av.open(str(source), "w") as target:
        copies = [target.add_stream_from_template(s, opaque=True) for s in good.streams]
        for packet in list(good.demux()):
            if packet.size:
                if packet.stream_index == 1 and packet.pts > 50:
                    packet.pts = packet.dts = 54
                packet.stream = copies[packet.stream_index]
                target.mux(packet)
    times = only(source, "audio").times
    assert len(set(times)) < len(times)
    done = toon(source, f"target.{suffix}")
    found = only(done.target, "audio")
    assert found.content == only(source, "audio").content
    if suffix == "mp4":  # which takes one packet at a time
        assert len(set(found.times)) == len(times)
    assert done.notices == ()


def test_converted_audio_of_an_uneven_clock_is_whole(tmp_path, toon):
    """WMV counts milliseconds; what the encoder holds back at the end then has no time."""
    clip = Clip(codec="wmv2", audio=(Tone("wmav2", seconds=F(2)),), container="asf")
    source = clip.write(tmp_path / "source.wmv")
    done = toon(source)
    assert done.notices == ("audio stream 1 (wmav2) is converted to aac",)
    wave, original = decoded_audio(done.target)[1], decoded_audio(source)[1]
    assert len(wave) >= len(original)


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "webm"])
def test_audio_that_an_edit_list_cuts_away_stays_cut(suffix, tmp_path, toon):
    clip = Clip(moving_frames(50), audio=(Tone(seconds=F(2)),))
    source = clip.write(tmp_path / "source.mp4")
    data = bytearray(source.read_bytes())
    at = data.rindex(b"elst")  # version and flags, count, then duration, media time, rate
    media_time = int.from_bytes(data[at + 16 : at + 20], "big")
    data[at + 16 : at + 20] = (media_time + 48000).to_bytes(4, "big")
    source.write_bytes(data)
    done = toon(source, f"target.{suffix}")
    found = only(done.target, "audio")
    whole = only(clip.write(tmp_path / "whole.mp4"), "audio").content
    assert found.times[0] == pytest.approx(0, abs=0.05)
    assert sum(found.durations) == pytest.approx(1, abs=0.06)
    if suffix != "webm":  # where it is converted
        assert whole.index(found.content[0]) >= 46  # one packet before the edit, for the decoder
        assert found.content == whole[whole.index(found.content[0]) :][: len(found.content)]
    assert done.damage is None


def test_a_subtitle_without_an_end_gets_one(tmp_path, toon):
    lines = ((F(1, 5), F(2**32, 1000), "a"), (F(2, 5), F(2**32, 1000), "b"))
    clip = Clip(moving_frames(25), subtitles=(Subtitles("srt", lines),))
    done = toon(clip.write(tmp_path / "source.mkv"))
    shown = {(F(1, 5), F(1, 5)): "a", (F(2, 5), F(3, 5)): "b"}  # to the end of the video
    assert texts(only(done.target, "subtitle")) == shown
    line = "2 subtitles without an end are shown until the next, at most 10 seconds"
    assert done.notices[0] == line


def test_subtitles_without_an_end_last_until_the_next_or_ten_seconds(tmp_path, toon):
    endless = F(2**32, 1000)
    lines = ((0, endless), (F(2), F(1)), (F(4), endless), (F(4), F(1, 2)), (F(16), endless))
    source = Clip(
        moving_frames(5),
        pts=range(0, 20, 4),
        time_base=F(1),
        rate=F(1, 4),
        audio=(Tone(seconds=F(20)),),
        subtitles=(Subtitles("srt", tuple((F(a), d, str(n)) for n, (a, d) in enumerate(lines))),),
    ).write(tmp_path / "source.mkv")
    found = only(toon(source, "target.mkv").target, "subtitle")
    assert texts(found) == {
        (F(0), F(2)): "0",
        (F(2), F(1)): "1",
        (F(4), F(10)): "2",
        (F(4), F(1, 2)): "3",
        (F(16), F(4)): "4",  # to the end of the video
    }


def test_a_subtitle_whose_end_is_not_stated_is_seen(tmp_path, toon):
    source = Clip(subtitles=(Subtitles("srt", ((F(1, 5), F(0), "a"),)),)).write(tmp_path / "s.mkv")
    assert texts(only(toon(source).target, "subtitle")) == {(F(1, 5), F(10)): "a"}


def test_subtitles_out_of_order_are_a_loss_where_they_are_more_than_a_handful(tmp_path, toon):
    lines = tuple((F(n, 10), F(1, 20), f"line {n}") for n in range(5, 35))
    source = Clip(subtitles=(Subtitles("srt", lines),)).write(tmp_path / "source.mkv")
    data = bytearray(source.read_bytes())
    for number in range(20, 32):  # the time in a block is relative to that of its cluster
        at = data.index(f"line {number}".encode()) - 3
        data[at : at + 2] = (number - 19).to_bytes(2, "big")
    source.write_bytes(data)
    done = toon(source, "target.mkv")
    assert done.left_out == "12 audio or subtitle packets out of order"
    assert len(only(done.target, "subtitle").content) == len(lines) - 12
    assert done.damage is None


# Closed captions, timecodes.

CAPTIONS = b"\xb5\x00\x31GA94\x03\x41\xff\xfc\x80\x80\xff"  # one pair of CEA-608, empty
CAPTION_PACKETS = {
    "libx264": b"\0\0\0\x01\x06\x04" + bytes([len(CAPTIONS)]) + CAPTIONS + b"\x80",
    "mpeg2video": b"\0\0\x01\xb2" + CAPTIONS[3:],
}


@pytest.mark.parametrize("codec", CAPTION_PACKETS)
@pytest.mark.parametrize("has_captions", [False, True])
def test_closed_captions_inside_the_video_are_named(codec, has_captions, tmp_path, toon):
    good = Clip(codec=codec, options={"bf": "0"}).write(tmp_path / "good.ts")
    source = tmp_path / "source.ts"
    with av.open(str(good)) as read, av.open(str(source), "w") as target:
        copy = target.add_stream_from_template(read.streams.video[0], opaque=True)
        for packet in [packet for packet in read.demux(video=0) if packet.size]:
            content = bytes(packet)
            if has_captions:
                # Before the slices of the frame: the last start code but for theirs.
                content = CAPTION_PACKETS[codec] + content if codec == "libx264" else content
                if codec == "mpeg2video":
                    at = content.index(b"\0\0\x01\x01")
                    content = content[:at] + CAPTION_PACKETS[codec] + content[at:]
            changed = av.Packet(content)
            changed.pts, changed.dts, changed.time_base = packet.pts, packet.dts, packet.time_base
            changed.is_keyframe, changed.stream = packet.is_keyframe, copy
            target.mux(changed)
    done = toon(source)
    assert done.frames == 6
    named = ("closed captions inside the video (CEA-608 or CEA-708) are left out",)
    assert done.notices == (named if has_captions else ())


@pytest.mark.parametrize("suffix", ["mp4", "mov"])
@pytest.mark.parametrize(
    ("rate", "timecode", "fits"),
    [(25, "01:02:03:04", True), (300, "01:02:03:04", False)],
)
@pytest.mark.parametrize("place", ["metadata", "video_metadata"])
def test_a_timecode_that_does_not_fit_is_left_out_by_name(
    suffix, rate, timecode, fits, place, tmp_path, toon
):
    tags = {place: {"timecode": timecode}}
    clip = Clip(rate=F(rate), time_base=F(1, rate), **tags)
    done = toon(clip.write(tmp_path / "source.mkv"), f"target.{suffix}")
    assert done.frames == 6
    if fits:
        assert done.notices == ()
        with av.open(done.target) as target:
            assert target.streams.video[0].metadata["timecode"] == timecode
    else:
        (notice,) = done.notices
        assert f"timecode {timecode} does not fit {suffix}" in notice


def test_target_ends_when_its_source_does(tmp_path, toon):
    source = Clip(audio=(Tone(),)).write(tmp_path / "source.mp4")
    done = toon(source)
    assert video_end(done.target) == video_end(source)
    with av.open(str(source)) as a, av.open(done.target) as b:
        assert a.duration == b.duration


def test_tags_of_the_source_file_alone_are_left_out(tmp_path, toon):
    source = Clip(metadata={"title": "A video", "encoder": "Old"}).write(tmp_path / "source.mkv")
    found = metadata(toon(source, "target.mkv").target)
    assert found["title"] == "A video"
    assert found["encoder"].startswith("Lavf")


def test_image_of_a_video_with_audio_holds_the_image_alone(tmp_path, toon):
    source = Clip(moving_frames(1), audio=(Tone(),)).write(tmp_path / "source.mp4")
    done = toon(source, "target.png")
    assert kinds(done.target) == [("video", "png")]


def test_a_thousand_tags_are_kept_and_a_note_says_how_many_there_were(tmp_path, toon):
    source = Clip(metadata={f"key{n}": "value" for n in range(1500)}).write(tmp_path / "a.mkv")
    done = toon(source, "target.mkv")
    assert any(f"1000 of {1500 + 1} metadata tags are kept" in n for n in done.notices)
    assert 990 <= len(metadata(done.target)) <= 1005


@pytest.mark.parametrize("unit", [F(1, 1000), F(1, 90000), F(1001, 30000), F(1)])
@pytest.mark.parametrize("tick", [F(1, 1000), F(1, 48000), F(1001, 24000)])
def test_times_are_rescaled_to_the_nearest_tick_halves_away_from_0(unit, tick):
    for time in (*range(-40, 40), 2**40 + 1, -(2**40) - 1):
        exact = abs(time) * unit / tick
        nearest = int(exact + F(1, 2))
        assert remux._rescaled(time, unit, tick) == (nearest if time >= 0 else -nearest)
