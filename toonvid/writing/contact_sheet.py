"""Contact sheets: images of one size in rows, and an image file of an array.

Arrays go in; one array, or a file, comes out. What is shown on a sheet is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from toonvid.video import Frame, Pixels, VideoInfo
from toonvid.writing.muxer import write_video
from toonvid.writing.options import EncodeOptions

_GAP = 8  # pixels between images
_BACKGROUND = 255
_TIME_BASE = Fraction(1, 25)  # an image has no time, but the encoder wants one


def contact_sheet(images: Sequence[Pixels], columns: int) -> Pixels:
    """Lays images out in rows, with white gaps.

    Args:
        images: At least one, each of shape (H, W, 3), uint8, RGB; all of one size.
        columns: Number of images in a row.

    Returns:
        The sheet, shape (rows * (H + 8) - 8, columns * (W + 8) - 8, 3), uint8, RGB.
    """
    height, width, _ = images[0].shape
    rows = -(-len(images) // columns)
    size = (rows * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP, 3)
    sheet = np.full(size, _BACKGROUND, np.uint8)
    for index, image in enumerate(images):
        row, column = divmod(index, columns)
        top, left = row * (height + _GAP), column * (width + _GAP)
        sheet[top : top + height, left : left + width] = image
    return sheet


def write_image(target: Path, pixels: Pixels, overwrite: bool = False) -> None:
    """Writes one image to a file.

    Args:
        target: The file; its suffix names the format (.png, .jpg, .webp).
        pixels: Shape (H, W, 3), uint8, RGB.
        overwrite: Whether to replace a file that is there.

    Raises:
        TargetError: The file cannot be written, or is there already.
    """
    height, width, _ = pixels.shape
    frame = Frame(pixels, pts=0, time_base=_TIME_BASE)
    info = VideoInfo(
        name=str(target),
        container="",
        width=width,
        height=height,
        time_base=_TIME_BASE,
        is_image=True,
    )
    write_video(target, info, [frame], EncodeOptions(overwrite=overwrite))
