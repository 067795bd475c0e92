"""What the numbers of a picture mean, and the filter graphs that turn them into RGB and back.

Colour, scaling, tone mapping and deinterlacing are FFmpeg's (libavfilter, libswscale); this file
states matrix, range, primaries and transfer to it on both ends.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import cast

import av
import numpy as np
from av.buffer import Buffer
from av.filter.graph import Graph
from av.video.frame import VideoFrame

from toonvid.video import BT601, BT709, ColorTags, Frame, Pixels

UNSPECIFIED = 2
TV_RANGE, FULL_RANGE = 1, 2
HDR_TRANSFERS = {16: "PQ", 18: "HLG"}
WIDE_PRIMARIES = {9, 11, 12}  # BT.2020, DCI-P3, Display P3

# With these a grey or a colour bar comes through YUV and back within 2 levels. Towards the encoder
# half the time could be saved without accurate_rnd, at the price of that promise.
_SCALE_FLAGS = "flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp"
# Stages run side by side: on few cores a graph with threads of its own waits for them.
_CORES_FOR_A_THREAD = 8
_MATRIX_NAMES = {
    1: "bt709",
    4: "fcc",
    5: "bt470bg",
    6: "smpte170m",
    7: "smpte240m",
    9: "bt2020nc",
    10: "bt2020c",
}
_WRITTEN_MATRICES = {1, 5, 6}  # every player knows these
_HD_WIDTH, _HD_HEIGHT = 1280, 720  # untagged pictures from here on are taken to be BT.709
_GREY_OR_PALETTE = ("gray", "pal8", "mono", "ya")
_KINDS_UNKNOWN_TO_PYAV = (29, 30, 31)  # of FFmpeg 8: view id, reference displays, EXIF
_WITH_ALPHA = ("pal8", "rgba", "bgra", "argb", "abgr", "ya", "yuva", "gbrap")


@dataclass(frozen=True)
class Orientation:
    """How decoded pixels are turned to stand upright: first transposed, then flipped."""

    transposed: bool = False
    flipped_x: bool = False
    flipped_y: bool = False

    @classmethod
    def of(cls, frame: VideoFrame) -> Orientation:
        """Read FFmpeg's display matrix: x' = a x + c y, y' = b x + d y, in 16.16 fixed point."""
        matrix = _side_data(frame).get("DISPLAYMATRIX")
        if matrix is None:
            return cls()
        a, b, _, c, d = (int(value) for value in np.frombuffer(bytes(matrix), "=i4")[:5])
        if abs(b) > abs(a):
            return cls(transposed=True, flipped_x=c < 0, flipped_y=b < 0)
        return cls(flipped_x=a < 0, flipped_y=d < 0)

    def upright(self, pixels: Pixels) -> Pixels:
        """Turn pixels of shape (H, W, C)."""
        if self.transposed:
            pixels = pixels.swapaxes(0, 1)
        if self.flipped_x:
            pixels = pixels[:, ::-1]
        if self.flipped_y:
            pixels = pixels[::-1]
        return np.ascontiguousarray(pixels)


@dataclass(frozen=True)
class FrameKind:
    """What a filter graph has to know of its frames; a change asks for a new graph."""

    width: int
    height: int
    pix_fmt: str
    color: ColorTags
    full_range: bool
    interlaced: bool

    @classmethod
    def of(cls, frame: VideoFrame, interlaced: bool) -> FrameKind:
        """Look at a decoded frame."""
        pix_fmt = frame.format.name
        return cls(
            width=frame.width,
            height=frame.height,
            pix_fmt=pix_fmt,
            color=_color_tags(frame),
            full_range=frame.color_range == FULL_RANGE or pix_fmt.startswith("yuvj"),
            interlaced=interlaced,
        )

    @property
    def is_yuv(self) -> bool:
        return self.pix_fmt.startswith(("yuv", "nv", "p0", "p2", "p4", "y2", "uyvy", "yvyu"))

    @property
    def has_alpha(self) -> bool:
        return self.pix_fmt.startswith(_WITH_ALPHA)

    @property
    def is_wide(self) -> bool:
        """Whether colours may lie outside what BT.709 holds."""
        return self.color.primaries in WIDE_PRIMARIES or self.color.transfer in HDR_TRANSFERS


