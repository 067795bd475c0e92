"""Crop, projection, stereo layout and Dolby Vision, which only the container states."""

from __future__ import annotations

import struct
from fractions import Fraction

import numpy as np
import pytest
from support.clips import Clip, decoded
from support.headers import add_to_matroska_video, add_to_sample_entry, box, element

from toonvid.errors import SourceError
from toonvid.reading.container_header import Crop, HeaderFacts, read_header_facts
from toonvid.reading.decoder import VideoDecoder

F = Fraction
CROP_BOTTOM, CROP_TOP, CROP_LEFT, CROP_RIGHT = 0x54AA, 0x54BB, 0x54CC, 0x54DD


def barred(left: int = 0, top: int = 0, right: int = 0, bottom: int = 0) -> np.ndarray:
    """White bars around a picture of 64 x 48 that is red on its left and blue on its right."""
    inner = np.zeros((48, 64, 3), np.uint8)
    inner[:, :32], inner[:, 32:] = (200, 0, 0), (0, 0, 200)
    edges = ((top, bottom), (left, right), (0, 0))
    return np.pad(inner, edges, constant_values=255)


def assert_inner(pixels: np.ndarray) -> None:
    assert pixels.shape == (48, 64, 3)
    assert np.abs(pixels.astype(int) - barred()).mean() <= 12  # bars would weigh more
    for row in (0, -1):
        assert pixels[row, 1, 1] <= 90 and pixels[row, -2, 1] <= 90


@pytest.mark.parametrize("edges", [(0, 8, 0, 8), (16, 0, 16, 0), (6, 10, 2, 4), (3, 1, 1, 1)])
def test_matroska_crop_is_applied(edges, tmp_path, toon):
    source = Clip([barred(*edges)] * 6, pix_fmt="yuv444p").write(tmp_path / "source.mkv")
    crops = zip((CROP_LEFT, CROP_TOP, CROP_RIGHT, CROP_BOTTOM), edges, strict=True)
    add_to_matroska_video(source, b"".join(element(name, size) for name, size in crops))
    facts = read_header_facts(str(source), "matroska,webm", 0, place=0)
    assert facts.crop == Crop(*edges)
    with VideoDecoder(source) as decoder:
        assert decoder.info.sample_aspect_ratio == 1
        assert_inner(next(decoder.frames()).pixels)
    assert_inner(decoded(toon(source).target)[0])


def test_the_display_size_is_that_of_the_cropped_frame(tmp_path):
    source = Clip([barred(8, 0, 8, 0)] * 2).write(tmp_path / "source.mkv")
    display = element(0x54B0, 128) + element(0x54BA, 48) + element(0x54B2, 0)  # in pixels
    add_to_matroska_video(source, element(CROP_LEFT, 8) + element(CROP_RIGHT, 8) + display)
    with VideoDecoder(source) as decoder:
        assert decoder.info.sample_aspect_ratio == 2  # 64 columns are shown 128 wide


def test_mp4_clean_aperture_is_applied(tmp_path, toon):
    source = Clip([barred(10, 6, 2, 2)] * 3, pix_fmt="yuv444p").write(tmp_path / "source.mp4")
    # Width, height, and how far the middle of the picture lies from the frame's.
    aperture = struct.pack(">IIIIiIiI", 64, 1, 48, 1, 8, 2, 4, 2)
    add_to_sample_entry(source, box(b"clap", aperture))
    assert_inner(decoded(toon(source).target)[0])


@pytest.mark.parametrize("edges", [(70, 0, 0, 0), (40, 0, 40, 0), (0, 0, 0, 48)])
def test_a_crop_that_leaves_nothing_is_not_believed(edges):
    assert HeaderFacts(crop=Crop(*edges)).crop_of(64, 48) == Crop()


SPHERE = box(b"sv3d", box(b"svhd", bytes(5)) + box(b"proj", box(b"equi", bytes(20))))
STEREO = box(b"st3d", bytes(4) + b"\1")


