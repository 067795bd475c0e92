"""Contact sheets: held-out photos above what the generator makes of them.

In: a folder of photos that are not trained on, and a generator. Out: one image (H, W, 3) uint8 RGB,
on which a person sees how far the training is.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from toonvid.stylizing.stylizer import pad_to_multiple
from toonvid.video import Pixels
from trainer.data.images import (
    UnusableImageError,
    find_images,
    read_image,
    resize_to,
    to_tensor,
)
from trainer.data.line_art import draw_line_art

MAX_PHOTOS = 8
"""Largest number of photos on a sheet."""

PHOTO_SIDE = 360  # pixels
"""Side of each square on a sheet, and short side that a photo is resized to."""


def read_heldout(folder: Path, as_line_art: bool = False) -> list[Pixels]:
    """Read the center squares of up to `MAX_PHOTOS` photos, spread evenly over a folder.

    Args:
        folder: Folder of images, searched recursively.
        as_line_art: Whether the images are art, and its line art is wanted.

    Returns:
        Squares (`PHOTO_SIDE`, `PHOTO_SIDE`, 3) uint8 RGB; photos that cannot be read are left out.

    Raises:
        TrainingError: The folder has no photos.
    """
    paths = find_images(folder)
    squares = []
    for path in paths[:: -(-len(paths) // MAX_PHOTOS)]:
        try:
            photo = resize_to(read_image(path), PHOTO_SIDE)
        except UnusableImageError:
            continue
        top, left = ((side - PHOTO_SIDE) // 2 for side in photo.shape[:2])
        squares.append(photo[top : top + PHOTO_SIDE, left : left + PHOTO_SIDE])
    return [draw_line_art(square) for square in squares] if as_line_art else squares


def draw_contact_sheet(generator: nn.Module, photos: list[Pixels]) -> Pixels:
    """Draw a row of photos above a row of their cartoons.

    Args:
        generator: G, (N, 3, H, W) in [-1, 1] to the same shape.
        photos: Squares of one size, (H, H, 3) uint8 RGB.

    Returns:
        The sheet, (2 * H, len(photos) * H, 3) uint8 RGB.
    """
    return np.vstack(
        [np.hstack(photos), np.hstack([stylize(generator, photo) for photo in photos])]
    )


def stylize(generator: nn.Module, photo: Pixels) -> Pixels:
    """Run a generator on one image, (H, W, 3) uint8 RGB, on the generator's device."""
    device = next(generator.parameters()).device
    height, width = photo.shape[:2]
    padded = pad_to_multiple(photo[None], int(generator.multiple_of))
    with torch.no_grad():
        cartoon = generator(to_tensor(padded).to(device))[0, :, :height, :width]  # (3, H, W)
    levels = (cartoon.float().clamp(-1, 1) + 1) * 127.5
    return levels.round().byte().permute(1, 2, 0).cpu().numpy()
