"""Contact sheets: images of one size in rows, and an image file of an array.

Arrays go in, with a label for each if wanted; one array, or a file, comes out. What is shown on a
sheet is left out.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from toonvid.errors import TargetError
from toonvid.files import is_same_file
from toonvid.video import Frame, Pixels, VideoInfo
from toonvid.writing.muxer import write_video
from toonvid.writing.options import EncodeOptions

_GAP = 8  # pixels between images
_BACKGROUND = 255
_ROWS_PER_LABEL_PIXEL = 18  # height of an image over that of a label's letters
_SMALLEST_LETTERS = 10  # pixels
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


def labelled(image: Pixels, label: str) -> Pixels:
    """Writes a label into the upper left corner of an image, white on black.

    Args:
        image: Shape (H, W, 3), uint8, RGB. Not changed.
        label: One line. What the image is too narrow for is cut off.

    Returns:
        The same shape.
    """
    letters = max(_SMALLEST_LETTERS, image.shape[0] // _ROWS_PER_LABEL_PIXEL)
    drawn = Image.fromarray(image)
    draw = ImageDraw.Draw(drawn)
    font = ImageFont.load_default(size=letters)
    margin = letters // 2
    _, _, right, bottom = draw.textbbox((margin, margin), label, font=font)
    draw.rectangle((0, 0, right + margin, bottom + margin), fill="black")
    draw.text((margin, margin), label, font=font, fill="white")
    return np.asarray(drawn, np.uint8)


def check_target(target: Path, source: str | Path, overwrite: bool) -> None:
    """Check, before anything is drawn, that `write_image` may write a file.

    Args:
        target: The file.
        source: What the image is made from.
        overwrite: Whether to replace a file that is there.

    Raises:
        TargetError: The target is its own source, or is there already.
    """
    if is_same_file(target, source):
        raise TargetError(f"{source} would be written over itself; name another target")
    if os.path.lexists(target) and not overwrite:
        raise TargetError(f"{target} is there already (--overwrite replaces it)")


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
