"""Colors through the identity engine, checked with the equations of the standards."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from support.clips import Clip, first_frame, image_file
from support.headers import add_to_matroska_video, element

from toonvid.ffmpeg.color import FrameFormat
from toonvid.ffmpeg.filter_graphs import encoder_graph, rgb_graph
from toonvid.reading.decoder import VideoDecoder
from toonvid.video import ColorTags
from toonvid.writing.options import EncodeOptions

F = Fraction
SQUARE = 16
RAMP = [(level, level, level) for level in (0, 16, 17, 64, 100, 128, 180, 235, 254, 255)]
BARS = [
    (255, 255, 0),
    (0, 255, 255),
    (0, 255, 0),
    (255, 0, 255),
    (255, 0, 0),
    (0, 0, 255),
    (191, 64, 64),
    (30, 60, 90),
    (200, 150, 100),
]
COLORS = RAMP + BARS
BT709, BT601, PAL = (1, 1, 1), (6, 6, 6), (5, 5, 6)
UNTAGGED = (2, 2, 2)
LUMA = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}


def stripes(colors=COLORS, height: int = 32) -> NDArray[np.uint8]:
    """Vertical stripes, wide enough that subsampled chroma does not reach their middle."""
    return np.repeat(np.array(colors, np.uint8)[None], height, 0).repeat(SQUARE, 1)


def middles(image: NDArray) -> NDArray[np.float64]:
    """Return the color in the middle of each stripe."""
    row = image[image.shape[0] // 2]
    return np.array(row[SQUARE // 2 :: SQUARE], np.float64)


def to_yuv(rgb: NDArray, matrix: int, full_range: bool, bits: int = 8) -> NDArray[np.uint16]:
    """Convert (..., 3) RGB in 0..255 to Y, Cb, Cr (H.273)."""
    red, blue = LUMA[matrix]
    r, g, b = np.moveaxis(rgb / 255, -1, 0)
    luma = red * r + (1 - red - blue) * g + blue * b
    chroma = [(b - luma) / (2 * (1 - blue)), (r - luma) / (2 * (1 - red))]
    unit, middle = 1 << (bits - 8), 1 << (bits - 1)
    if full_range:
        top = (1 << bits) - 1
        planes = [luma * top, *(c * top + middle for c in chroma)]
    else:
        planes = [unit * (219 * luma + 16), *(224 * unit * c + middle for c in chroma)]
    return np.clip(np.rint(np.stack(planes, -1)), 0, (1 << bits) - 1).astype(np.uint16)


def from_yuv(yuv: NDArray, matrix: int, full_range: bool) -> NDArray[np.float64]:
    """Convert 8-bit Y, Cb, Cr to RGB (H.273)."""
    red, blue = LUMA[matrix]
    y, cb, cr = np.moveaxis(np.asarray(yuv, np.float64), -1, 0)
    if full_range:
        y, cb, cr = y / 255, (cb - 128) / 255, (cr - 128) / 255
    else:
        y, cb, cr = (y - 16) / 219, (cb - 128) / 224, (cr - 128) / 224
    r, b = y + 2 * (1 - red) * cr, y + 2 * (1 - blue) * cb
    g = (y - red * r - blue * b) / (1 - red - blue)
    return np.clip(np.stack([r, g, b], -1) * 255, 0, 255)


def yuv_frame(rgb, pix_fmt: str, matrix: int, full_range: bool) -> av.VideoFrame:
    """Make a frame with the equations above, not with FFmpeg."""
    bits = 10 if "10" in pix_fmt else 8
    planes = np.moveaxis(to_yuv(rgb, matrix, full_range, bits), -1, 0)
    frame = av.VideoFrame(rgb.shape[1], rgb.shape[0], pix_fmt)
    half = (slice(None, None, 2), slice(None, None, 2)) if "420" in pix_fmt else ()
    if "422" in pix_fmt:
        half = (slice(None), slice(None, None, 2))
    for plane, values in zip(
        frame.planes, (planes[0], *(p[half] for p in planes[1:])), strict=True
    ):
        kind = np.uint16 if bits > 8 else np.uint8
        rows = np.zeros((plane.height, plane.line_size // kind().itemsize), kind)
        rows[:, : values.shape[1]] = values
        plane.update(rows.tobytes())
    return frame


def seen(path: Path | str) -> tuple[NDArray[np.float64], av.VideoFrame]:
    """Return the colors of a target, by its own tags and the equations of the standard."""
    frame = first_frame(path)
    planes = []
    for plane in frame.planes:
        rows = np.frombuffer(bytes(plane), np.uint8).reshape(plane.height, plane.line_size)
        rows = rows[:, : plane.width]
        scale = frame.width // plane.width
        planes.append(rows.repeat(frame.height // plane.height, 0).repeat(scale, 1))
    matrix = int(frame.colorspace)
    assert int(frame.color_range) == 1
    return middles(from_yuv(np.stack(planes, -1), matrix, False)), frame


def tags(frame: av.VideoFrame) -> tuple[int, int, int]:
    return int(frame.colorspace), int(frame.color_primaries), int(frame.color_trc)


def yuv_source(tmp_path, pix_fmt, color, full_range, colors=COLORS, height=32, tagged=True) -> Path:
    image = stripes(colors, height)
    matrix = color[0] if color != UNTAGGED else (1 if height >= 720 else 6)
    frames = [yuv_frame(image, pix_fmt, matrix, full_range) for _ in range(2)]
    return Clip(
        frames,
        pix_fmt=pix_fmt,
        color=color if tagged else None,
        full_range=full_range if tagged else None,
    ).write(tmp_path / "source.mp4")


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le"])
@pytest.mark.parametrize("full_range", [False, True], ids=["limited", "full"])
@pytest.mark.parametrize("color", [BT709, BT601, PAL], ids=["bt709", "bt601", "pal"])
def test_grays_and_bars_change_by_at_most_two_levels(pix_fmt, full_range, color, tmp_path, toon):
    source = yuv_source(tmp_path, pix_fmt, color, full_range)
    done = toon(source, encoding=EncodeOptions(crf=0))
    found, frame = seen(done.target)
    assert (
        np.abs(found - np.array(COLORS)).max() <= 2.5
    )  # 2 levels, and half a level of rounding in this test
    assert tags(frame) == color
    assert frame.format.name == "yuv420p"
    assert done.notices == ()


def test_default_quality_keeps_flat_colors(tmp_path, toon):
    found, _ = seen(toon(yuv_source(tmp_path, "yuv420p", BT709, False)).target)
    assert np.abs(found - np.array(COLORS)).max() <= 4  # 2 levels, and 2 for the loss at CRF 18


@pytest.mark.parametrize(("height", "expected"), [(32, BT601), (720, BT709)])
def test_untagged_video_gets_the_tags_of_its_size(height, expected, tmp_path, toon):
    source = yuv_source(tmp_path, "yuv420p", UNTAGGED, False, height=height, tagged=False)
    found, frame = seen(toon(source, encoding=EncodeOptions(crf=0)).target)
    assert tags(frame) == expected
    assert np.abs(found - np.array(COLORS)).max() <= 2.5


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov", "webm"])
def test_tags_are_stated_in_every_container(suffix, tmp_path, toon):
    source = yuv_source(tmp_path, "yuv420p", BT709, False)
    frame = first_frame(toon(source, f"target.{suffix}").target)
    assert tags(frame) == BT709
    assert int(frame.color_range) == 1


def test_gray_video_stays_gray(tmp_path, toon):
    image = stripes(RAMP)
    source = Clip([image] * 2, codec="ffv1", pix_fmt="gray").write(tmp_path / "source.mkv")
    found, _ = seen(toon(source, encoding=EncodeOptions(crf=0)).target)
    assert np.abs(found - np.array(RAMP)).max() <= 2.5


def picture_source(tmp_path, pixels, codec="png", pix_fmt=None) -> Path:
    suffix = {"png": "png", "mjpeg": "jpg", "libwebp": "webp"}[codec]
    path = tmp_path / f"source.{suffix}"
    path.write_bytes(image_file(pixels, codec, pix_fmt))
    return path


def rgb_of(path) -> NDArray:
    """Return the pixels as OpenCV reads them."""
    cv2 = pytest.importorskip("cv2")
    found = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert found is not None
    if found.ndim == 2:
        found = found[:, :, None].repeat(3, 2)
    order = [2, 1, 0, 3] if found.shape[2] == 4 else [2, 1, 0]
    return found[:, :, order]


@pytest.mark.parametrize("pix_fmt", ["rgb24", "rgba", "gray", "rgb48be", "gray16be", "pal8", "ya8"])
def test_png_of_any_format_to_png_is_exact(pix_fmt, tmp_path, toon):
    colors = RAMP if "gray" in pix_fmt or pix_fmt == "ya8" else COLORS
    image = stripes(colors)
    source = tmp_path / "source.png"
    if pix_fmt == "pal8":
        source.write_bytes(paletted_png(image))
    else:
        frame = av.VideoFrame.from_ndarray(image, "rgb24").reformat(
            format=pix_fmt, dst_color_range="JPEG" if "gray" in pix_fmt else None
        )
        Clip(
            [frame], codec="png", pix_fmt=pix_fmt, container="image2", muxing={"update": "1"}
        ).write(source)
    assert first_frame(source).format.name == pix_fmt
    is_deep = pix_fmt in ("rgb48be", "gray16be")
    exact = np.rint(rgb_of(source) / (257 if is_deep else 1)).astype(int)
    found = rgb_of(toon(source, "target.png").target)
    tolerance = 2 if is_deep else 0
    assert np.abs(found[:, :, :3].astype(int) - exact[:, :, :3]).max() <= tolerance


def paletted_png(image: NDArray[np.uint8]) -> bytes:
    """Return a PNG with a palette of one entry per stripe."""
    import struct
    import zlib

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    colors = middles(image).astype(np.uint8)
    height, width = image.shape[:2]
    row = b"\0" + bytes(x // SQUARE for x in range(width))
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"PLTE", colors.tobytes())
        + chunk(b"IDAT", zlib.compress(row * height))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("codec", ["png", "mjpeg", "libwebp"])
@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_conversion_between_image_formats_changes_three_levels(codec, suffix, tmp_path, toon):
    source = picture_source(tmp_path, stripes(), codec)
    expected = middles(rgb_of(source))
    found = middles(rgb_of(toon(source, f"target.{suffix}").target))
    assert np.abs(found - expected).max() <= (3 if suffix == "webp" else 2)


def test_a_photo_keeps_its_colors_as_a_video(tmp_path, toon):
    source = picture_source(tmp_path, stripes(), "mjpeg")
    found, _ = seen(toon(source, "target.mp4", encoding=EncodeOptions(crf=0)).target)
    assert np.abs(found - middles(rgb_of(source))).max() <= 3


def half_transparent() -> NDArray[np.uint8]:
    image = np.dstack([stripes(BARS), np.zeros((32, SQUARE * len(BARS)), np.uint8)])
    image[8:, :, 3] = 128
    image[24:, :, 3] = 255
    return image


def test_alpha_is_kept_from_png_to_png_and_webp(tmp_path, toon):
    source = picture_source(tmp_path, half_transparent())
    found = rgb_of(toon(source, "target.png").target)
    assert np.array_equal(found[:, :, 3], half_transparent()[:, :, 3])
    assert np.array_equal(found[8:], half_transparent()[8:])
    webp = rgb_of(toon(source, "target.webp").target)
    assert np.abs(webp[:, :, 3].astype(int) - half_transparent()[:, :, 3]).max() <= 2


@pytest.mark.parametrize("suffix", ["jpg", "mp4"])
def test_alpha_is_blended_over_white_where_the_format_has_none(suffix, tmp_path, toon):
    source = picture_source(tmp_path, half_transparent())
    done = toon(
        source, f"target.{suffix}", encoding=EncodeOptions(crf=0 if suffix == "mp4" else None)
    )
    if suffix == "jpg":
        image = rgb_of(done.target)
        rows = [np.array(image[y, 8::SQUARE], float) for y in (4, 16, 28)]
    else:
        rows = [seen(done.target)[0]] * 3
    bars = np.array(BARS, float)
    half = bars * 128 / 255 + 255 * 127 / 255
    for row, expected in zip(rows[1:2], [half], strict=True):
        assert np.abs(row - expected).max() <= 4
    if suffix == "jpg":
        assert np.abs(rows[0] - 255).max() <= 4
        assert np.abs(rows[2] - bars).max() <= 4


# HDR: 203 nits is the white of standard video.


def pq(nits: float) -> float:
    """SMPTE ST 2084."""
    y = (nits / 10000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * y) / (1 + 18.6875 * y)) ** 78.84375


@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG")])
def test_hdr_is_mapped_to_bt709_with_a_notice(transfer, name, tmp_path, toon):
    nits = (0, 1, 20, 100, 203, 600, 1000)
    signal = [pq(n) for n in nits] if transfer == 16 else [0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0]
    levels = [(round(s * 255),) * 3 for s in signal]
    source = yuv_source(tmp_path, "yuv420p10le", (9, 9, transfer), False, levels)
    done = toon(source, encoding=EncodeOptions(crf=0))
    assert done.notices == (f"HDR ({name}) is tone-mapped to BT.709",)
    found, frame = seen(done.target)
    assert tags(frame) == BT709
    grays = found.mean(axis=1)
    assert np.abs(found - grays[:, None]).max() <= 3  # grays stay gray
    assert grays[0] <= 3 and np.all(np.diff(grays) > 0)
    assert 110 <= grays[4] <= 225
    assert grays[-1] >= grays[4] + 15


def test_wide_gamut_is_mapped_with_a_notice(tmp_path):
    source = yuv_source(tmp_path, "yuv420p", (1, 12, 1), False, RAMP)
    with VideoDecoder(source) as decoder:
        assert decoder.notices == ["wide gamut is mapped to BT.709"]
        assert decoder.info.color == ColorTags(1, 1, 1)


@pytest.mark.parametrize(("cores", "threads"), [(None, 1), (2, 1), (32, 4)])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "pal8"])
def test_graphs_get_threads_on_many_cores(cores, threads, pix_fmt, monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    assert (
        encoder_graph(64, 48, (64, 48), pix_fmt, ColorTags(*BT709), False, False).threads == threads
    )


# Pixel formats are told by their descriptors.


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "suffix"),
    [
        ("rawvideo", "yuyv422", "avi"),
        ("rawvideo", "uyvy422", "avi"),
        ("rawvideo", "nv12", "avi"),
        ("rawvideo", "y210le", "nut"),
        ("rawvideo", "gray", "nut"),
        ("v308", "yuv444p", "mov"),
        ("v408", "yuva444p", "mov"),
        ("v410", "yuv444p10le", "mov"),
        ("rawvideo", "ayuv", "nut"),
        ("ffv1", "gray", "mkv"),
        ("libx264", "gray", "mp4"),
        ("libx265", "gray", "mp4"),
    ],
)
def test_black_and_white_of_limited_range_are_stretched(codec, pix_fmt, suffix, tmp_path):
    plane = np.zeros((32, 64, 3), np.uint8)
    plane[:, 32:] = 255
    if pix_fmt == "gray":
        frame = av.VideoFrame.from_ndarray(
            np.where(plane, 235, 16)[:, :, 0].astype(np.uint8), "gray"
        )
    else:
        graph = encoder_graph(64, 32, (64, 32), pix_fmt, ColorTags(*BT601), False, False)
        graph.vpush(av.VideoFrame.from_ndarray(plane, "rgb24"))
        frame = graph.vpull()
    frame.color_range = 1
    options = {"crf": "0"} if codec == "libx264" else {}
    options |= {"x265-params": "lossless=1:log-level=none"} if codec == "libx265" else {}
    source = tmp_path / f"source.{suffix}"
    with av.open(str(source), "w") as target:
        stream = target.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 32, pix_fmt
        stream.options = options
        stream.codec_context.color_range = 1
        for _ in range(3):
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    found = next(iter_pixels(source))
    if pix_fmt == "gray" and codec == "rawvideo":  # nothing states a range: an image's gray
        assert found[16, 8].tolist() == [16] * 3 and found[16, 56].tolist() == [235] * 3
        return
    assert found[16, 8].tolist() == pytest.approx([0] * 3, abs=2)
    assert found[16, 56].tolist() == pytest.approx([255] * 3, abs=2)


@pytest.mark.parametrize(
    "pix_fmt", ["yuyv422", "nv16", "nv24", "y210le", "y212le", "p210le", "ayuv", "vuya", "vuyx"]
)
def test_every_yuv_format_is_known_by_its_descriptor(pix_fmt):
    plane = np.zeros((32, 64, 3), np.uint8)
    plane[:, 32:] = 255
    graph = encoder_graph(64, 32, (64, 32), pix_fmt, ColorTags(*BT601), False, False)
    graph.vpush(av.VideoFrame.from_ndarray(plane, "rgb24"))
    frame = graph.vpull()
    kind = FrameFormat.from_frame(frame, interlaced=False)
    assert kind.is_yuv and not kind.full_range
    back = rgb_graph(kind, F(1, 25), 64, 32)
    back.vpush(frame)
    found = back.vpull().to_ndarray()
    assert found[16, 8, :3].tolist() == pytest.approx([0] * 3, abs=2)
    assert found[16, 56, :3].tolist() == pytest.approx([255] * 3, abs=2)


def iter_pixels(source: Path):
    with VideoDecoder(source) as decoder:
        for frame in decoder.frames():
            yield frame.pixels


@pytest.mark.parametrize("codec", ["libx265", "ffv1", "libx264"])
def test_tags_of_the_container_alone_are_used(codec, tmp_path):
    frames = [stripes(BARS)] * 3
    source = tmp_path / "source.mkv"
    with av.open(str(source), "w") as target:
        stream = target.add_stream(codec, rate=25)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        if codec == "libx265":
            stream.options = {"x265-params": "log-level=none"}
        context = stream.codec_context
        if codec == "ffv1":
            context.colorspace, context.color_primaries, context.color_trc = 1, 5, 6
        for pixels in frames:
            image = av.VideoFrame.from_ndarray(pixels, "rgb24").reformat(
                format="yuv420p", dst_colorspace=1
            )
            target.mux(stream.encode(image))
        target.mux(stream.encode(None))
    if codec != "ffv1":
        colors = element(0x55B0, element(0x55B1, 1) + element(0x55BA, 6) + element(0x55BB, 5))
        add_to_matroska_video(source, colors)
    with VideoDecoder(source) as decoder:
        assert decoder.info.color == ColorTags(matrix=1, primaries=5, transfer=6)
        found = middles(next(decoder.frames()).pixels)
    assert np.abs(found - np.array(BARS)).max() <= 24
