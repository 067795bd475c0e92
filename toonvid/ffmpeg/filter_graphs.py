"""Filter graphs of FFmpeg: from decoded frames to RGB, and from RGB to what an encoder takes.

Color conversion, scaling, tone mapping and deinterlacing are done by libavfilter and libswscale.
This module states matrix, range, primaries and transfer on both ends of every graph, because
FFmpeg guesses where they are not stated. Rotation is not done here (`toonvid.reading.rotation`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
from av.filter.graph import Graph
from av.video.frame import VideoFrame

from toonvid.ffmpeg.color import MATRIX_NAMES, FrameFormat
from toonvid.video import ColorTags

# With these flags, a gray or a color bar changes by at most 2 levels from YUV to RGB and back.
# Without accurate_rnd, the graph towards the encoder takes half the time but breaks that bound.
_SCALE_FLAGS = "flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp"

_SRGB_TRANSFER = 13  # code point of H.273

# swscale takes every gray for full range, so 16..235 is stretched to 0..255 behind it.
_STRETCHED = "clip((val-16)*255/219,0,255)"

# Decoding, stylizing and encoding run in parallel. With few cores per stage, a graph that also
# splits its own work waits for its threads longer than it gains.
_CORES_PER_GRAPH_THREAD = 8

Filter = tuple[str, str]  # name and arguments


def rgb_graph(
    kind: FrameFormat,
    time_base: Fraction,
    width: int,
    height: int,
    shown: tuple[int, int] | None = None,
    tone_table: Path | None = None,
) -> Graph:
    """Build a graph from decoded frames to RGB: deinterlaced, cropped, scaled, tone-mapped.

    Args:
        kind: Format of the frames that are pushed.
        time_base: Seconds per unit of their pts.
        width: Width of the frames that come out, in pixels, before rotation.
        height: Height of the frames that come out, in pixels, before rotation.
        shown: Width and height of the picture inside of them, with black bars around; None to fill
            them.
        tone_table: File that maps the colors of these frames to BT.709, from
            `toonvid.ffmpeg.tone_table`; None to have libswscale compute one, which takes seconds.

    Returns:
        A graph whose frames are rgba where `kind` has alpha, else rgb24.
    """
    matrix = MATRIX_NAMES[kind.color.matrix] if kind.is_yuv else "gbr"
    range_name = "pc" if kind.full_range or not kind.is_yuv else "tv"
    inner_width, inner_height = shown or (width, height)
    scale = [f"w={inner_width}:h={inner_height}", "out_range=pc", _SCALE_FLAGS]
    if kind.is_yuv:
        scale += [f"in_color_matrix={matrix}", f"in_range={range_name}"]
    if kind.exceeds_bt709 and tone_table is None:
        scale += to_bt709(kind.color)
    source = buffer_filter(
        kind.width, kind.height, kind.pix_fmt, time_base, matrix=matrix, range_name=range_name
    )
    deinterlace = [("bwdif", "mode=send_frame:deint=interlaced")] if kind.interlaced else []
    steps = [*deinterlace, *_crop(kind), ("scale", ":".join(scale))]
    if kind.exceeds_bt709 and tone_table is not None:
        deep = "gbrap16le" if kind.has_alpha else "gbrp16le"
        table = ("lut3d", f"file={_escaped(tone_table)}:interp=tetrahedral")
        steps += [("format", deep), table, ("scale", "")]
    if kind.is_yuv and not kind.has_alpha:
        # swscale has vector code for planar RGB and none for rgb24: the detour over gbrp gives the
        # same levels in a third of the time.
        steps += [("format", "gbrp"), ("scale", "")]
    steps.append(("format", "rgba" if kind.has_alpha else "rgb24"))
    if kind.is_gray and not kind.full_range:
        steps.append(("lutrgb", ":".join(f"{channel}={_STRETCHED}" for channel in "rgb")))
    if (inner_width, inner_height) != (width, height):
        left, top = (width - inner_width) // 2, (height - inner_height) // 2
        steps.append(("pad", f"w={width}:h={height}:x={left}:y={top}:color=black"))
    return linked_graph(source, *steps)


def to_bt709(color: ColorTags) -> tuple[str, ...]:
    """Return arguments of the filter `scale` that map HDR and wide gamut to BT.709.

    swscale maps tones and gamut itself once the output is named (FFmpeg 7.1 and later). The curve
    of sRGB is kept: images in it become images in it, and programs show both curves alike.
    """
    transfer = "iec61966-2-1" if color.transfer == _SRGB_TRANSFER else "bt709"
    return "out_primaries=bt709", f"out_transfer={transfer}", "intent=perceptual"


def _escaped(path: Path) -> str:
    """Return a path as the value of a filter's option."""
    text = str(path).replace("\\", "/")
    return "".join(f"\\{letter}" if letter in ":'[],;" else letter for letter in text)


