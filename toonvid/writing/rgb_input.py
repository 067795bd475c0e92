"""What an encoder is given: a frame as FFmpeg's picture, and what its colours mean. The filters
between the two are `toonvid.ffmpeg.color`'s.
"""

from __future__ import annotations

import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from toonvid.ffmpeg.color import FULL_RANGE, TV_RANGE
from toonvid.video import BT601, ColorTags, Frame, Pixels

_WHITE = 255


def written_color(codec: str, color: ColorTags) -> ColorTags:
    """What a codec's pictures are made with, where the source's colours are these."""
    return BT601 if codec in ("mjpeg", "libwebp") else color


def is_full_range(pix_fmt: str) -> bool:
    """Whether black is 0 and white 255 in a pixel format, rather than 16 and 235."""
    return pix_fmt.startswith(("yuvj", "rgb", "bgr", "gbr", "gray", "pal8"))


def tag_colors(context: VideoCodecContext, color: ColorTags, full_range: bool) -> None:
    """State to an encoder what its pictures' colours mean; those that are RGB need no tags."""
    if context.pix_fmt is None or context.pix_fmt.startswith(("rgb", "bgr", "gbr", "pal8")):
        return
    context.color_range = FULL_RANGE if full_range else TV_RANGE
    context.colorspace = color.matrix
    context.color_primaries = color.primaries
    context.color_trc = color.transfer


def rgb_image(frame: Frame, padding: tuple[int, int], with_alpha: bool) -> VideoFrame:
    """A frame as a picture of FFmpeg's, rgba or rgb24.

    Args:
        frame: Must not be changed any more.
        padding: How many columns and rows to double at the right and below.
        with_alpha: Whether the picture lets one see through; else it lies on white.
    """
    pixels, alpha = frame.pixels, frame.alpha
    if with_alpha:
        opacity = np.full(pixels.shape[:2], 255, np.uint8) if alpha is None else alpha
        pixels = np.dstack([pixels, opacity])
    elif alpha is not None:
        pixels = _over_white(pixels, alpha)
    if any(padding):
        pixels = np.pad(pixels, ((0, padding[1]), (0, padding[0]), (0, 0)), mode="edge")
    # Without a copy: FFmpeg holds the array until it is done with it.
    return VideoFrame.from_numpy_buffer(
        np.ascontiguousarray(pixels), format="rgba" if with_alpha else "rgb24"
    )


def _over_white(pixels: Pixels, alpha: Pixels) -> Pixels:
    opacity = alpha[:, :, None].astype(np.uint16)
    mixed = pixels * opacity + _WHITE * (255 - opacity)
    return ((mixed + 127) // 255).astype(np.uint8)
