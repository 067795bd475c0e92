"""U-Net generator of the preset `paint`: line art (N, 3, H, W) to color, both in [-1, 1].

Source: Liu et al., "Auto-painter: Cartoon Image Generation from Sketch by Using Conditional
Generative Adversarial Networks", 2017, after Isola et al., 2017. Departures: fewer halvings, so
that frames of any size fit; nearest-neighbor resizing before a convolution instead of transposed
convolutions, which leave a checkerboard (Odena et al., 2016); the line art itself enters the last
convolution, so that lines stay where they are; no dropout; instance norm instead of BatchNorm.
Line art differs so much in how white it is that BatchNorm's running statistics fit no picture: with
them a generator painted in one color what it had painted in several with those of a batch.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trainer.networks.checkpointing import Stages
from trainer.networks.paper import SLOPE, Float32InstanceNorm, initialize


class UNetGenerator(nn.Module):
    """Encoder and decoder of equal depth, with skips between maps of the same size."""

    def __init__(self, width: int = 128, halvings: int = 5) -> None:
        """Create a generator with random weights.

        Args:
            width: Number of channels at 1/4 of the resolution; it doubles with each halving, up to
                `4 * width`.
            halvings: Number of times that height and width are halved, from 1.
        """
        super().__init__()
        self.multiple_of = 2**halvings
        widths = [min(width // 2 * 2**depth, 4 * width) for depth in range(halvings)]
        self.down = nn.ModuleList(
            Stages(
                _make_down(
                    3 if depth == 0 else widths[depth - 1],
                    widths[depth],
                    # Not the smallest map, which may be a single pixel.
                    normalized=0 < depth < halvings - 1,
                )
            )
            for depth in range(halvings)
        )
        # A map that comes up is as wide as the skip beside it.
        self.up = nn.ModuleList(
            Stages(_make_up(widths[depth] * (1 if depth == halvings - 1 else 2), widths[depth - 1]))
            for depth in range(halvings - 1, 0, -1)
        )
        full = width // 4
        bottom = 2 if halvings > 1 else 1
        self.up.append(Stages(_make_up(bottom * widths[0], full)))
        self.last = Stages(nn.Sequential(nn.Conv2d(full + 3, 3, 3, padding=1), nn.Tanh()))
        self.apply(initialize)

    def forward(self, lines: Tensor) -> Tensor:
        """Color line art (N, 3, H, W) in [-1, 1]; H and W are multiples of `multiple_of`."""
        maps = [lines]
        for stage in self.down:
            maps.append(stage(maps[-1]))
        x = maps.pop()
        for stage in self.up:
            x = torch.cat([stage(x), maps.pop()], dim=1)
        return self.last(x)


def _make_down(channels: int, width: int, normalized: bool) -> nn.Sequential:
    """Create a halving: (N, C, H, W) to (N, width, H/2, W/2)."""
    convolution = nn.Conv2d(channels, width, 4, 2, padding=1, bias=not normalized)
    norm = [Float32InstanceNorm(width)] if normalized else []
    return nn.Sequential(convolution, *norm, nn.LeakyReLU(SLOPE))


def _make_up(channels: int, width: int) -> nn.Sequential:
    """Create a doubling: (N, C, H, W) to (N, width, 2H, 2W)."""
    return nn.Sequential(
        nn.Upsample(scale_factor=2),
        nn.Conv2d(channels, width, 3, padding=1, bias=False),
        Float32InstanceNorm(width),
        nn.ReLU(),
    )
