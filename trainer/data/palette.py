"""Palette transfer: gives drawings the colors of a set of cartoons.

In: colors of both sets. Out: a smooth map of RGB, applied to every drawing.

Source: Pitie, Kokaram and Dahyot, "Automated Colour Grading Using Colour Distribution Transfer",
2007. Departures: the map is made smooth by kernel regression on a grid, so that neighboring colors
stay neighbors and a sky gets no bands; and it can be applied in part.

`trainer.data.color_transfer` only moves mean and contrast, which turns a picture warmer or bolder.
This finds that an artist's shadows are violet and the grass is teal.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

SAMPLES = 20_000
"""Number of colors of each set that are matched."""
ROTATIONS = 24
"""Number of random rotations; the distributions agree closely after about 20."""
GRID = 17
"""Number of grid points of the map in each of R, G and B."""
SMOOTHNESS = 0.09
"""Standard deviation of the kernel, of the range of RGB."""
PRIOR = 2.0
"""Number of imagined samples that do not move, at every grid point: colors that no drawing has
stay as they are."""


@dataclass(frozen=True)
class PaletteTransfer:
    """A map of colors, the same for all images."""

    grid: Tensor
    """New colors, (1, 3, `GRID`, `GRID`, `GRID`) in [-1, 1], indexed by channel, B, G and R."""

    @classmethod
    def between(cls, source: Tensor, target: Tensor, share: float) -> PaletteTransfer:
        """Return the map from the colors of one set towards those of another.

        Args:
            source: Images that will be mapped, (N, 3, H, W), RGB in [-1, 1].
            target: Images whose palette they shall get, (M, 3, H, W), RGB in [-1, 1].
            share: 0 changes nothing, 1 gives the whole palette.
        """
        random = np.random.default_rng(0)
        colors, wanted = (_sample_colors(images, random) for images in (source, target))
        moves = _match_distributions(colors, wanted, random) - colors
        axis = np.linspace(0, 1, GRID)
        blue, green, red = np.meshgrid(axis, axis, axis, indexing="ij")
        points = np.stack([red, green, blue], axis=-1).reshape(-1, 3)
        moved = points + share * _regress(points, colors, moves)
        grid = (2 * moved - 1).reshape(1, GRID, GRID, GRID, 3).transpose(0, 4, 1, 2, 3)
        return cls(torch.from_numpy(grid.astype(np.float32).copy()))

    def __call__(self, images: Tensor) -> Tensor:
        """Map images (N, 3, H, W), RGB in [-1, 1]; values out of range are clamped."""
        positions = images.clamp(-1, 1).permute(0, 2, 3, 1)[:, None]  # (N, 1, H, W, 3)
        grid = self.grid.to(images.device).expand(len(images), -1, -1, -1, -1)
        mapped = F.grid_sample(grid, positions, align_corners=True)
        return mapped[:, :, 0].clamp(-1, 1)


def _sample_colors(images: Tensor, random: np.random.Generator) -> NDArray[np.float64]:
    """Draw `SAMPLES` pixels of images, (`SAMPLES`, 3) in [0, 1]."""
    pixels = images.permute(0, 2, 3, 1).reshape(-1, 3)
    chosen = torch.from_numpy(random.integers(len(pixels), size=SAMPLES))
    return (pixels[chosen].double().numpy() + 1) / 2


def _match_distributions(
    colors: NDArray[np.float64], wanted: NDArray[np.float64], random: np.random.Generator
) -> NDArray[np.float64]:
    """Move colors, (n, 3), until they are distributed as the wanted ones, (n, 3)."""
    moved = colors.copy()
    for _ in range(ROTATIONS):
        axes, _ = np.linalg.qr(random.normal(size=(3, 3)))
        ours, theirs = moved @ axes, np.sort(wanted @ axes, axis=0)
        ranks = ours.argsort(axis=0).argsort(axis=0)
        moved = np.take_along_axis(theirs, ranks, axis=0) @ axes.T
    return moved


def _regress(
    points: NDArray[np.float64], colors: NDArray[np.float64], moves: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Estimate the moves at grid points from those of the colors around (Nadaraya and Watson)."""
    estimates = np.empty_like(points)
    for first in range(0, len(points), 64):  # in parts, for the sake of memory
        part = points[first : first + 64]
        squares = ((part[:, None] - colors) ** 2).sum(-1)
        weights = np.exp(-squares / (2 * SMOOTHNESS**2))
        estimates[first : first + 64] = weights @ moves / (weights.sum(1, keepdims=True) + PRIOR)
    return estimates
