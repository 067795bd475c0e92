"""Flat areas: each area of a cartoon has one color, where a network's color drifts.

In: the color layer of `trainer.networks.cel`. Out: the same color, nearly constant within areas,
with sharp rims between them. It works on the means of squares of 16 x 16 pixels, in two steps:

1. A bilateral filter averages each square's color with those of similar color around it. It is
   repeated at growing and shrinking distances (a trous: Dammertz et al., "Edge-Avoiding A-Trous
   Wavelet Transform for fast Global Illumination Filtering", 2010), and drifts become steps.
2. Each square has a gain and an offset that turn the network's color into what is wanted there. A
   block of 4 x 4 pixels takes those of the square near it whose color is nearest to its own, as in
   superpixels (Achanta et al., "SLIC Superpixels", 2012). That is where sharp rims come from.

Nothing is learned. Left out: tonal steps, which come behind it (`trainer.networks.cel.compose`).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.networks.luminance import LUMINANCE

SQUARE, BLOCK = 16, 4
"""Sides in pixels of the squares, and of the blocks of pixels that choose between them."""
CROSS = (1, 3, 4, 5, 7)
"""The squares that a block chooses from, of 3 x 3, row by row: its own, and those at its sides."""
DISTANCES = (1, 2, 4, 8, 16, 8, 4, 2, 1)
"""How far from a square, in squares, the bilateral filter looks each time."""
SIMILAR = 0.95
"""Colors apart by this multiple of the flatness are similar: standard deviation of the filter."""
CHROMA_WEIGHT = 2.0
"""Differences of chroma count more than those of luminance, so that skin before a wall stays
apart."""
FAR = 1.5
"""Weight of the bilateral filter by distance: a standard deviation, in steps to the neighbors."""
DETAIL_CONTRAST = 1.7
"""Contrast within 3 x 3 squares that is halved, a standard deviation, in multiples of the flatness:
less of the detail is kept where there is little."""
RIM_CONTRAST = 0.67
"""Softness of a choice between squares in color, a standard deviation, in multiples of the
flatness."""
LEAST_RIM_CONTRAST = 0.016
"""Softness of that choice below which float16 would overflow."""
RIM_WIDTH = 0.6
"""Softness of that choice in distance, in squares: blocks take a near square, not a far one."""


def flatten_areas(color: Tensor, flatness: float) -> Tensor:
    """Make areas flat, so that tonal steps have smooth rims and no smudges.

    Args:
        color: (N, 3, H, W) in [0, 1]; H and W are multiples of 16.
        flatness: Contrast of areas that become one, as a standard deviation, above 0.

    Returns:
        Same shape and range.
    """
    gain, offset = find_flattening(color[..., ::2, ::2], flatness)
    gain, offset = (F.interpolate(each, scale_factor=2.0) for each in (gain, offset))
    return color * gain + offset


def find_flattening(color: Tensor, flatness: float) -> tuple[Tensor, Tensor]:
    """Find the gain and the offset that flatten areas.

    Args:
        color: Every second pixel of every second row, (N, 3, H/2, W/2) in [0, 1].
        flatness: As in `flatten_areas`.

    Returns:
        Gain (N, 1, H/2, W/2) and offset (N, 3, H/2, W/2): neither is below 0, and gain + offset is
        at most 1.
    """
    blocks = F.avg_pool2d(color, BLOCK // 2) - 0.5  # float16 has its finest steps around 0
    squares = F.avg_pool2d(torch.cat([blocks, blocks * blocks], dim=1), SQUARE // BLOCK)
    colors = squares[:, :3]
    # Around a square, not in it alone: an edge between two squares keeps its full sharpness.
    means, means_of_squares = _mean_around(squares).split(3, dim=1)
    variance = (means_of_squares - means * means).mean(dim=1, keepdim=True).clamp(min=0)
    gain = variance / (variance + (DETAIL_CONTRAST * flatness) ** 2)
    places = to_differences(colors)
    wanted = from_differences(spread_in_areas(places, SIMILAR * flatness))
    offset = wanted + 0.5 - gain * (colors + 0.5)
    offset = offset.clamp(min=0).minimum(1 - gain)  # or what is flat would leave [0, 1]
    contrast = max(RIM_CONTRAST * flatness, LEAST_RIM_CONTRAST)
    chosen = choose_squares(
        to_differences(blocks), places, torch.cat([gain, offset], dim=1), contrast
    )
    # Split before they are enlarged: that moves a quarter of the data.
    gain, offset = (
        F.interpolate(part, scale_factor=BLOCK / 2, mode="bilinear")
        for part in chosen.split((1, 3), dim=1)
    )
    return gain, offset


def to_differences(colors: Tensor) -> Tensor:
    """RGB to luminance and two color differences, R - Y and B - Y, times `CHROMA_WEIGHT`.

    The distance between colors is taken there.

    Args:
        colors: (N, 3, H, W).

    Returns:
        Same shape.
    """
    red, green, blue = LUMINANCE
    weight = CHROMA_WEIGHT
    to_red = ((1 - red) * weight, -green * weight, -blue * weight)
    to_blue = (-red * weight, -green * weight, (1 - blue) * weight)
    return _mix_channels(colors, (LUMINANCE, to_red, to_blue))


def from_differences(differences: Tensor) -> Tensor:
    """The inverse of `to_differences`."""
    red, green, blue = LUMINANCE
    share = 1 / CHROMA_WEIGHT
    to_green = (-red / green * share, -blue / green * share)
    return _mix_channels(differences, ((1, share, 0), (1, *to_green), (1, 0, share)))


def spread_in_areas(colors: Tensor, similar: float) -> Tensor:
    """Average colors with similar ones around them, until areas have one color.

    Args:
        colors: One for each square, (N, 3, H, W), from `to_differences`.
        similar: Distance of similar colors, a standard deviation, above 0.

    Returns:
        Same shape.
    """
    far = torch.tensor([2, 1, 2, 1, 0, 1, 2, 1, 2], dtype=colors.dtype, device=colors.device)
    far = far.view(1, 9, 1, 1) / (-2 * FAR**2)
    for distance in DISTANCES:
        others = _neighbors(colors, 3, distance=distance)
        apart = (others - colors[:, :, None]).square().sum(dim=1)
        weights = torch.softmax(far - apart / (2 * similar**2), dim=1)
        colors = (others * weights[:, None]).sum(dim=2)
    return colors


def choose_squares(blocks: Tensor, colors: Tensor, values: Tensor, contrast: float) -> Tensor:
    """Give each block the value of a square near it, of the color that is nearest to its own.

    Args:
        blocks: Colors of blocks, (N, 3, 4 H, 4 W), from `to_differences`.
        colors: Colors of squares, (N, 3, H, W), from `to_differences`.
        values: Of squares, (N, 4, H, W).
        contrast: Softness of the choice: a standard deviation of the color.

    Returns:
        (N, 4, 4 H, 4 W): averages of the values of a square and those beside, above and below it,
        with weights that add up to 1.
    """
    count, _, height, width = colors.shape
    side = SQUARE // BLOCK
    # The square's own color is the origin: that keeps what matters small, for float16.
    others = _neighbors(colors, 3, CROSS) - colors[:, :, None]
    others = others.permute(0, 3, 4, 1, 2)  # (N, H, W, 3, 5)
    inside = blocks.reshape(count, 3, height, side, width, side).permute(0, 2, 4, 3, 5, 1)
    inside = inside.reshape(count, height, width, side * side, 3)
    inside = inside - colors.permute(0, 2, 3, 1).unsqueeze(3)
    # Minus half the squared distance, without what is the same for all five.
    nearness = inside @ (others / contrast**2)  # (N, H, W, 16, 5)
    nearness = nearness - others.square().sum(dim=3, keepdim=True) / (2 * contrast**2)
    weights = torch.softmax(nearness + _nearness_by_place(side).to(colors), dim=-1)
    chosen = weights @ _neighbors(values, 4, CROSS).permute(0, 3, 4, 2, 1)  # (N, H, W, 16, 4)
    chosen = chosen.reshape(count, height, width, side, side, -1).permute(0, 5, 1, 3, 2, 4)
    return chosen.reshape(count, -1, height * side, width * side)


def _nearness_by_place(side: int) -> Tensor:
    """Minus half the squared distances of a square's blocks to the squares of `CROSS`.

    Returns:
        Shape (side * side, 5), row by row, in multiples of `RIM_WIDTH`.
    """
    block = (torch.arange(side) + 0.5) / side - 0.5
    apart = (block[:, None] - torch.tensor([-1.0, 0.0, 1.0])).square()  # (side, 3)
    both = apart[:, None, :, None] + apart[None, :, None, :]
    return both.reshape(side * side, 9)[:, list(CROSS)] / (-2 * RIM_WIDTH**2)


def _neighbors(
    squares: Tensor, channels: int, places: Sequence[int] = range(9), distance: int = 1
) -> Tensor:
    """Squares around each square, and itself: (N, C, H, W) to (N, C, places, H, W).

    Beyond the border, the last square is repeated.

    Args:
        squares: (N, C, H, W).
        channels: C. Engines need the number itself.
        places: Indices of 3 x 3 squares, row by row.
        distance: From the one in the middle to its neighbors, in squares.
    """
    taps = [[float(tap == place) for tap in range(9)] for place in places] * channels
    filters = torch.tensor(taps, dtype=squares.dtype, device=squares.device).view(-1, 1, 3, 3)
    padded = F.pad(squares, [distance] * 4, mode="replicate")
    around = F.conv2d(padded, filters, groups=channels, dilation=distance)
    return around.unflatten(1, (channels, len(places)))


def _mean_around(squares: Tensor) -> Tensor:
    return F.avg_pool2d(squares, 3, stride=1, padding=1, count_include_pad=False)


def _mix_channels(values: Tensor, rows: Sequence[Sequence[float]]) -> Tensor:
    """Multiply the channels of (N, 3, H, W) by a matrix."""
    matrix = torch.tensor(rows, dtype=values.dtype, device=values.device)
    return F.conv2d(values, matrix[..., None, None])
