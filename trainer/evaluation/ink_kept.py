"""How much of a drawing's ink a cartoon has, and how much it has that the drawing has not.

A photo's drawing (`trainer.data.drawing`) and a cartoon of the photo go in; shares come out. Lines
are found in the cartoon's pixels alone, so that pictures of any program can be measured. A line is
darker than what lies on both its sides: a picture that is black everywhere has none.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from toonvid.video import Pixels
from trainer.data.drawing import LENGTH_EXPONENT, REFERENCE_HEIGHT

LINE_RADIUS = 4.0  # pixels at REFERENCE_HEIGHT: wider dark shapes are areas
DARKEST_QUARTER = 64.0  # levels of luma, of 255: ink is at most as light
CONTRAST = 0.5  # of the luma around: ink is at most as light
SMALLEST_CONTRAST = 16.0  # levels of luma below what is around
FULL_INK = 160  # of 255: ink of the drawing that has to be there
ANY_INK = 64  # of 255: ink of the drawing that may be there
TOLERANCE = 1.0  # pixels at REFERENCE_HEIGHT

Mask = NDArray[np.bool_]
"""Shape (H, W)."""


@dataclass
class InkCounts:
    """Numbers of pixels, summed over pictures."""

    drawn: int = 0
    """Ink of the drawings."""
    kept: int = 0
    """Ink of the drawings where the cartoons have a dark line."""
    lines: int = 0
    """Dark lines of the cartoons."""
    foreign: int = 0
    """Dark lines of the cartoons where the drawings have no ink."""

    def add(self, cartoon: Pixels, ink: NDArray[np.uint8]) -> None:
        """Counts one picture.

        Args:
            cartoon: Shape (H, W, 3), uint8, RGB.
            ink: Ink of the drawing of the same photo, shape (H, W), 255 is full.
        """
        lines, tolerance = find_lines(cartoon), round(TOLERANCE * _unit(cartoon))
        drawn = ink >= FULL_INK
        self.drawn += int(drawn.sum())
        self.kept += int((drawn & _dilate(lines, tolerance)).sum())
        self.lines += int(lines.sum())
        self.foreign += int((lines & ~_dilate(ink >= ANY_INK, tolerance)).sum())

    @property
    def kept_share(self) -> float | None:
        """Share of the drawings' ink that is kept, 0..1; None where nothing was drawn."""
        return self.kept / self.drawn if self.drawn else None

    @property
    def foreign_share(self) -> float | None:
        """Share of the cartoons' lines that the drawings do not have; None without lines."""
        return self.foreign / self.lines if self.lines else None


def find_lines(picture: Pixels) -> Mask:
    """Finds dark lines: pixels that are dark, and much darker than both sides of a narrow shape.

    A morphological closing fills dark shapes that are narrower than its kernel with the luma
    around them.

    Args:
        picture: Shape (H, W, 3), uint8, RGB.
    """
    luma = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    side = 2 * round(LINE_RADIUS * _unit(picture)) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    around = cv2.morphologyEx(luma, cv2.MORPH_CLOSE, kernel)
    depth = np.maximum((1 - CONTRAST) * around, SMALLEST_CONTRAST)
    return (luma <= DARKEST_QUARTER) & (around - luma >= depth)


def _unit(picture: Pixels) -> float:
    """Factor on lengths, which grow with the picture as those of a drawing do."""
    return (min(picture.shape[:2]) / REFERENCE_HEIGHT) ** LENGTH_EXPONENT


def _dilate(mask: Mask, radius: int) -> Mask:
    kernel = np.ones((2 * radius + 1,) * 2, np.uint8)
    return cv2.dilate(mask.astype(np.uint8), kernel).astype(bool)
