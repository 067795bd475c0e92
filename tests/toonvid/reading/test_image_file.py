"""Photos and animated images: colors, orientation, EXIF and frames as their files state them."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from support.clips import Clip, decoded
from support.heic import write_heic_grid
from support.icc import exchanged_profile, gray_profile, srgb_profile

from toonvid.errors import SourceError
from toonvid.ffmpeg.opening import open_encoder
from toonvid.reading.decoder import VideoDecoder
from toonvid.reading.image_file import has_wide_colors
from toonvid.reading.options import DecodeOptions
from toonvid.video import Frame, VideoInfo

F = Fraction
DATE, CAMERA = "2024:02:29 12:00:00", "A Camera"


def read(source: Path, **options) -> tuple[VideoInfo, list[Frame], list[str]]:
    with VideoDecoder(source, DecodeOptions(**options)) as decoder:
        frames = list(decoder.frames())
        assert decoder.damage is None
        return decoder.info, frames, decoder.notices


def bars() -> np.ndarray:
    """Red, green, blue and gray, each in a column of 16 pixels."""
    colors = np.array([(255, 0, 0), (0, 255, 0), (0, 0, 255), (128, 128, 128)], np.uint8)
    return np.repeat(np.repeat(colors[None], 16, 1), 32, 0)


def middles(pixels: np.ndarray) -> np.ndarray:
    return pixels[16, 8::16].astype(int)


EXCHANGED = [(0, 0, 255), (0, 255, 0), (255, 0, 0), (128, 128, 128)]


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "avif", "tif"])
def test_colors_of_a_profile_become_srgb_with_a_notice(suffix, tmp_path):
    source = tmp_path / f"source.{suffix}"
    options = {"lossless": True} if suffix == "webp" else {"quality": 100}
    options |= (
        {"subsampling": 0 if suffix == "jpg" else "4:4:4"} if suffix in ("jpg", "avif") else {}
    )
    Image.fromarray(bars()).save(source, icc_profile=exchanged_profile(), **options)
    _, [frame], notices = read(source)
    assert np.abs(middles(frame.pixels) - EXCHANGED).max() <= 6
    assert len(notices) == 1 and "converted to sRGB" in notices[0]


def test_a_palette_with_a_profile_and_transparency(tmp_path):
    source = tmp_path / "source.png"
    image = Image.fromarray(bars()).quantize(4)
    clear = image.getpixel((56, 16))  # gray
    image.save(source, icc_profile=exchanged_profile(), transparency=clear)
    _, [frame], _ = read(source)
    assert np.abs(middles(frame.pixels)[:3] - EXCHANGED[:3]).max() <= 6
    assert frame.alpha is not None
    assert frame.alpha[16, 8::16].tolist() == [255, 255, 255, 0]


def test_alpha_is_kept_beside_converted_colors(tmp_path):
    source = tmp_path / "source.png"
    alpha = np.full((32, 64, 1), 77, np.uint8)
    Image.fromarray(np.dstack([bars(), alpha])).save(source, icc_profile=exchanged_profile())
    _, [frame], _ = read(source)
    assert np.abs(middles(frame.pixels) - EXCHANGED).max() <= 6
    assert frame.alpha is not None and set(frame.alpha.flat) == {77}


def test_srgb_by_name_changes_nothing_and_says_nothing(tmp_path):
    source = tmp_path / "source.png"
    Image.fromarray(bars()).save(source, icc_profile=srgb_profile())
    _, [frame], notices = read(source)
    assert np.array_equal(frame.pixels, bars()) and notices == []


@pytest.mark.parametrize("depth", [8, 16])
def test_gray_with_a_gray_profile(depth, tmp_path):
    source = tmp_path / "source.png"
    level = 0.2140  # linear light of the middle gray of sRGB
    if depth == 8:
        image = Image.new("L", (32, 16), round(level * 255))
    else:
        image = Image.fromarray(np.full((16, 32), round(level * 65535), np.uint16))
    image.save(source, icc_profile=gray_profile(gamma=1.0))
    _, [frame], notices = read(source)
    assert frame.pixels[8, 8].tolist() == pytest.approx([127.5] * 3, abs=3)
    assert "power law" in notices[0]


def test_sixteen_bit_gray_without_a_profile(tmp_path):
    source = tmp_path / "source.png"
    Image.fromarray(np.full((16, 32), 0x8000, np.uint16)).save(source)
    assert read(source)[1][0].pixels[8, 8].tolist() == [128] * 3


def test_cmyk_is_converted(tmp_path):
    source = tmp_path / "source.jpg"
    Image.fromarray(bars()).convert("CMYK").save(source, quality=100)
    assert np.abs(middles(read(source)[1][0].pixels) - middles(bars())).max() <= 6


@pytest.mark.parametrize("profile", [b"not a profile", gray_profile()])
def test_a_profile_that_does_not_fit_is_left_out_with_a_notice(profile, tmp_path):
    source = tmp_path / "source.png"
    Image.fromarray(bars()).save(source, icc_profile=profile)
    _, [frame], notices = read(source)
    assert np.array_equal(frame.pixels, bars())
    assert len(notices) == 1 and "left out" in notices[0]


# PyAV's `frame.side_data` frees metadata of an ICC profile twice: the process would end after the
# first target, or at any later time. So a process of its own converts a folder.
def test_a_folder_of_images_with_profiles_is_converted_to_its_end(engines_folder, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    for number in range(3):
        image = Image.fromarray(bars())
        for suffix in ("png", "jpg", "webp", "tif", "avif"):
            image.save(folder / f"{number}.{suffix}.{suffix}", icc_profile=exchanged_profile())
    # FFmpeg reads these: an image whose end is missing, and one from a pipe.
    whole = (folder / "0.png.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[:-30])
    command = [sys.executable, "-m", "toonvid", "convert", "--style"]
    command += [str(engines_folder / "identity.onnx"), "-o", f"{tmp_path}/out/"]
    ended = subprocess.run([*command, str(folder)], capture_output=True, text=True)
    assert ended.returncode in (0, 1), ended.stderr
    assert len(list((tmp_path / "out").iterdir())) >= 15
    piped = subprocess.run(
        [*command[:-1], str(tmp_path / "piped.png"), "-"], input=whole, capture_output=True
    )
    assert piped.returncode == 0, piped.stderr


def turned(stored: np.ndarray, orientation: int) -> np.ndarray:
    if orientation >= 5:
        stored = stored.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        stored = stored[:, ::-1]
    return stored[::-1] if orientation in (3, 4, 7, 8) else stored


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif"])
def test_exif_orientation_is_applied_once_and_other_exif_is_kept(
    suffix, orientation, tmp_path, toon
):
    source = tmp_path / f"source.{suffix}"
    exif = Image.Exif()
    sharp = {"subsampling": 0} if suffix == "jpg" else {}
    exif[0x0112], exif[0x0132], exif[0x0110] = orientation, DATE, CAMERA
    Image.fromarray(bars()).save(source, exif=exif, quality=100, lossless=True, **sharp)
    expected = turned(bars(), orientation)
    info, [frame], _ = read(source)
    assert frame.pixels.shape == expected.shape == (info.height, info.width, 3)
    assert np.abs(frame.pixels.astype(int) - expected).mean() <= 3
    for name in ("target.png", "target.jpg", "target.webp"):
        with Image.open(toon(source, name).target) as target:
            kept = target.getexif()
            assert (kept.get(0x0112, 1), kept[0x0132], kept[0x0110]) == (1, DATE, CAMERA)
            assert target.size == (info.width, info.height)
            found = np.array(target.convert("RGB"), int)
        assert np.abs(found - expected).mean() <= 12


# Animated images.

DELAYS = (100, 250, 50, 400)  # milliseconds


def write_animation(path: Path, loop: int = 3) -> None:
    """Four frames, each with a bar of another color at another place and nothing around it."""
    frames = []
    for number in range(4):
        pixels = np.zeros((32, 64, 4), np.uint8)
        pixels[:, 16 * number : 16 * number + 16] = (60 * number, 200, 40, 255)
        pixels[0, :, 3] //= 2  # or WebP's encoder takes the canvas for opaque
        frames.append(Image.fromarray(pixels))
    if path.suffix == ".gif":
        options = {"disposal": 2}
    else:
        options = {"lossless": True} if path.suffix == ".webp" else {}
        options |= {"quality": 100} if path.suffix == ".avif" else {}
        options |= {"disposal": 1} if path.suffix == ".png" else {}
    frames[0].save(
        path, save_all=True, append_images=frames[1:], duration=list(DELAYS), loop=loop, **options
    )


@pytest.mark.parametrize("suffix", ["png", "webp", "avif", "gif"])
def test_animations_are_read_with_times_and_alpha(suffix, tmp_path):
    source = tmp_path / f"source.{suffix}"
    write_animation(source)
    info, frames, _ = read(source)
    assert info.is_animated_image and not info.is_image and info.has_alpha
    assert [float(f.seconds) for f in frames] == pytest.approx([0, 0.1, 0.35, 0.4])
    assert float(frames[-1].duration * frames[-1].time_base) == pytest.approx(0.4)
    for number, frame in enumerate(frames):
        opaque = np.zeros(4, int)
        opaque[number] = 255
        assert frame.alpha is not None
        assert frame.alpha[16, 8::16].tolist() == pytest.approx(opaque.tolist(), abs=3)
        assert frame.pixels[16, 8 + 16 * number].tolist() == pytest.approx(
            [60 * number, 200, 40], abs=12
        )


@pytest.mark.parametrize("source_suffix", ["png", "webp", "gif"])
@pytest.mark.parametrize("suffix", ["png", "webp", "gif"])
@pytest.mark.parametrize("loop", [0, 3])
def test_animations_stay_animations(source_suffix, suffix, loop, tmp_path, toon):
    source = tmp_path / f"source.{source_suffix}"
    write_animation(source, loop)
    done = toon(source, f"target.{suffix}")
    assert done.frames == 4
    plays = loop + (source_suffix == "gif" and loop > 0)  # GIF counts repetitions
    with Image.open(done.target) as target:
        assert target.n_frames == 4
        assert target.info["loop"] == plays - (suffix == "gif" and loop > 0)
        for number, delay in enumerate(DELAYS):
            target.seek(number)
            rgba = np.array(target.convert("RGBA"), int)
            assert target.info["duration"] == delay
            opaque = [255 if place == number else 0 for place in range(4)]
            assert rgba[16, 8::16, 3].tolist() == opaque
            assert np.abs(rgba[16, 8 + 16 * number, :3] - [60 * number, 200, 40]).max() <= 24


def test_a_gif_that_plays_once_still_plays_once(tmp_path, toon):
    source = tmp_path / "source.gif"
    frames = [Image.new("RGB", (32, 32), color) for color in ("red", "lime", "blue")]
    frames[0].save(source, save_all=True, append_images=frames[1:], duration=100)
    with Image.open(toon(source, "target.gif").target) as target:
        assert "loop" not in target.info and target.n_frames == 3
    with Image.open(toon(source, "target.png").target) as target:
        assert target.info["loop"] == 1


def test_an_animation_is_refused_by_a_still_format_before_its_first_frame(tmp_path, toon):
    source = tmp_path / "source.webp"
    write_animation(source)
    with pytest.raises(Exception, match=r"is animated and .*jpg can hold one image"):
        toon(source, "target.jpg")


def test_an_animation_becomes_a_video_with_its_times(tmp_path, toon):
    source = tmp_path / "source.webp"
    write_animation(source)
    done = toon(source, "target.mp4")
    assert done.frames == 4 and done.video_seconds == pytest.approx(0.8)
    assert any("holds no opacity" in notice for notice in done.notices)
    assert decoded(done.target)[0][16, 60].tolist() == pytest.approx([255] * 3, abs=6)


def test_a_damaged_animation_gives_what_can_be_read(tmp_path):
    source = tmp_path / "source.png"
    write_animation(source)
    data = source.read_bytes()
    source.write_bytes(data[: data.rindex(b"fdAT") + 20])
    with VideoDecoder(source) as decoder:
        frames = list(decoder.frames())
        assert 1 <= len(frames) <= 4
        assert decoder.damage or len(frames) == 4


def test_pages_of_a_tiff_are_no_animation(tmp_path):
    source = tmp_path / "source.tif"
    pages = [Image.fromarray(bars()), Image.new("RGB", (10, 10))]
    pages[0].save(source, save_all=True, append_images=pages[1:])
    info, [frame], _ = read(source)
    assert info.is_image and np.array_equal(frame.pixels, bars())


def test_all_tiles_of_a_heic_photo_are_read(tmp_path, toon):
    colors = [(220, 40, 40), (40, 200, 40), (40, 40, 220)]
    source = write_heic_grid(tmp_path / "source.heic", colors)
    info, [frame], _ = read(source)
    assert (info.width, info.height, info.is_image) == (192, 64, True)
    assert np.abs(frame.pixels[32, 32::64].astype(int) - colors).max() <= 8
    with Image.open(toon(source, "target.jpg").target) as target:
        assert target.size == (192, 64)


def test_a_heic_photo_that_was_cut_off_is_damaged_or_refused(tmp_path):
    colors = [(220, 40, 40), (40, 200, 40), (40, 40, 220)]
    source = write_heic_grid(tmp_path / "source.heic", colors)
    data = source.read_bytes()
    for kept in (10, 40, 200):
        source.write_bytes(data[:-kept])
        try:
            with VideoDecoder(source) as decoder:
                list(decoder.frames())
                assert decoder.damage == "its end is missing"
        except SourceError as error:
            assert "libheif cannot read" in str(error)


def test_a_gif_with_transparency_becomes_a_video_with_opacity(tmp_path, toon):
    source = tmp_path / "source.gif"
    write_animation(source)
    done = toon(source, "target.mov")
    assert not any("opacity" in notice for notice in done.notices)
    assert decoded(done.target, "rgba")[0][16, 8::16, 3].tolist() == [255, 0, 0, 0]
    frames = [Image.new("RGB", (32, 32), color) for color in ("red", "lime")]
    frames[0].save(source, save_all=True, append_images=frames[1:], duration=100)
    with av.open(toon(source, "opaque.mov").target) as container:
        assert container.streams.video[0].codec_context.name == "h264"


def test_heic_that_cannot_be_read_is_refused(tmp_path):
    source = tmp_path / "source.heic"
    source.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100))
    with pytest.raises(SourceError, match="HEIC image that libheif cannot read"):
        read(source)


def test_avif_keeps_its_alpha(tmp_path):
    source = tmp_path / "source.avif"
    pixels = np.dstack([bars(), np.full((32, 64, 1), 99, np.uint8)])
    Image.fromarray(pixels).save(source, quality=100)
    _, [frame], _ = read(source)
    assert frame.alpha is not None and abs(int(frame.alpha[16, 16]) - 99) <= 2


P3_CHROMATICITIES = (31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)


@pytest.mark.parametrize("chunk", ["cICP", "cHRM"])
def test_wide_colors_of_a_png_without_a_profile_are_mapped(chunk, tmp_path):
    source = tmp_path / "source.png"
    Image.fromarray(bars()).save(source)
    data = source.read_bytes()
    is_code_points = chunk == "cICP"  # Display P3 with the curve of sRGB, RGB, full range
    body = bytes([12, 13, 0, 1]) if is_code_points else struct.pack(">8I", *P3_CHROMATICITIES)
    named = chunk.encode() + body
    added = struct.pack(">I", len(body)) + named + struct.pack(">I", zlib.crc32(named))
    source.write_bytes(data[:33] + added + data[33:])
    _, [frame], notices = read(source)
    assert notices == ["wide gamut is mapped to BT.709"]
    assert middles(frame.pixels)[3].tolist() == pytest.approx([128] * 3, abs=3)
    standard = struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
    assert not has_wide_colors(data[:33] + bytes(4) + b"cHRM" + standard + data[33:])
    assert not has_wide_colors(data)


def test_hdr_avif_is_tone_mapped(tmp_path):
    source = tmp_path / "source.avif"
    with av.open(str(source), "w") as target:
        stream = target.add_stream("libsvtav1", rate=1)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p10le"
        context = stream.codec_context
        context.colorspace, context.color_primaries, context.color_trc = 9, 9, 16
        open_encoder(context)
        target.mux(stream.encode(av.VideoFrame(64, 64, "yuv420p10le")))
        target.mux(stream.encode(None))
    _, frames, notices = read(source)
    assert notices == ["HDR (PQ) is tone-mapped to BT.709"] and len(frames) == 1


def test_images_with_many_texts_are_read_in_linear_time(tmp_path):
    from PIL.PngImagePlugin import PngInfo

    source = tmp_path / "source.png"
    texts = PngInfo()
    for number in range(50_000):  # FFmpeg takes a minute, with a list that is searched each time
        texts.add_text(f"k{number}", "v")
    Image.fromarray(bars()).save(source, pnginfo=texts)
    with VideoDecoder(source) as decoder:
        [frame] = decoder.frames()
        assert decoder.info.container == "png"  # Pillow's, which keeps a dictionary
    assert np.array_equal(frame.pixels, bars())


def test_videos_and_other_images_are_left_to_ffmpeg(tmp_path):
    source = Clip().write(tmp_path / "source.mp4")
    assert read(source)[0].container.startswith("mov")
    Image.fromarray(bars()).save(tmp_path / "source.bmp")
    info, [frame], _ = read(tmp_path / "source.bmp")
    assert info.container == "bmp_pipe" and np.array_equal(frame.pixels, bars())


def test_the_light_of_an_exr_becomes_levels(tmp_path):
    """It holds light itself, of which half is shown far brighter than half of the levels."""
    light = np.full((16, 24, 3), 0.2158605, np.float32)  # sRGB level 128
    path = tmp_path / "linear.exr"
    with av.open(path, "w", format="image2") as container:
        stream = container.add_stream("exr", rate=1)
        stream.width, stream.height, stream.pix_fmt = 24, 16, "gbrpf32le"
        frame = av.VideoFrame.from_ndarray(light, "gbrpf32le")
        container.mux([*stream.encode(frame), *stream.encode(None)])
    with VideoDecoder(path) as decoder:
        [shown] = decoder.frames()
    assert np.abs(shown.pixels.astype(int) - 128).max() <= 2
