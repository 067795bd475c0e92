"""Generator and discriminator of CartoonGAN's figure 2, layer by layer.

`k7n64s1` is a convolution of kernel 7, 64 feature maps and stride 1. The figure leaves open, and we
chose: weights start normally distributed with a deviation of 0.02 (Radford et al., 2016), borders
are reflected around the 7x7 convolutions and 0 around the others, a convolution has a bias only
where no normalisation follows (which would take it off again), and nothing bounds the output.
"""

from __future__ import annotations

import copy
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from trainer.networks.checkpointing import Stages

START_DEVIATION = 0.02

EPSILON = 1e-5
"""Added to the variance by instance norm, as by BatchNorm."""

SLOPE = 0.2
"""Of the discriminator's LeakyReLU below 0, as in the paper; the improved generator's too."""


class Generator(nn.Module):
    """The paper's generator, or an improved one.

    `improved` departs from the paper: instance norm for BatchNorm, LeakyReLU for ReLU, and
    nearest-neighbour resizing before a convolution for the transposed convolution, which has no
    checkerboard (Odena et al., 2016).
    """

    multiple_of = 4
    """H and W of the input must be multiples of this."""

    def __init__(self, width: int = 256, blocks: int = 8, improved: bool = False) -> None:
        """Make a generator with random weights.

        Args:
            width: Channels at a quarter of the size; half of it at half the size, a quarter of it
                at the full one.
            blocks: Residual blocks at a quarter of the size.
            improved: See above.
        """
        super().__init__()
        half, full = width // 2, width // 4
        self.stages = Stages(
            nn.Sequential(  # flat: k7n64s1
                nn.ReflectionPad2d(3),
                nn.Conv2d(3, full, 7, bias=False),
                *_normalise(full, improved),
            ),
            _make_down(full, half, improved),
            _make_down(half, width, improved),
            *(NormalisedBlock(width, improved) for _ in range(blocks)),
            _make_up(width, half, improved),
            _make_up(half, full, improved),
            nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(full, 3, 7)),  # k7n3s1
        )
        self.apply(_start)

    def forward(self, photos: Tensor) -> Tensor:
        """Photos (N, 3, H, W) in [-1, 1] to cartoons of the same shape, about in that range."""
        return self.stages(photos)


class Discriminator(nn.Module):
    """The paper's discriminator: it judges patches of 37 x 37 pixels."""

    def __init__(self, width: int = 32) -> None:
        """Make a discriminator with random weights.

        Args:
            width: Feature maps of the first convolution.
        """
        super().__init__()
        leaky = nn.LeakyReLU(SLOPE)
        self.stages = Stages(
            nn.Sequential(_convolve(3, width, bias=True), leaky),  # k3n32s1
            nn.Sequential(
                _convolve(width, 2 * width, stride=2, bias=True),  # k3n64s2
                leaky,
                _convolve(2 * width, 4 * width),  # k3n128s1
                nn.BatchNorm2d(4 * width),
                leaky,
            ),
            nn.Sequential(
                _convolve(4 * width, 4 * width, stride=2, bias=True),  # k3n128s2
                leaky,
                _convolve(4 * width, 8 * width),  # k3n256s1
                nn.BatchNorm2d(8 * width),
                leaky,
            ),
            nn.Sequential(
                _convolve(8 * width, 8 * width), nn.BatchNorm2d(8 * width), leaky
            ),  # k3n256s1
            _convolve(8 * width, 1, bias=True),  # k3n1s1
        )
        self.apply(_start)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """Judge pictures (N, 3, H, W) in [-1, 1]: (N, 1, H/4, W/4), high for a cartoon."""
        return [self.stages(pictures)]


class NormalisedBlock(nn.Module):
    """k3n256s1, norm, ReLU, k3n256s1, norm, and the elementwise sum with the input."""

    def __init__(self, width: int, improved: bool) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _convolve(width, width),
            *_normalise(width, improved),
            _convolve(width, width),
            *_normalise(width, improved)[:1],
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class SteadyInstanceNorm(nn.Module):
    """Instance norm (Ulyanov et al., 2016) that keeps its statistics in float32.

    In float16 they overflow, and the picture comes out wrong or black (onnxruntime#10079).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            weight, bias = self.weight.float(), self.bias.float()
            made = torch.instance_norm(
                x.float(),
                weight,
                bias,
                None,
                None,
                True,
                0.0,
                EPSILON,
                torch.backends.cudnn.enabled,
            )
            return made.to(x.dtype)


def fold_batch_norm(network: nn.Module) -> nn.Module:
    """A copy of a network whose BatchNorms are part of the convolutions before them."""
    folded = copy.deepcopy(network).eval()
    for chain in folded.modules():
        if not isinstance(chain, nn.Sequential):
            continue
        for place, (layer, norm) in enumerate(pairwise(list(chain))):
            if isinstance(layer, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                chain[place] = fuse_conv_bn_eval(layer, norm)
                chain[place + 1] = nn.Identity()
    return folded


def _make_down(channels: int, width: int, improved: bool) -> nn.Sequential:
    """k3n128s2, k3n128s1, norm, ReLU: half the height and width."""
    return nn.Sequential(
        _convolve(channels, width, stride=2, bias=True),
        _convolve(width, width),
        *_normalise(width, improved),
    )


def _make_up(channels: int, width: int, improved: bool) -> nn.Sequential:
    """k3n128s1/2, k3n128s1, norm, ReLU: twice the height and width."""
    if improved:
        double: list[nn.Module] = [
            nn.Upsample(scale_factor=2),
            _convolve(channels, width, bias=True),
        ]
    else:
        double = [nn.ConvTranspose2d(channels, width, 3, stride=2, padding=1, output_padding=1)]
    return nn.Sequential(*double, _convolve(width, width), *_normalise(width, improved))


def _convolve(channels: int, filters: int, stride: int = 1, bias: bool = False) -> nn.Conv2d:
    """k3, with as many filters as `n` says."""
    return nn.Conv2d(channels, filters, 3, stride, padding=1, bias=bias)


def _normalise(width: int, improved: bool) -> list[nn.Module]:
    """Normalisation and what follows it."""
    if improved:
        return [SteadyInstanceNorm(width), nn.LeakyReLU(SLOPE)]
    return [nn.BatchNorm2d(width), nn.ReLU()]


def _start(layer: nn.Module) -> None:
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(layer.weight, std=START_DEVIATION)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
