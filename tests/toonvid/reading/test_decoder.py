"""Any source becomes rotated frames of one size; unreadable sources are refused."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from support.clips import (
    Clip,
    Tone,
    decoded,
    first_frame,
    frame_times,
    image_file,
    moving_frames,
    only,
    with_exif,
)
from support.headers import add_to_matroska_video, element

from toonvid.errors import SourceError
from toonvid.reading.decoder import VideoDecoder
from toonvid.reading.options import DecodeOptions
from toonvid.video import Frame, VideoInfo

F = Fraction
RED, GREEN, BLUE, GRAY = (220, 20, 20), (20, 220, 20), (20, 20, 220), (128, 128, 128)


def corners(width: int, height: int) -> np.ndarray:
    """An image that is red at the top left, green, blue at the bottom left, and gray."""
    image = np.zeros((height, width, 3), np.uint8)
    image[: height // 2, : width // 2], image[: height // 2, width // 2 :] = RED, GREEN
    image[height // 2 :, : width // 2], image[height // 2 :, width // 2 :] = BLUE, GRAY
    return image


def read(source, **options) -> tuple[VideoInfo, list[Frame]]:
    with VideoDecoder(source, DecodeOptions(**options)) as decoder:
        frames = list(decoder.frames())
        assert decoder.damage is None
        return decoder.info, frames


def assert_same_corners(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.shape == expected.shape
    height, width = found.shape[:2]
    for y in (height // 4, 3 * height // 4):
        for x in (width // 4, 3 * width // 4):
            assert found[y, x].tolist() == pytest.approx(expected[y, x].tolist(), abs=12)


# Rotation: counter-clockwise, then mirrored.

TURNS = [(d, x, y) for d in (0, 90, 180, 270) for x in (False, True) for y in (False, True)]


def rotated(image: np.ndarray, degrees: int, mirrored_x: bool, mirrored_y: bool) -> np.ndarray:
    image = np.rot90(image, degrees // 90)
    if mirrored_x:
        image = image[:, ::-1]
    return image[::-1] if mirrored_y else image


@pytest.mark.parametrize("turn", TURNS, ids=str)
def test_rotation_and_mirroring_are_applied_and_the_matrix_is_dropped(turn, tmp_path, toon):
    stored = corners(64, 32)
    source = Clip([stored] * 3, rotation=turn).write(tmp_path / "source.mp4")
    done = toon(source)
    assert_same_corners(decoded(done.target)[0], rotated(stored, *turn))
    assert "DISPLAYMATRIX" not in [d.type.name for d in first_frame(done.target).side_data]


def test_rotation_agrees_with_opencv(tmp_path):
    cv2 = pytest.importorskip("cv2")
    source = Clip([corners(64, 32)] * 3, rotation=(90, False, False)).write(tmp_path / "s.mp4")
    seen = cv2.VideoCapture(str(source)).read()[1][:, :, ::-1]
    assert_same_corners(read(source)[1][0].pixels, seen)


def test_rotation_inverts_the_pixel_aspect_ratio(tmp_path, toon):
    video = Clip([corners(64, 32)] * 3, rotation=(90, False, False), aspect=F(4, 3))
    source = video.write(tmp_path / "source.mp4")
    with av.open(toon(source).target) as target:
        assert target.streams.video[0].sample_aspect_ratio == F(3, 4)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov"])
def test_the_pixel_aspect_ratio_is_kept(suffix, tmp_path, toon):
    source = Clip(aspect=F(16, 11)).write(tmp_path / f"source.{suffix}")
    with av.open(toon(source, f"target.{suffix}").target) as target:
        assert target.streams.video[0].sample_aspect_ratio == F(16, 11)


@pytest.mark.parametrize("suffix", ["webm", "gif", "png", "jpg", "webp"])
@pytest.mark.parametrize(("aspect", "size"), [(F(16, 11), (94, 48)), (F(1, 2), (64, 96))])
def test_pixels_become_square_where_the_format_states_no_ratio(
    suffix, aspect, size, tmp_path, toon
):
    source = Clip([corners(64, 48)], aspect=aspect).write(tmp_path / "source.mp4")
    target = toon(source, f"target.{suffix}").target
    width, height = first_frame(target).width, first_frame(target).height
    assert abs(width - size[0]) <= 1 and height == size[1]
    assert_same_corners(decoded(target)[0], corners(width, height))


# EXIF orientation -> operation on the stored pixels, from the table of the standard.

EXIF = {
    1: lambda p: p,
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.swapaxes(0, 1),
    6: lambda p: np.rot90(p, -1),
    7: lambda p: p.swapaxes(0, 1)[::-1, ::-1],
    8: lambda p: np.rot90(p, 1),
}


@pytest.mark.parametrize("orientation", EXIF)
def test_exif_orientation_is_applied_once(orientation, tmp_path, toon):
    stored = corners(64, 32)
    source = tmp_path / "source.jpg"
    source.write_bytes(with_exif(image_file(stored, "mjpeg"), orientation))
    expected = EXIF[orientation](stored)
    assert_same_corners(read(source)[1][0].pixels, expected)
    for name in ("target.jpg", "target.png", "target.webp"):
        target = toon(source, name).target
        assert_same_corners(decoded(target)[0], expected)
        assert_same_corners(read(target)[1][0].pixels, expected)


# Sizes.

SIZES = [(1, 1), (1, 7), (7, 1), (2, 2), (37, 23), (64, 1), (3, 64)]


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "gif", "png", "jpg", "webp"])
def test_odd_sizes_are_kept_and_padded_only_where_the_codec_needs_it(size, suffix, tmp_path, toon):
    width, height = size
    image = np.full((height, width, 3), 40, np.uint8)
    image[-1], image[:, -1] = 200, 200
    source = tmp_path / "source.png"
    source.write_bytes(image_file(image, "png"))
    found = decoded(toon(source, f"target.{suffix}").target)[0]
    even = suffix in ("mp4", "mkv")
    shape = (height + height % 2, width + width % 2) if even else (height, width)
    assert found.shape[:2] == shape
    assert found[-1, -1].tolist() == pytest.approx([200, 200, 200], abs=6)


def test_the_padding_repeats_the_last_row_and_column(tmp_path, toon):
    source = tmp_path / "source.png"
    source.write_bytes(image_file(moving_frames(1, (37, 23))[0], "png"))
    found = decoded(toon(source, "target.mp4").target)[0].astype(int)
    assert abs(found[23] - found[22]).max() <= 3
    assert abs(found[:, 37] - found[:, 36]).max() <= 3


def test_a_frame_of_3840_by_2160_is_converted(tmp_path, toon):
    image = np.repeat(np.repeat(corners(64, 36), 60, 0), 60, 1)
    source = tmp_path / "source.jpg"
    source.write_bytes(image_file(image, "mjpeg"))
    assert_same_corners(decoded(toon(source, "target.mp4").target)[0], image)


@pytest.mark.parametrize("suffix", ["ts", "h264"])
def test_frames_that_change_size_are_scaled_to_the_first(suffix, tmp_path, toon):
    sizes = ((64, 48), (96, 80), (32, 24))
    parts = []
    for number, size in enumerate(sizes):
        video = Clip(
            [corners(*size)] * 4,
            pts=range(4 * number, 4 * number + 4),
            options={"bf": "0"},
            muxing={"mpegts_flags": "initial_discontinuity"} if suffix == "ts" else {},
        )
        parts.append(video.write(tmp_path / f"{number}.{suffix}").read_bytes())
    source = tmp_path / f"source.{suffix}"
    source.write_bytes(b"".join(parts))
    info, frames = read(source)
    assert (info.width, info.height) == (64, 48)
    assert len(frames) == 12
    for frame in frames:
        assert_same_corners(frame.pixels, corners(64, 48))
    done = toon(source)
    assert len(frame_times(done.target)) == 12


@pytest.mark.parametrize(
    ("size", "upscale", "expected"),
    [
        (None, False, (64, 48)),
        (24, False, (32, 24)),
        ((32, 32), False, (32, 24)),
        ((10, 1000), False, (10, 8)),
        (96, False, (64, 48)),
        (96, True, (128, 96)),
        ((128, 500), True, (128, 96)),
        (1, False, (2, 2)),
    ],
)
def test_size_is_a_box_or_a_short_side(size, upscale, expected, tmp_path):
    source = Clip([corners(64, 48)]).write(tmp_path / "source.mp4")
    info, frames = read(source, size=size, upscale=upscale)
    assert (info.width, info.height) == expected
    assert frames[0].pixels.shape == (expected[1], expected[0], 3)


def test_size_applies_to_the_rotated_frames(tmp_path):
    video = Clip([corners(64, 32)], rotation=(90, False, False))
    info, frames = read(video.write(tmp_path / "source.mp4"), size=(16, 1000))
    assert (info.width, info.height) == (16, 32)
    assert_same_corners(frames[0].pixels, np.rot90(corners(32, 16)))


# Times.


def test_frames_without_a_later_time_are_shown_right_behind_the_last_and_counted(tmp_path, toon):
    source = tmp_path / "source.mkv"
    video = Clip(moving_frames(10), options={"bf": "0"}).write(tmp_path / "good.mkv")
    with av.open(str(video)) as good, av.open(str(source), "w") as target:
        copy = target.add_stream_from_template(good.streams.video[0], opaque=True)
        for packet in [packet for packet in good.demux(video=0) if packet.size]:
            packet.pts = packet.dts = packet.pts - packet.pts % 120
            packet.stream = copy
            target.mux(packet)
    done = toon(source)
    shared = [F(n, 25) + F(tick, 1000) for n in (0, 3, 6) for tick in (0, 1, 2)]
    assert frame_times(done.target) == [*shared, F(9, 25)]
    (notice,) = done.notices
    assert notice == "6 frames with no later time than the frame before are shown right behind it"


# Interlacing.


def test_interlaced_video_is_deinterlaced_and_keeps_its_times(tmp_path, toon):
    combs = []
    for step in range(6):
        image = np.full((48, 64, 3), 40, np.uint8)
        image[0::2, 8 * step : 8 * step + 16] = 220  # the second field is later
        image[1::2, 8 * step + 4 : 8 * step + 20] = 220
        combs.append(image)
    video = Clip(combs, options={"flags": "+ildct+ilme", "x264-params": "tff=1"})
    source = video.write(tmp_path / "source.mp4")
    assert first_frame(source).interlaced_frame
    done = toon(source)
    assert frame_times(done.target) == frame_times(source)
    assert only(done.target, "video").times[0] == 0

    def combing(image: np.ndarray) -> float:
        lines = image[:, :, 0].astype(int)
        return float(np.abs(2 * lines[1:-1] - lines[:-2] - lines[2:]).mean())

    before, after = decoded(source)[2], decoded(done.target)[2]
    assert combing(after) < combing(before) / 3
    assert not first_frame(done.target).interlaced_frame


# Unreadable sources.


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.mp4", b"", "is not a readable video or image"),
        ("text.mp4", b"Dear diary,\n" * 50, "is not a readable video or image"),
        ("noise.mkv", bytes(range(256)) * 20, "is not a readable video or image"),
        ("broken.png", b"\x89PNG\r\n\x1a\n" + bytes(60), "not a readable|can be decoded"),
        ("broken.jpg", b"\xff\xd8\xff\xe0" + bytes(60), "not a readable|can be decoded"),
    ],
)
def test_other_files_are_refused_in_one_line(name, content, message, tmp_path):
    source = tmp_path / name
    source.write_bytes(content)
    with pytest.raises(SourceError, match=message) as refused, VideoDecoder(source):
        pass
    assert "\n" not in str(refused.value)
    assert str(source) in str(refused.value)


def test_audio_without_video_is_refused(tmp_path):
    source = tmp_path / "sound.m4a"
    with av.open(str(source), "w") as target:
        stream = target.add_stream("aac", rate=48000)
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), "fltp", "stereo")
        frame.sample_rate, frame.pts = 48000, 0
        target.mux([*stream.encode(frame), *stream.encode(None)])
    with pytest.raises(SourceError, match=r"contains no video \(audio\)"), VideoDecoder(source):
        pass


def test_audio_with_a_cover_image_is_refused(tmp_path):
    cover = image_file(corners(16, 16), "png")
    video = Clip([corners(64, 48)], audio=(Tone(),), cover=cover).write(tmp_path / "video.mp4")
    source = tmp_path / "song.mp4"
    with av.open(str(video)) as whole, av.open(str(source), "w") as target:
        kept = [s for s in whole.streams if s.type == "audio" or s.disposition & 1024]
        copies = {s.index: target.add_stream_from_template(s, opaque=True) for s in kept}
        for stream in kept:
            copies[stream.index].disposition = stream.disposition
        for packet in whole.demux(kept):
            if packet.size:
                packet.stream = copies[packet.stream_index]
                target.mux(packet)
    with pytest.raises(SourceError, match="contains no video"), VideoDecoder(source):
        pass


def test_folder_and_missing_file_are_refused(tmp_path):
    with pytest.raises(SourceError, match="is a folder, not a video"), VideoDecoder(tmp_path):
        pass
    missing = tmp_path / "missing.mp4"
    with pytest.raises(SourceError, match="no such file"), VideoDecoder(missing):
        pass


@pytest.mark.parametrize(
    "name",
    [
        "two words.mp4",
        'it\'s "quoted".mp4',
        "new\nline.mp4",
        "-dash.mp4",
        "100%.mp4",
        "frame%03d.png",
        "star*.png",
        "question?.jpg",
        "[a].webp",
        "http:colon.mp4",
        "naïve 映画 🎬.mkv",
        "x" * 240 + ".mp4",
        "UPPER.MP4",
    ],
)
def test_any_file_name_can_be_read_and_written(name, tmp_path, toon, monkeypatch):
    suffix = Path(name).suffix.lower()
    source, target = tmp_path / "in" / name, tmp_path / "out" / name
    source.parent.mkdir()
    if suffix in (".mp4", ".mkv"):
        Clip().write(tmp_path / f"plain{suffix}").rename(source)
    else:
        codec = {".png": "png", ".jpg": "mjpeg", ".webp": "libwebp"}[suffix]
        source.write_bytes(image_file(corners(64, 48), codec))
    monkeypatch.chdir(source.parent)
    for given in (str(source), name):
        done = toon(given, str(target))
        assert done.frames == (6 if suffix in (".mp4", ".mkv") else 1)
        assert [p.name for p in target.parent.iterdir()] == [name]
        target.unlink()


def test_frames_can_be_read_without_auxiliary_streams(tmp_path):
    source = Clip(audio=(Tone(),)).write(tmp_path / "source.mp4")
    with VideoDecoder(source) as decoder:
        assert len(list(decoder.frames())) == 6
        assert decoder.auxiliary.streams == ()
        assert not decoder.auxiliary.packets


def test_a_closed_decoder_keeps_its_info(tmp_path: Path) -> None:
    video = Clip(moving_frames(5)).write(tmp_path / "video.mp4")
    with VideoDecoder(video) as decoder:
        assert len(list(decoder.frames())) == 5
        decoder.close()
        assert decoder.info.frame_count == 5
        assert (decoder.damage, decoder.notices) == (None, [])


# Frames that change their shape in mid-stream.


def parts(folder: Path, suffix: str, *clips: Clip) -> Path:
    """Join clips of six frames in one raw stream."""
    data = b""
    for number, clip in enumerate(clips):
        data += clip.write(folder / f"part{number}.{suffix}").read_bytes()
    source = folder / f"source.{suffix}"
    source.write_bytes(data)
    return source


def test_frames_of_another_shape_are_fitted_with_black_bars(tmp_path):
    wide, tall = [corners(64, 48)] * 3, [corners(48, 64)] * 3
    source = parts(tmp_path, "h264", Clip(wide), Clip(tall))
    _, frames = read(source)
    assert len(frames) == 6
    fitted = frames[-1].pixels
    assert fitted.shape == (48, 64, 3)
    assert_same_corners(fitted[:, 14:50], corners(36, 48))
    assert fitted[:, :12].max() <= 2 and fitted[:, 52:].max() <= 2
    assert_same_corners(frames[0].pixels, corners(64, 48))


def test_frames_of_the_same_shape_with_other_pixels_fill_the_frame(tmp_path):
    square = Clip([corners(64, 48)] * 3, aspect=F(1))
    narrow = Clip([corners(32, 48)] * 3, aspect=F(2))
    _, frames = read(parts(tmp_path, "h264", square, narrow))
    for frame in frames:
        assert_same_corners(frame.pixels, corners(64, 48))


def test_pixels_that_change_their_shape_alone_are_fitted_with_black_bars(tmp_path):
    square = Clip([corners(64, 48)] * 6, aspect=F(1))
    wide = Clip([corners(64, 48)] * 6, aspect=F(4, 3))
    _, frames = read(parts(tmp_path, "h264", square, wide))
    assert len(frames) == 12
    assert_same_corners(frames[5].pixels, corners(64, 48))
    fitted = frames[6].pixels
    assert fitted.shape == (48, 64, 3)
    assert_same_corners(fitted[6:42], corners(64, 36))
    assert fitted[:4].max() <= 2 and fitted[44:].max() <= 2


def test_aspect_ratios_beyond_belief_are_taken_for_square(tmp_path, toon):
    source = Clip().write(tmp_path / "source.mkv")
    display = element(0x54B0, 64) + element(0x54BA, 48 * 10_000) + element(0x54B2, 0)
    add_to_matroska_video(source, display)
    for suffix in ("mp4", "webm", "gif"):
        done = toon(source, f"target.{suffix}")
        assert [n for n in done.notices if "are not believed" in n]
        assert decoded(done.target)[0].shape == (48, 64, 3)


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
@pytest.mark.parametrize("size", [None, 32])
def test_the_size_of_the_frames_is_told_before_they_are_decoded(degrees, size, tmp_path):
    clip = Clip([corners(96, 64)] * 3, rotation=(degrees, False, False) if degrees else None)
    source = clip.write(tmp_path / "source.mp4")
    told = []
    with VideoDecoder(
        source, DecodeOptions(size=size), on_size=lambda *sides: told.append(sides)
    ) as decoder:
        assert told == [(decoder.info.width, decoder.info.height)]
        assert told[0] == next(decoder.frames()).pixels.shape[1::-1]


def test_no_size_is_told_of_images(tmp_path):
    source = tmp_path / "source.png"
    source.write_bytes(image_file(corners(64, 32), "png"))
    with VideoDecoder(source, on_size=lambda *_: pytest.fail("an image is no video")):
        pass
