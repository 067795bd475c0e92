"""Input of an encoder: RGB arrays as FFmpeg's frames, and tags for their colors.

In: `Frame`s and color tags. Out: PyAV frames in rgba or rgb24, and tags on a codec context. The
conversion to the encoder's pixel format is in `toonvid.ffmpeg`.
"""

from __future__ import annotations

import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from toonvid.ffmpeg.color import FULL_RANGE, TV_RANGE
from toonvid.video import BT601, ColorTags, Frame, over_white


def written_color(codec: str, color: ColorTags) -> ColorTags:
    """Return the color tags that a codec's frames are made with.

    Args:
        codec: FFmpeg's name of the encoder.
        color: What the source's colors mean.
    """
    # JPEG, WebP and VP8 have no tags: all programs take them for BT.601.
    return BT601 if codec in ("mjpeg", "libwebp", "libvpx") else color


def is_full_range(pix_fmt: str) -> bool:
    """Whether black is 0 and white 255 in a pixel format, rather than 16 and 235."""
    return pix_fmt.startswith(("yuvj", "rgb", "bgr", "gbr", "gray", "pal8"))


def tag_colors(context: VideoCodecContext, color: ColorTags, full_range: bool) -> None:
    """State to an encoder what its frames' colors mean. RGB formats need no tags."""
    if context.pix_fmt is None or context.pix_fmt.startswith(("rgb", "bgr", "gbr", "pal8")):
        return
    context.color_range = FULL_RANGE if full_range else TV_RANGE
    context.colorspace = color.matrix
    context.color_primaries = color.primaries
    context.color_trc = color.transfer


def rgb_image(frame: Frame, padding: tuple[int, int], with_alpha: bool) -> VideoFrame:
    """Turn a frame into one of FFmpeg's, rgba or rgb24.

    Args:
        frame: Must not be changed any more.
        padding: Columns to add at the right and rows to add below, copies of the last ones.
        with_alpha: Whether the opacity is kept; else the frame is laid on white.
    """
    pixels, alpha = frame.pixels, frame.alpha
    if with_alpha:
        opacity = np.full(pixels.shape[:2], 255, np.uint8) if alpha is None else alpha
        pixels = np.dstack([pixels, opacity])  # (H, W, 4)
    elif alpha is not None:
        pixels = over_white(pixels, alpha)
    if any(padding):
        pixels = np.pad(pixels, ((0, padding[1]), (0, padding[0]), (0, 0)), mode="edge")
    # from_ndarray would copy, 6 MB for each frame of 1080p. FFmpeg holds the array instead.
    return VideoFrame.from_numpy_buffer(
        np.ascontiguousarray(pixels), format="rgba" if with_alpha else "rgb24"
    )
