"""A contact sheet of one picture in every color order and value range, to choose by eye.

In: a network and a picture. Out: an image with two rows (RGB, BGR) of four: the picture itself, and
its cartoon with the ranges -1..1, 0..1 and 0..255.
"""

from __future__ import annotations

import numpy as np

from toonvid.choices import COLOR_ORDERS, VALUE_RANGES, ValueRange
from toonvid.importing.network import Layout, Network, Reading
from toonvid.importing.sizes import Sizes
from toonvid.stylizing.resize import resize
from toonvid.video import Pixels
from toonvid.writing.contact_sheet import contact_sheet

TILE_WIDTH = 384
"""Width of each image of a sheet, in pixels, at most."""
COLUMNS = 1 + len(VALUE_RANGES)


def draw_sheet(
    network: Network,
    layout: Layout,
    sizes: Sizes,
    output_range: ValueRange | None,
    picture: Pixels,
) -> Pixels:
    """Draw the sheet.

    Args:
        network: The network, not wrapped.
        layout: Layout of its input.
        sizes: Sizes that it takes.
        output_range: Range of its output; None: the same as that of the input.
        picture: (H, W, 3) uint8, RGB. It is reduced to `TILE_WIDTH`, and cut to a size that the
            network takes.

    Returns:
        The sheet, (H', W', 3) uint8, RGB.

    Raises:
        EngineError: The network does not run.
    """
    tile = fit_picture(picture, sizes.multiple_of)
    source = tile if sizes.fixed is None else resize(tile, sizes.fixed[1], sizes.fixed[0])
    images = []
    for order in COLOR_ORDERS:
        images.append(tile)
        for value_range in VALUE_RANGES:
            reading = Reading(order, value_range, output_range or value_range)
            cartoons, _ = network.cartoons(source[None], layout, reading)
            images.append(resize(cartoons[0], tile.shape[1], tile.shape[0]))
    return contact_sheet(images, COLUMNS)


def fit_picture(picture: Pixels, multiple_of: int) -> Pixels:
    """Reduce a picture to `TILE_WIDTH`, and cut it to multiples of a number of pixels."""
    height, width = picture.shape[:2]
    scale = min(1.0, TILE_WIDTH / width)
    reduced = resize(picture, max(1, round(width * scale)), max(1, round(height * scale)))
    height, width = (max(side // multiple_of, 1) * multiple_of for side in reduced.shape[:2])
    if (height, width) > reduced.shape[:2]:  # less than one multiple
        reduced = resize(reduced, max(width, reduced.shape[1]), max(height, reduced.shape[0]))
    return np.ascontiguousarray(reduced[:height, :width])
