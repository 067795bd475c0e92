"""The generators. Leaves out how they are trained and exported.

`LiteGenerator` is a departure from the paper: its own generator takes 830 thousand multiply-adds a
pixel, this one under 13 thousand, and it has no normalisation, so that tiles, half precision and
neighbouring frames agree.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEAK = 0.1
"""Slope of the activations below 0: a plain ReLU here can die for good in the first steps."""

RESIDUAL_GAIN = 0.3
"""Of a residual block's branch at the start: without normalisation, sums would grow."""

OUTPUT_GAIN = 0.1
"""Of what is added to the photo at the start."""


class LiteGenerator(nn.Module):
    """Real-time generator: adds to the photo what makes it a cartoon.

    Most of the work is done at a quarter of the height and width. Pixel shuffle (Shi et al., 2016)
    leads back up, started so that it has no checkerboard (Aitken et al., 2017).
    """

    multiple_of = 4
    """H and W of the input must be multiples of this."""

    def __init__(self, width: int = 48, blocks: int = 4) -> None:
        """Make a generator with random weights.

        Args:
            width: Channels at a quarter of the size; a third of it at half the size.
            blocks: Residual blocks at a quarter of the size.
        """
        super().__init__()
        half = width // 3
        self.enter = nn.Conv2d(3, half, kernel_size=6, stride=2, padding=2)
        self.down = nn.Conv2d(half, width, kernel_size=3, stride=2, padding=1)
        self.blocks = nn.Sequential(*(ResidualBlock(width) for _ in range(blocks)))
        self.up = nn.Conv2d(width, half * 4, kernel_size=1)
        self.leave = nn.Conv2d(half, 3 * 4, kernel_size=3, padding=1)
        self.shuffle = nn.PixelShuffle(2)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                _start(layer)
        for block in self.blocks:
            _start(block.second, gain=RESIDUAL_GAIN)
        _start(self.up, shuffle=2)
        _start(self.leave, gain=OUTPUT_GAIN, shuffle=2)

    def forward(self, photos: Tensor) -> Tensor:
        """Photos (N, 3, H, W) in [-1, 1] to cartoons of the same shape, about in that range."""
        half = _activate(self.enter(photos))  # (N, 16, H/2, W/2)
        x = _activate(self.down(half))  # (N, 48, H/4, W/4)
        x = self.blocks(x)
        x = _activate(half + self.shuffle(self.up(x)))  # (N, 16, H/2, W/2)
        return photos + self.shuffle(self.leave(x))  # (N, 3, H, W)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside a skip (He et al., 2016), without normalisation."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, kernel_size=3, padding=1)
        self.second = nn.Conv2d(width, width, kernel_size=3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(_activate(self.first(x)))


def count_parameters(generator: nn.Module) -> int:
    """Trained numbers in a network."""
    return sum(parameter.numel() for parameter in generator.parameters())


def count_multiply_adds(generator: nn.Module, side: int = 64) -> float:
    """Multiply-adds of a generator's convolutions for each pixel of its input.

    Args:
        generator: Takes (N, 3, H, W).
        side: H and W of the picture that is counted with.
    """
    counts = []

    def count(layer: nn.Conv2d, _: tuple[Tensor, ...], made: Tensor) -> None:
        counts.append(made.numel() * layer.weight[0].numel())

    layers = [layer for layer in generator.modules() if isinstance(layer, nn.Conv2d)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    try:
        with torch.no_grad():
            generator(torch.zeros(1, 3, side, side))
    finally:
        for hook in hooks:
            hook.remove()
    return sum(counts) / side**2


def _activate(x: Tensor) -> Tensor:
    return F.leaky_relu(x, LEAK)


def _start(layer: nn.Conv2d, gain: float = 1.0, shuffle: int = 1) -> None:
    """Random weights (He et al., 2015), biases of 0.

    Args:
        layer: Changed in place.
        gain: Factor on the weights.
        shuffle: Side of the square that pixel shuffle makes of this layer's channels: all channels
            of a square get the same weights, so that there is no checkerboard (ICNR).
    """
    subpixels = shuffle**2
    nn.init.kaiming_normal_(layer.weight, a=LEAK)
    nn.init.zeros_(layer.bias)
    with torch.no_grad():
        weight = layer.weight[::subpixels].repeat_interleave(subpixels, dim=0)
        layer.weight.copy_(gain * weight)
