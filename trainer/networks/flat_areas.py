"""Flat areas: each area of a cartoon has one color, where a network's color drifts.

In: the color layer of `trainer.networks.cel`. Out: the same color, nearly constant between edges.
It works in two steps, both on the means of squares of 16 x 16 pixels. The domain transform of
Gastal and Oliveira, 2011, averages them over whole areas: it reaches far, but not across edges.
The guided filter of He et al., 2013, in its fast form of 2015, then brings the result back to
pixels: around each square it finds the line that turns the color into what is wanted. These lines
are interpolated, not averaged as in the papers, so that edges stay sharp. Nothing is learned.

Left out: tonal steps, which come behind it (`trainer.networks.cel.compose`).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.networks.luminance import find_luminance

SQUARE, WINDOW = 16, 3
"""The guided filter looks at 3 x 3 squares of 16 x 16 pixels."""
REACH = 20
"""How far colors are averaged where there is no edge: a standard deviation, in squares."""
PASSES = (0.894, 0.447)
"""Share of the reach in each pass over rows and columns. The paper halves it from pass to pass; the
squares of the shares add up to 1."""
EDGE_CONTRAST = 4.0
"""A step of the color by this multiple of the flatness is as far as the reach."""
CHROMA_WEIGHT = 2.0
"""Steps of chroma count more than those of luminance, so that skin before a wall stays apart."""


def flatten_areas(color: Tensor, flatness: float) -> Tensor:
    """Make areas flat, so that tonal steps have smooth rims and no smudges.

    Args:
        color: (N, 3, H, W) in [0, 1]; H and W are multiples of 16.
        flatness: Contrast that is halved, as a standard deviation, above 0.

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
    centered = color - 0.5  # float16 has its finest steps around 0
    squares = F.avg_pool2d(torch.cat([centered, centered * centered], dim=1), SQUARE // 2)
    colors = squares[:, :3]
    means, means_of_squares = _mean_around(squares).split(3, dim=1)
    variance = (means_of_squares - means * means).mean(dim=1, keepdim=True).clamp(min=0)
    limit = variance + flatness**2
    gain = variance / limit
    wanted = spread_in_areas(means + gain * (colors - means), EDGE_CONTRAST * flatness)
    # The line from `centered` to what is wanted of it, by least squares in each window. Within a
    # square, what is wanted changes as the color does.
    wanted_means, products = _mean_around(
        torch.cat([wanted, colors * (wanted - colors)], dim=1)
    ).split(3, dim=1)
    covariance = (products - means * (wanted_means - means)).mean(dim=1, keepdim=True)
    gain = ((variance + covariance) / limit).clamp(0, 1)
    offset = wanted_means + 0.5 - gain * (means + 0.5)
    offset = offset.clamp(min=0).minimum(1 - gain)  # or what is flat would leave [0, 1]
    line = torch.cat([gain, offset], dim=1)
    enlarged = F.interpolate(line, scale_factor=SQUARE / 2, mode="bilinear")
    gain, offset = enlarged.split((1, 3), dim=1)
    return gain, offset


def spread_in_areas(colors: Tensor, contrast: float) -> Tensor:
    """Average colors over areas that edges bound.

    Args:
        colors: One for each square, (N, 3, H, W).
        contrast: Step between neighbors that is an edge, above 0.

    Returns:
        Same shape.
    """
    rows = _find_distances(colors, contrast)  # (N, H, W, W)
    columns = _find_distances(colors.transpose(2, 3), contrast)  # (N, W, H, H)
    spread = colors.permute(0, 2, 3, 1)  # (N, H, W, 3)
    for share in PASSES:
        spread = (_to_weights(rows, share) @ spread).transpose(1, 2)
        spread = (_to_weights(columns, share) @ spread).transpose(1, 2)
    return spread.permute(0, 3, 1, 2)


def _find_distances(colors: Tensor, contrast: float) -> Tensor:
    """Distances between the squares of each row, by the domain transform.

    Args:
        colors: (N, 3, H, W).
        contrast: As in `spread_in_areas`.

    Returns:
        Shape (N, H, W, W): 1 is the reach.
    """
    steps = colors[..., 1:] - colors[..., :-1]
    luminance = find_luminance(steps)
    chroma = (steps - luminance).abs().sum(dim=1, keepdim=True)
    lengths = (luminance.abs() + CHROMA_WEIGHT * chroma) / contrast + 1 / REACH
    # In float32: ONNX Runtime has no cumulative sum in float16.
    places = F.pad(lengths.float(), (1, 0)).cumsum(dim=-1).squeeze(1)  # (N, H, W)
    return (places[..., None] - places[..., None, :]).abs().to(colors.dtype)


def _to_weights(distances: Tensor, share: float) -> Tensor:
    """Distances to weights of the same shape that add up to 1 for each square."""
    return torch.softmax(distances * (-(2**0.5) / share), dim=-1)


def _mean_around(squares: Tensor) -> Tensor:
    return F.avg_pool2d(squares, WINDOW, stride=1, padding=WINDOW // 2, count_include_pad=False)
