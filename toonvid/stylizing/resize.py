"""Images in another size, by FFmpeg's scaler.

Arrays go in and arrays come out. Frames of a video file are not resized here but while they are
decoded (`toonvid.reading.options`).
"""

from __future__ import annotations

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation

from toonvid.video import Pixels


def resize(pixels: Pixels, width: int, height: int) -> Pixels:
    """Stretches an image to a size.

    Args:
        pixels: Shape (H, W, 3), uint8, RGB.
        width: Width in pixels.
        height: Height in pixels.

    Returns:
        Shape (height, width, 3); the same array where the size is right already.
    """
    if pixels.shape[:2] == (height, width):
        return pixels
    is_smaller = width * height < pixels.shape[0] * pixels.shape[1]
    # Means over areas when shrinking: bicubic looks at 16 pixels only, so thin lines would flicker.
    interpolation = Interpolation.AREA if is_smaller else Interpolation.BICUBIC
    frame = VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
    frame = frame.reformat(width, height, interpolation=interpolation)
    return np.asarray(frame.to_ndarray(), np.uint8)


def letterbox(pixels: Pixels, width: int, height: int) -> Pixels:
    """Fits an image into a size, its own shape kept, with black bars around it.

    Args:
        pixels: Shape (H, W, 3), uint8, RGB.
        width: Width in pixels, of the image with its bars.
        height: Height in pixels.

    Returns:
        Shape (height, width, 3); the same array where the size is right already.
    """
    own_height, own_width = pixels.shape[:2]
    if (own_height, own_width) == (height, width):
        return pixels
    scale = min(width / own_width, height / own_height)
    inner = resize(pixels, max(1, round(own_width * scale)), max(1, round(own_height * scale)))
    boxed = np.zeros((height, width, 3), np.uint8)
    top, left = (height - inner.shape[0]) // 2, (width - inner.shape[1]) // 2
    boxed[top : top + inner.shape[0], left : left + inner.shape[1]] = inner
    return boxed
