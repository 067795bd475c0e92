"""Frames become packets of the codec that was asked for, at their own times, in any container."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from support.clips import decoded, first_frame, frame_times, moving_frames, only

from toonvid.errors import TargetError
from toonvid.video import Frame, VideoInfo
from toonvid.writing import encoder as encoder_module
from toonvid.writing.codec import Codec
from toonvid.writing.encoder import Encoder
from toonvid.writing.muxer import write_video
from toonvid.writing.options import EncodeOptions

F = Fraction
INFO = VideoInfo("clip", "mov", 64, 48, F(1, 25), frame_rate=F(25))


def frames(images: list[np.ndarray]) -> list[Frame]:
    return [Frame(pixels, pts, F(1, 25), 1) for pts, pixels in enumerate(images)]


def write_frames(target: Path, images: list[np.ndarray], options: EncodeOptions | None) -> None:
    assert write_video(target, INFO, frames(images), options) == len(images)


def noise() -> list[np.ndarray]:
    """Twelve images of squares in random colors, 512 x 384 pixels."""
    random = np.random.default_rng(0)
    images = [random.integers(0, 256, (96, 128, 3), dtype=np.uint8) for _ in range(12)]
    return [image.repeat(4, axis=0).repeat(4, axis=1) for image in images]


def encode(encoder: Encoder, images: list[np.ndarray]) -> list[av.Packet]:
    given = frames(images)
    encoder.open(given[0])
    packets = [packet for frame in given for packet in encoder.encode(frame)]
    return packets + encoder.flush()


# Packets without a container, as segments hold them.


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("t.mp4", "libx264"),
        ("t.mkv", "libx265"),
        ("t.ts", "libx264"),
        ("t.webm", None),
        ("t.mov", "prores_ks"),
        ("t.mkv", "ffv1"),
    ],
)
def test_packets_are_those_that_a_muxer_writes(name, codec, tmp_path):
    """A codec context of a container's stream and one of none encode in the same way."""
    images, options = moving_frames(60), EncodeOptions(codec=codec)
    packets = encode(Encoder(tmp_path / name, INFO, options), images)
    assert sorted(packet.pts * packet.time_base for packet in packets) == [
        F(n, 25) for n in range(60)
    ]
    assert packets[0].is_keyframe
    write_frames(tmp_path / name, images, options)
    if codec not in ("libx264", "libx265"):  # whose start codes a muxer replaces by lengths
        assert {bytes(packet) for packet in packets} == set(only(tmp_path / name, "video").content)


def test_extradata_is_known_once_open_where_the_container_stores_it(tmp_path):
    image = frames(moving_frames(1))[0]
    sizes = {}
    for name in ("t.mp4", "t.mkv", "t.ts"):
        encoder = Encoder(tmp_path / name, INFO)
        encoder.open(image)
        assert encoder.time_base == F(1, 25)
        sizes[name] = len(encoder.extradata)
    assert sizes["t.mp4"] == sizes["t.mkv"] > 0 == sizes["t.ts"]


def test_a_key_frame_can_be_forced(tmp_path):
    codec = Codec("libx264", preset="superfast", low_latency=True)
    encoder = Encoder(tmp_path / "t.mkv", INFO, codec=codec)
    given = frames(moving_frames(10))
    encoder.open(given[0])
    for frame in given:
        (packet,) = encoder.encode(frame, force_key_frame=frame.pts in (0, 7))
        assert packet.is_keyframe == (frame.pts in (0, 7))
    assert encoder.flush() == []
    assert (encoder.frame_count, encoder.times) == (10, (F(0), F(9, 25)))


def test_a_time_base_that_the_codec_lacks_is_refused_in_one_line(tmp_path):
    encoder = Encoder(tmp_path / "t.mkv", INFO, EncodeOptions(codec="mpeg2video"))
    image = Frame(moving_frames(1)[0], 0, F(1, 1000))
    with pytest.raises(TargetError, match=r"mpeg2video does not take .* units of 1/1000 s; name"):
        encoder.open(image)


