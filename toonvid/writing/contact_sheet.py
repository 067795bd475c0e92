"""Contact sheets: pictures of one size in rows."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from toonvid.video import Frame, Pixels, VideoInfo
from toonvid.writing.muxer import write_video
from toonvid.writing.options import EncodeOptions

_GAP = 8  # pixels between pictures
_BACKGROUND = 255


def contact_sheet(pictures: Sequence[Pixels], columns: int) -> Pixels:
    """Lay pictures out in rows.

    Args:
        pictures: At least one, each (H, W, 3), uint8, all of one shape.
        columns: Pictures in a row.
    """
    height, width, _ = pictures[0].shape
    rows = -(-len(pictures) // columns)
    size = (rows * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP, 3)
    sheet = np.full(size, _BACKGROUND, np.uint8)
    for index, picture in enumerate(pictures):
        top, left = index // columns * (height + _GAP), index % columns * (width + _GAP)
        sheet[top : top + height, left : left + width] = picture
    return sheet


def write_image(target: Path, pixels: Pixels, overwrite: bool = False) -> None:
    """Write one picture; its format is told by the target's suffix.

    Raises:
        TargetError: It cannot be written, or is there already.
    """
    height, width, _ = pixels.shape
    frame = Frame(pixels, 0, Fraction(1, 25))
    info = VideoInfo(str(target), "", width, height, frame.time_base, is_image=True)
    write_video(target, info, [frame], EncodeOptions(overwrite=overwrite))