def target_color(frame: VideoFrame) -> tuple[ColorTags, str | None]:
    """What a target is tagged with, and a notice when its colours are not the source's own."""
    tags = _color_tags(frame)
    if name := HDR_TRANSFERS.get(tags.transfer):
        return BT709, f"HDR ({name}) is tone-mapped to BT.709"
    if tags.primaries in WIDE_PRIMARIES:
        return BT709, "wide gamut is mapped to BT.709"
    if tags.matrix not in _WRITTEN_MATRICES:
        return replace(tags, matrix=BT709.matrix), None
    return tags, None


def rgb_graph(kind: FrameKind, time_base: Fraction, width: int, height: int) -> Graph:
    """A graph from decoded frames to RGB: deinterlaced, scaled, tone-mapped.

    Args:
        kind: Of the frames that will be pushed.
        time_base: Of their pts.
        width: Of the frames that come out, in pixels, before they are turned upright.
        height: Likewise.

    Returns:
        A graph whose frames are rgba where `kind` has alpha, else rgb24.
    """
    matrix = _MATRIX_NAMES[kind.color.matrix] if kind.is_yuv else "gbr"
    range_name = "pc" if kind.full_range or not kind.is_yuv else "tv"
    scale = [f"w={width}:h={height}", "out_range=pc", _SCALE_FLAGS]
    if kind.is_yuv:
        scale += [f"in_color_matrix={matrix}", f"in_range={range_name}"]
    if kind.is_wide:
        # swscale maps tones and gamut by itself once the far end is named (FFmpeg 7.1 and later).
        scale += ["out_primaries=bt709", "out_transfer=bt709", "intent=perceptual"]
    buffer = _buffer(kind.width, kind.height, kind.pix_fmt, time_base, matrix, range_name)
    deinterlace = [("bwdif", "mode=send_frame:deint=interlaced")] if kind.interlaced else []
    steps = [*deinterlace, ("scale", ":".join(scale))]
    if kind.is_yuv and not kind.has_alpha:
        # swscale has vector code for planes of RGB and none for rgb24: the same levels by this
        # detour, in a third of the time.
        steps += [("format", "gbrp"), ("scale", "")]
    return _linked(buffer, *steps, ("format", "rgba" if kind.has_alpha else "rgb24"))


def encoder_graph(
    width: int,
    height: int,
    shown: tuple[int, int],
    pix_fmt: str,
    color: ColorTags,
    full_range: bool,
    with_alpha: bool,
) -> Graph:
    """A graph from RGB frames of one size to what an encoder takes.

    Args:
        width: Of the frames that are pushed, in pixels.
        height: Likewise.
        shown: Width and height of the encoder's frames.
        pix_fmt: FFmpeg's name of the encoder's pixel format.
        color: Its matrix is what the encoder's frames are made with.
        full_range: Whether black is 0 and white 255, rather than 16 and 235.
        with_alpha: Whether frames are pushed as rgba rather than rgb24.
    """
    pushed = "rgba" if with_alpha else "rgb24"
    scale = [f"w={shown[0]}:h={shown[1]}", _SCALE_FLAGS]
    if not pix_fmt.startswith(("rgb", "bgr", "gbr", "gray", "pal8")):
        scale += [
            f"out_color_matrix={_MATRIX_NAMES[color.matrix]}",
            f"out_range={'pc' if full_range else 'tv'}",
        ]
    buffer = _buffer(width, height, pushed, Fraction(1, av.time_base), "gbr", "pc")
    if pix_fmt == "pal8":
        # Each picture gets its own palette, so that none has to wait for the last one.
        return _palette_graph(buffer, ("scale", ":".join(scale)))
    return _linked(buffer, ("scale", ":".join(scale)), ("format", pix_fmt))


