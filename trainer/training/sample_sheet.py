"""Contact sheets: held-out photos above what the generator makes of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from toonvid.video import Pixels
from trainer.data.images import (
    UnusableImageError,
    find_images,
    read_image,
    resize_to,
    to_tensor,
)

PICTURES = 8
FRAME_HEIGHT = 360
"""Short side in pixels that a photo is resized to before the middle is cut out of it."""


def read_heldout(folder: Path) -> list[Pixels]:
    """Pictures spread evenly over a folder, `FRAME_HEIGHT` square; fewer if some cannot be read.

    Raises:
        TrainingError: There are none.
    """
    paths = find_images(folder)
    squares = []
    for path in paths[:: -(-len(paths) // PICTURES)]:
        try:
            photo = resize_to(read_image(path), FRAME_HEIGHT)
        except UnusableImageError:
            continue
        top, left = ((side - FRAME_HEIGHT) // 2 for side in photo.shape[:2])
        squares.append(photo[top : top + FRAME_HEIGHT, left : left + FRAME_HEIGHT])
    return squares


def draw_contact_sheet(generator: nn.Module, photos: list[Pixels]) -> Pixels:
    """A row of photos above a row of their cartoons, (H, W, 3) uint8, RGB.

    Args:
        generator: G, from (N, 3, H, W) in [-1, 1] to the same.
        photos: Squares (H, H, 3) uint8, RGB, all of one size.
    """
    return np.vstack(
        [np.hstack(photos), np.hstack([stylize(generator, photo) for photo in photos])]
    )


def stylize(generator: nn.Module, photo: Pixels) -> Pixels:
    """One picture (H, W, 3) uint8, RGB, through a generator at float32."""
    device = next(generator.parameters()).device
    with torch.no_grad():
        cartoon = generator(to_tensor(photo[None]).to(device))[0]
    levels = (cartoon.clamp(-1, 1) + 1) * 127.5
    return levels.round().byte().permute(1, 2, 0).cpu().numpy()
