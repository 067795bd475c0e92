"""Square crops of a frame at several scales.

In: one frame. Out: its crops. Their positions are random, with the frame's content as the seed, so
that the same frame always gives the same crops.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from toonvid.video import Pixels
from trainer.prepare.frame_extraction import PrepareOptions
from trainer.prepare.quality_filter import perceptual_hash


def cut_crops(pixels: Pixels, options: PrepareOptions) -> Iterator[tuple[int, int, Pixels]]:
    """Yield the crops of a frame.

    Args:
        pixels: (H, W, 3) uint8, RGB.
        options: Side, scales and number of the crops.

    Yields:
        Short side in pixels to which the frame was reduced, index of the crop at that scale from 0,
        and the crop, (size, size, 3) uint8, RGB.
    """
    seed = [int(byte) for byte in perceptual_hash(pixels)]
    for short_side, count in options.crops_by_scale(pixels).items():
        reduced = _reduced(pixels, short_side)
        random = np.random.default_rng([*seed, short_side])
        positions = _positions(reduced.shape, options.size, count, random)
        for index, (top, left) in enumerate(positions):
            crop = reduced[top : top + options.size, left : left + options.size]
            yield short_side, index, crop


def _reduced(pixels: Pixels, short_side: int) -> Pixels:
    height, width, _ = pixels.shape
    scale = short_side / min(height, width)
    if scale == 1:
        return pixels
    size = (max(short_side, round(width * scale)), max(short_side, round(height * scale)))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)


def _positions(
    shape: tuple[int, ...], size: int, count: int, random: np.random.Generator
) -> Iterator[tuple[int, int]]:
    """Yield top and left of each crop: one random position per strip along the longer side."""
    ranges = [side - size for side in shape[:2]]
    along = 0 if ranges[0] > ranges[1] else 1
    # Strips spread the crops; independent positions would often overlap.
    strip = ranges[along] / count
    for index in range(count):
        position = [int(random.integers(length + 1)) for length in ranges]
        position[along] = int(random.integers(int(index * strip), int((index + 1) * strip) + 1))
        yield position[0], position[1]
