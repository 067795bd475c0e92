"""Resize: a picture in another size, by FFmpeg's scaler."""

from __future__ import annotations

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation

from toonvid.video import Pixels


def resize(pixels: Pixels, width: int, height: int) -> Pixels:
    """A picture, (H, W, 3), stretched to (height, width, 3)."""
    if pixels.shape[:2] == (height, width):
        return pixels
    smaller = width * height < pixels.shape[0] * pixels.shape[1]
    kind = Interpolation.AREA if smaller else Interpolation.BICUBIC
    picture = VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
    picture = picture.reformat(width, height, interpolation=kind)
    return np.asarray(picture.to_ndarray(), np.uint8)


def letterbox(pixels: Pixels, width: int, height: int) -> Pixels:
    """A picture, (H, W, 3), whole and in its own shape, in a black one of (height, width, 3)."""
    own_height, own_width = pixels.shape[:2]
    if (own_height, own_width) == (height, width):
        return pixels
    scale = min(width / own_width, height / own_height)
    inner = resize(pixels, max(1, round(own_width * scale)), max(1, round(own_height * scale)))
    box = np.zeros((height, width, 3), np.uint8)
    top, left = (height - inner.shape[0]) // 2, (width - inner.shape[1]) // 2
    box[top : top + inner.shape[0], left : left + inner.shape[1]] = inner
    return box
