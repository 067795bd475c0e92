"""Small images for tests of the trainer."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from toonvid.video import Pixels


def draw_discs(height: int, width: int, seed: int, ink: bool = False) -> Pixels:
    """Draw discs of flat color with noise, or outlined in ink; (H, W, 3) uint8, RGB."""
    random = np.random.default_rng(seed)
    image = np.full((height, width, 3), random.integers(60, 200, 3), np.uint8)
    for _ in range(6):
        center = int(random.integers(width)), int(random.integers(height))
        color = tuple(int(level) for level in random.integers(0, 256, 3))
        radius = int(random.integers(5, 25))
        cv2.circle(image, center, radius, color, thickness=-1)
        if ink:
            cv2.circle(image, center, radius, (20, 15, 15), thickness=2)
    if ink:
        return image
    noise = random.normal(0, 4, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def write_image(path: Path, pixels: Pixels) -> None:
    """Write an image (H, W, 3) uint8, RGB."""
    cv2.imencode(path.suffix, cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))[1].tofile(path)