def ready_frames(graph: Graph) -> Iterator[VideoFrame]:
    """Yield what the graph has finished."""
    while True:
        try:
            yield graph.vpull()
        except (BlockingIOError, EOFError):
            return


def drained_frames(graph: Graph) -> Iterator[VideoFrame]:
    """End the graph's input and yield what is left."""
    graph.vpush(None)
    yield from ready_frames(graph)


def upright_frame(
    picture: VideoFrame, orientation: Orientation, pts: int, time_base: Fraction
) -> Frame:
    """Take the pixels of an RGB picture out of FFmpeg's hands."""
    pixels = orientation.upright(np.asarray(picture.to_ndarray(), np.uint8))
    alpha = None
    if pixels.shape[2] == 4:
        opaque = pixels[:, :, 3].min() == 255
        alpha = None if opaque else np.ascontiguousarray(pixels[:, :, 3])
        pixels = np.ascontiguousarray(pixels[:, :, :3])
    return Frame(pixels, pts, time_base, picture.duration or 0, alpha)


def _side_data(frame: VideoFrame) -> Mapping[str, Buffer]:
    """What comes with a frame, but for kinds that PyAV does not know: it fails on those."""
    try:
        # PyAV's annotations know a dictionary here; what it gives is a mapping by type or name.
        return cast("Mapping[str, Buffer]", frame.side_data)
    except ValueError:
        buffer = _buffer(frame.width, frame.height, frame.format.name, Fraction(1), "gbr", "pc")
        deletions = [("sidedata", f"mode=delete:type={kind}") for kind in _KINDS_UNKNOWN_TO_PYAV]
        graph = _linked(buffer, *deletions)
        graph.vpush(frame)
        return cast("Mapping[str, Buffer]", graph.vpull().side_data)


def _color_tags(frame: VideoFrame) -> ColorTags:
    """The frame's tags; what is untagged is guessed as players do, from its size."""
    is_hd = frame.height >= _HD_HEIGHT or frame.width >= _HD_WIDTH
    matrix, primaries, transfer = (
        int(frame.colorspace),
        int(frame.color_primaries),
        int(frame.color_trc),
    )
    if matrix not in _MATRIX_NAMES:
        matrix = (BT709 if is_hd else BT601).matrix
    like = BT709 if matrix == BT709.matrix else BT601
    return ColorTags(
        matrix=matrix,
        primaries=like.primaries if primaries in (0, UNSPECIFIED) else primaries,
        transfer=like.transfer if transfer in (0, UNSPECIFIED) else transfer,
    )


def _buffer(
    width: int, height: int, pix_fmt: str, time_base: Fraction, matrix: str, range_name: str
) -> tuple[str, str]:
    return "buffer", (
        f"video_size={width}x{height}:pix_fmt={pix_fmt}"
        f":time_base={time_base.numerator}/{time_base.denominator}"
        f":colorspace={matrix}:range={range_name}"
    )


def _empty_graph() -> Graph:
    graph = Graph()
    graph.threads = max(1, (os.cpu_count() or 1) // _CORES_FOR_A_THREAD)
    return graph


def _linked(*filters: tuple[str, str]) -> Graph:
    graph = _empty_graph()
    nodes = [graph.add(name, arguments) for name, arguments in filters]
    graph.link_nodes(*nodes, graph.add("buffersink"))
    graph.configure()
    return graph


def _palette_graph(buffer: tuple[str, str], scale: tuple[str, str]) -> Graph:
    graph = _empty_graph()
    source, scaled, split = graph.add(*buffer), graph.add(*scale), graph.add("split")
    palette = graph.add("palettegen", "stats_mode=single")
    use, sink = graph.add("paletteuse", "new=1:dither=bayer:bayer_scale=4"), graph.add("buffersink")
    source.link_to(scaled)
    scaled.link_to(split)
    split.link_to(use, 0, 0)
    split.link_to(palette, 1, 0)
    palette.link_to(use, 0, 1)
    use.link_to(sink)
    graph.configure()
    return graph
