"""Square crops of a frame at several scales, in places that the frame itself decides."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from toonvid.video import Pixels
from trainer.prepare.frame_extraction import PrepareOptions
from trainer.prepare.quality_filter import perceptual_hash


def cut_crops(pixels: Pixels, options: PrepareOptions) -> Iterator[tuple[int, int, Pixels]]:
    """Yield crops of a frame, the same ones for the same frame.

    Args:
        pixels: (H, W, 3) uint8, RGB.
        options: Size, scales and number of the crops.

    Yields:
        Short side that the frame was reduced to, number of the crop from 0, and the crop,
        (size, size, 3).
    """
    own = min(pixels.shape[:2])
    seed = [int(byte) for byte in perceptual_hash(pixels)]
    for short_side in sorted({min(own, side) for side in options.short_sides}):
        if short_side < options.size:
            continue
        reduced = _reduced(pixels, short_side)
        random = np.random.default_rng([*seed, short_side])
        for index, (top, left) in enumerate(_places(reduced.shape, options, random)):
            crop = reduced[top : top + options.size, left : left + options.size]
            yield short_side, index, crop


def _reduced(pixels: Pixels, short_side: int) -> Pixels:
    height, width, _ = pixels.shape
    scale = short_side / min(height, width)
    if scale == 1:
        return pixels
    size = (max(short_side, round(width * scale)), max(short_side, round(height * scale)))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)


def _places(
    shape: tuple[int, ...], options: PrepareOptions, random: np.random.Generator
) -> Iterator[tuple[int, int]]:
    """Top and left of each crop: one at random in each of equal strips along the longer side."""
    rooms = [side - options.size for side in shape[:2]]
    along = 0 if rooms[0] > rooms[1] else 1
    count = min(options.crops, 1 + rooms[along] // max(1, options.size // 2))
    strip = rooms[along] / count
    for index in range(count):
        place = [int(random.integers(room + 1)) for room in rooms]
        place[along] = int(random.integers(int(index * strip), int((index + 1) * strip) + 1))
        yield place[0], place[1]