@pytest.mark.parametrize(
    ("boxes", "words"),
    [(SPHERE, ["360 degree"]), (STEREO, ["two eyes"]), (STEREO + SPHERE, ["360", "two eyes"])],
)
def test_a_note_says_that_projection_and_stereo_are_lost(boxes, words, tmp_path, toon):
    source = add_to_sample_entry(Clip().write(tmp_path / "source.mp4"), boxes)
    notices = toon(source).notices
    assert len(notices) == len(words)
    for word in words:
        assert any(word in notice for notice in notices)


def test_matroska_projection_and_stereo(tmp_path):
    source = Clip().write(tmp_path / "source.mkv")
    projection = element(0x7670, element(0x7671, 1))
    add_to_matroska_video(source, projection + element(0x53B8, 1))
    facts = read_header_facts(str(source), "matroska,webm", 0, place=0)
    assert facts.is_spherical and facts.is_stereo


@pytest.mark.parametrize("profile", [5, 8])
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_dolby_vision_profile_5_is_refused_in_one_line(profile, suffix, tmp_path):
    source = Clip().write(tmp_path / f"source.{suffix}")
    configuration = bytes([1, 0, profile << 1, 0x0D]) + bytes(20)
    if suffix == "mp4":
        add_to_sample_entry(source, box(b"dvcC", configuration))
    else:
        addition = element(0x41E7, int.from_bytes(b"dvcC", "big")) + element(0x41ED, configuration)
        add_to_matroska_video(source, b"", to_track=element(0x41E4, addition))
    if profile == 5:
        with pytest.raises(SourceError, match=r"^[^\n]*Dolby Vision profile 5[^\n]*$"):
            VideoDecoder(source).__enter__()
    else:
        with VideoDecoder(source) as decoder:
            assert len(list(decoder.frames())) == 6


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_damaged_headers_give_no_facts_and_no_error(suffix, tmp_path):
    source = Clip().write(tmp_path / f"source.{suffix}")
    data = source.read_bytes()
    name = {"mp4": "mov,mp4,m4a,3gp,3g2,mj2", "mkv": "matroska,webm"}[suffix]
    rng = np.random.default_rng(0)
    for _ in range(200):
        broken = bytearray(data)
        for place in rng.integers(0, len(data), 20):
            broken[place] = rng.integers(0, 256)
        source.write_bytes(broken)
        assert isinstance(read_header_facts(str(source), name, 1, place=0), HeaderFacts)


def test_encrypted_video_is_refused_in_one_line(tmp_path, toon):
    key = {"encryption_key": "76a6c65c5ea762046bd749a2e632ccbb", "encryption_kid": "0" * 32}
    clip = Clip(muxing={"encryption_scheme": "cenc-aes-ctr", **key})
    source = clip.write(tmp_path / "source.mp4")
    with pytest.raises(SourceError, match=r"source\.mp4 is encrypted"):
        toon(source)


def chapter(number: int, seconds: int, inside: bytes = b"") -> bytes:
    """A chapter of Matroska without an end, perhaps with others inside."""
    display = element(0x80, element(0x85, f"chapter {number}".encode()))
    start = element(0x91, seconds * 10**9)
    return element(0xB6, element(0x73C4, number) + start + display + inside)


@pytest.mark.parametrize(
    ("atoms", "notice"),
    [
        (chapter(1, 0) + chapter(2, 1), None),
        (chapter(1, 1) + chapter(2, 0), "1 of 2 chapters are left out"),
        (chapter(1, 0, chapter(2, 1)) + chapter(3, 2), "1 of 3 chapters are left out"),
    ],
)
def test_chapters_that_ffmpeg_does_not_read_are_counted(atoms, notice, tmp_path):
    source = Clip(muxing={"live": "1"}).write(tmp_path / "source.mkv")
    before, cluster, behind = source.read_bytes().partition(b"\x1f\x43\xb6\x75")
    chapters = element(0x1043A770, element(0x45B9, atoms))
    source.write_bytes(before + chapters + cluster + behind)
    with VideoDecoder(source, with_auxiliary=True) as decoder:
        found = [line for line in decoder.notices if "chapters" in line]
        assert len(found) == (notice is not None)
        assert all(line.startswith(notice) for line in found)