# What may be asked for.


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "preset", "crf"),
    [
        ("libx265", None, "ultrafast", 30),
        ("libx264", "yuv444p", "ultrafast", 0),
        ("libx264", "yuv422p10le", None, None),
        ("libsvtav1", "yuv420p10le", "12", 40),
        ("libvpx-vp9", None, None, 40),
        ("mpeg4", None, None, None),
        ("prores_ks", None, None, None),
        ("ffv1", "bgr0", None, None),
        ("libx264rgb", None, "ultrafast", 10),
    ],
)
def test_codec_preset_crf_and_pix_fmt_are_taken(codec, pix_fmt, preset, crf, tmp_path):
    target = tmp_path / ("target.mkv" if codec in ("ffv1", "libvpx-vp9") else "target.mov")
    if codec == "libsvtav1":
        target = target.with_suffix(".mp4")
    options = EncodeOptions(codec=codec, pix_fmt=pix_fmt, preset=preset, crf=crf)
    write_frames(target, moving_frames(5), options)
    assert len(frame_times(target)) == 5
    if pix_fmt:
        assert first_frame(target).format.name == pix_fmt
    for found, expected in zip(decoded(target), moving_frames(5), strict=True):
        assert np.abs(found.astype(int) - expected).mean() < 8


def test_encoders_print_nothing(tmp_path, capfd):
    for codec in ("libx264", "libx265", "libsvtav1", "libvpx-vp9"):
        write_frames(tmp_path / f"{codec}.mkv", moving_frames(6), EncodeOptions(codec=codec))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("preset", "x264s_own"), [(None, False), ("superfast", True)])
def test_superfast_has_lookahead_unless_it_was_asked_for(preset, x264s_own, tmp_path):
    target = tmp_path / "t.mp4"
    write_frames(target, moving_frames(6), EncodeOptions(preset=preset))
    settings = target.read_bytes().partition(b"options: ")[2].split(b" ")[:60]
    assert b"subme=1" in settings
    assert (b"mbtree=0" in settings) == x264s_own
    assert (b"rc_lookahead=10" in settings) == (not x264s_own)


def test_a_higher_crf_gives_a_smaller_file(tmp_path):
    images = [np.random.default_rng(n).integers(0, 255, (48, 64, 3), np.uint8) for n in range(5)]
    sizes = []
    for crf in (10, 40):
        target = tmp_path / f"{crf}.mp4"
        write_frames(target, images, EncodeOptions(crf=crf))
        sizes.append(target.stat().st_size)
    assert sizes[0] > 2 * sizes[1]


@pytest.mark.parametrize("codec", ["libx264", "libx265", "libsvtav1", "libvpx-vp9"])
def test_frames_beyond_8k_are_encoded_without_lookahead(codec, tmp_path, monkeypatch):
    given = frames(moving_frames(60))

    def frames_held() -> int:
        """How many frames go in before the first packet comes out."""
        opened = Encoder(tmp_path / "target.mkv", INFO, EncodeOptions(codec=codec))
        opened.open(given[0])
        for count, frame in enumerate(given, 1):
            if opened.encode(frame):
                return count
        return len(given) + 1

    assert frames_held() > 5
    monkeypatch.setattr(encoder_module, "LARGE_FRAME_PIXELS", 64 * 48 - 1)
    assert frames_held() <= 2


@pytest.mark.parametrize("codec", ["libvpx", "mpeg4", "mpeg2video"])
def test_no_default_bit_rate_rules(codec, tmp_path):
    """Noise takes many bits: FFmpeg's default bit rate would wash it out."""
    images = noise()
    target = tmp_path / "target.mkv"
    write_frames(target, images, EncodeOptions(codec=codec))
    wanted, found = images[-1].astype(float), decoded(target)[-1]
    assert np.abs(found - wanted).mean() < 12  # half of the colors' detail is not stored


def test_the_quality_of_vp8_can_be_set(tmp_path):
    images = noise()
    for crf in (8, 50):
        write_frames(tmp_path / f"{crf}.webm", images, EncodeOptions(codec="libvpx", crf=crf))
    fine, coarse = ((tmp_path / f"{crf}.webm").stat().st_size for crf in (8, 50))
    assert coarse < 0.7 * fine
