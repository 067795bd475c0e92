"""Frame sizes that a network takes: multiples of a number of pixels, or one fixed size.

In: a network and its layout. Out: `Sizes`. A file with a fixed size often works at any other, and
is then freed of it; where that is not safe, frames are resized to its size and back.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from onnx import ModelProto

from toonvid.backends.cartoon_check import sample_frame
from toonvid.choices import ValueRange
from toonvid.errors import EngineError
from toonvid.importing.facts import Facts
from toonvid.importing.network import Layout, Network, Reading, image_shape
from toonvid.importing.prepare_graph import free_sides, refuse_huge_results

MULTIPLES = (1, 2, 4, 8, 16, 32, 64)
_PROBED_SIDES = (70, 130)  # in pixels, about
_TILE = 128  # pixels
_LOOKED_AT = (256, 256)  # (height, width) in pixels
_MOST_DIFFERENCE = 8.0
"""Largest mean difference, in levels, of the cartoon of a tile and that of four mirrored ones."""


@dataclass(frozen=True)
class Sizes:
    """Frame sizes that a network takes."""

    multiple_of: int
    """Both sides must be multiples of it, in pixels; 1 where frames are resized."""
    fixed: tuple[int, int] | None = None
    """(height, width) to which frames are resized; None if frames keep their size."""
    was_freed: bool = False
    """Whether the file states a fixed size but works at others."""


def find_sizes(model: ModelProto, facts: Facts) -> tuple[ModelProto, Layout, Sizes]:
    """Find the sizes that a network takes, and free it of a fixed one where that is safe.

    Args:
        model: Network as `prepare_graph.prepare_graph` gives it.
        facts: What its graph says.

    Returns:
        The network with free sides, or, where frames must be resized, as it was; its layout; its
        sizes.

    Raises:
        EngineError: The output has another size than the input, or the network fits no image.
    """
    freed = free_sides(model)
    layouts: tuple[Layout, ...] = (facts.layout,) if facts.layout else ("NHWC", "NCHW")
    # First of all: OpenVINO computes constants, however large, while it reads a file.
    for layout in layouts:
        refuse_huge_results(freed, image_shape(layout, *_LOOKED_AT))
    if facts.fixed_size is not None:
        refuse_huge_results(model, image_shape(layouts[0], *facts.fixed_size))
    network = Network(freed.SerializeToString())
    for layout in layouts:
        sizes = sizes_of(network, layout, facts)
        if sizes is not None:
            return freed, layout, sizes
    if facts.fixed_size is None or facts.layout is None:
        raise EngineError(misfit(network, layouts[0], _LOOKED_AT))
    original = Network(model.SerializeToString())
    if not keeps_size(original, facts.layout, *facts.fixed_size):
        raise EngineError(misfit(original, facts.layout, facts.fixed_size))
    return model, facts.layout, Sizes(1, fixed=facts.fixed_size)


def sizes_of(network: Network, layout: Layout, facts: Facts) -> Sizes | None:
    """Find the sizes of a network whose sides are free; None if it is not safe at any size."""
    multiple_of = find_multiple(network, layout)
    if multiple_of is None:
        return None
    if facts.fixed_size is None:
        return Sizes(multiple_of)
    if is_same_at_other_sizes(network, layout, facts.output_range or "-1..1"):
        return Sizes(multiple_of, was_freed=True)
    return None


def find_multiple(network: Network, layout: Layout) -> int | None:
    """Find the smallest multiple whose frames come back in their own size; None if there is none.

    Shapes are inferred only, so this takes no time.
    """
    for multiple in MULTIPLES:
        # An odd number of multiples each, so that a smaller divisor does not hide a larger one.
        sides = [(side // multiple // 2 * 2 + 1) * multiple for side in _PROBED_SIDES]
        if keeps_size(network, layout, *sides) and keeps_size(network, layout, *reversed(sides)):
            return multiple
    return None


def keeps_size(network: Network, layout: Layout, height: int, width: int) -> bool:
    """Whether the output for an image of one size is an image of that size, in either layout."""
    found = network.output_shape(image_shape(layout, height, width))
    return found in (image_shape("NCHW", height, width), image_shape("NHWC", height, width))


def is_same_at_other_sizes(network: Network, layout: Layout, output_range: ValueRange) -> bool:
    """Whether a network draws a tile as it draws four mirrored tiles, away from their edges.

    Mirrored tiles have the statistics of a single one. A number of pixels that stands in the
    weights, such as the divisor of a mean, makes them differ.
    """
    tile = sample_frame(_TILE, _TILE)[None]
    pair = np.concatenate([tile, tile[:, ::-1]], axis=1)
    mirrored = np.concatenate([pair, pair[:, :, ::-1]], axis=2)
    reading = Reading("rgb", output_range, output_range)
    try:
        single, _ = network.cartoons(tile, layout, reading)
        fourfold, _ = network.cartoons(mirrored, layout, reading)
    except EngineError:
        return False
    if single.shape != tile.shape or fourfold.shape != mirrored.shape:
        return False
    middle = slice(_TILE // 4, _TILE * 3 // 4)
    difference = np.abs(single[:, middle, middle].astype(float) - fourfold[:, middle, middle])
    return bool(difference.mean() <= _MOST_DIFFERENCE)


def misfit(network: Network, layout: Layout, size: tuple[int, int]) -> str:
    """Say why a network is no cartoonizer at a size, (height, width)."""
    height, width = size
    found = network.output_shape(image_shape(layout, height, width))
    if found is None:
        return f"it takes no image of {width}x{height} with three channels"
    shape = "x".join(map(str, found))
    return f"it turns an image of {width}x{height} into {shape} values, not an image of that size"