def _crop(kind: FrameFormat) -> list[Filter]:
    left, top, right, bottom = kind.crop
    width, height = kind.width - left - right, kind.height - top - bottom
    if (width, height) == (kind.width, kind.height):
        return []
    return [("crop", f"w={width}:h={height}:x={left}:y={top}:exact=1")]


def encoder_graph(
    width: int,
    height: int,
    shown: tuple[int, int],
    pix_fmt: str,
    color: ColorTags,
    full_range: bool,
    with_alpha: bool,
) -> Graph:
    """Build a graph from RGB frames of one size to the encoder's frames.

    Args:
        width: Width of the frames that are pushed, in pixels.
        height: Height of the frames that are pushed, in pixels.
        shown: Width and height of the encoder's frames, in pixels.
        pix_fmt: FFmpeg's name of the encoder's pixel format.
        color: Tags of the encoder's frames; its matrix is used for the conversion.
        full_range: Whether black is 0 and white 255 in the encoder's frames, rather than 16 and
            235.
        with_alpha: Whether frames are pushed as rgba rather than rgb24.
    """
    pushed = "rgba" if with_alpha else "rgb24"
    scale = [f"w={shown[0]}:h={shown[1]}", _SCALE_FLAGS]
    if not pix_fmt.startswith(("rgb", "bgr", "gbr", "gray", "pal8")):
        scale += [
            f"out_color_matrix={MATRIX_NAMES[color.matrix]}",
            f"out_range={'pc' if full_range else 'tv'}",
        ]
    source = buffer_filter(
        width, height, pushed, Fraction(1, av.time_base), matrix="gbr", range_name="pc"
    )
    if pix_fmt == "pal8":
        return _palette_graph(source, ("scale", ":".join(scale)))
    return linked_graph(source, ("scale", ":".join(scale)), ("format", pix_fmt))


def ready_frames(graph: Graph) -> Iterator[VideoFrame]:
    """Yield the frames that the graph has finished; it may take more input afterwards."""
    while True:
        try:
            yield graph.vpull()
        except (BlockingIOError, EOFError):
            return


def drained_frames(graph: Graph) -> Iterator[VideoFrame]:
    """End the graph's input and yield the remaining frames."""
    graph.vpush(None)
    yield from ready_frames(graph)


def buffer_filter(
    width: int, height: int, pix_fmt: str, time_base: Fraction, matrix: str, range_name: str
) -> Filter:
    """Return the filter through which frames enter a graph.

    Args:
        width: Width of the frames, in pixels.
        height: Height of the frames, in pixels.
        pix_fmt: FFmpeg's name of their pixel format.
        time_base: Seconds per unit of their pts.
        matrix: FFmpeg's name of their matrix; `gbr` for RGB.
        range_name: `tv` or `pc`.
    """
    return "buffer", (
        f"video_size={width}x{height}:pix_fmt={pix_fmt}"
        f":time_base={time_base.numerator}/{time_base.denominator}"
        f":colorspace={matrix}:range={range_name}"
    )


def linked_graph(*filters: Filter) -> Graph:
    """Build a graph of filters in a row, ready to push to and pull from."""
    graph = _empty_graph()
    nodes = [graph.add(name, arguments) for name, arguments in filters]
    graph.link_nodes(*nodes, graph.add("buffersink"))
    graph.configure()
    return graph


def _empty_graph() -> Graph:
    graph = Graph()
    graph.threads = max(1, (os.cpu_count() or 1) // _CORES_PER_GRAPH_THREAD)
    return graph


def _palette_graph(source: Filter, scale: Filter) -> Graph:
    """Build a graph to pal8. Each frame gets its own palette, so no frame waits for the last."""
    graph = _empty_graph()
    buffer, scaled, split = graph.add(*source), graph.add(*scale), graph.add("split")
    palette = graph.add("palettegen", "stats_mode=single")
    use, sink = graph.add("paletteuse", "new=1:dither=bayer:bayer_scale=4"), graph.add("buffersink")
    buffer.link_to(scaled)
    scaled.link_to(split)
    split.link_to(use, 0, 0)
    split.link_to(palette, 1, 0)
    palette.link_to(use, 0, 1)
    use.link_to(sink)
    graph.configure()
    return graph
