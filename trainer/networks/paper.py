"""Generator and discriminator of CartoonGAN, figure 2 of the paper, layer by layer.

In: images (N, 3, H, W) in [-1, 1]. Out: cartoons of the same shape, or logits of patches. The
comments use the figure's notation: `k7n64s1` is a convolution with kernel 7, 64 feature maps and
stride 1.

The figure leaves some choices open. Ours: weights start normally distributed with a standard
deviation of 0.02 (Radford et al., 2016); borders are padded by reflection at the 7x7 convolutions
and by zeros elsewhere; a convolution has a bias only where no normalization follows, which would
remove it again; and no activation bounds the output.
"""

from __future__ import annotations

import copy
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from trainer.networks.checkpointing import Stages

INITIAL_DEVIATION = 0.02
"""Standard deviation of the initial weights."""

EPSILON = 1e-5
"""Addend to the variance in instance norm, the same as in BatchNorm."""

SLOPE = 0.2
"""Slope of LeakyReLU below 0 in the discriminator, as in the paper, and the improved generator."""


class Generator(nn.Module):
    """Generator of figure 2: 830 thousand multiply-adds per pixel, 11.1 million parameters.

    The improved variant departs from the paper: instance norm instead of BatchNorm, LeakyReLU
    instead of ReLU, and nearest-neighbor resizing before a convolution instead of a transposed
    convolution, which leaves a checkerboard (Odena et al., 2016).
    """

    multiple_of = 4
    """H and W of the input must be multiples of this."""

    def __init__(self, width: int = 256, blocks: int = 8, improved: bool = False) -> None:
        """Create a generator with random weights.

        Args:
            width: Number of channels at 1/4 of the resolution; `width // 2` at 1/2, and
                `width // 4` at full resolution.
            blocks: Number of residual blocks, all at 1/4 of the resolution.
            improved: Whether to build the improved variant.
        """
        super().__init__()
        half, full = width // 2, width // 4
        self.stages = Stages(
            nn.Sequential(  # "flat": k7n64s1, (N, 64, H, W)
                nn.ReflectionPad2d(3),
                nn.Conv2d(3, full, 7, bias=False),
                *_make_norm(full, improved),
            ),
            _make_down(full, half, improved),  # (N, 128, H/2, W/2)
            _make_down(half, width, improved),  # (N, 256, H/4, W/4)
            *(NormalizedBlock(width, improved) for _ in range(blocks)),
            _make_up(width, half, improved),  # (N, 128, H/2, W/2)
            _make_up(half, full, improved),  # (N, 64, H, W)
            nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(full, 3, 7)),  # k7n3s1, (N, 3, H, W)
        )
        self.apply(initialize)

    def forward(self, photos: Tensor) -> Tensor:
        """Map photos (N, 3, H, W) in [-1, 1] to cartoons of the same shape, about in that range."""
        return self.stages(photos)


class Discriminator(nn.Module):
    """Discriminator of figure 2; each output has a receptive field of 37 x 37 pixels."""

    def __init__(self, width: int = 32) -> None:
        """Create a discriminator with random weights.

        Args:
            width: Number of feature maps of the first convolution.
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
        self.apply(initialize)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Classify the patches of images (N, 3, H, W) in [-1, 1].

        Returns:
            Logits (N, 1, H/4, W/4), high for cartoons. A list, because other discriminators have
            several scales.
        """
        return [self.stages(images)]


class NormalizedBlock(nn.Module):
    """Residual block: k3n256s1, norm, ReLU, k3n256s1, norm, elementwise sum with the input."""

    def __init__(self, width: int, improved: bool) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _convolve(width, width),
            *_make_norm(width, improved),
            _convolve(width, width),
            *_make_norm(width, improved)[:1],
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class Float32InstanceNorm(nn.Module):
    """Instance norm (Ulyanov et al., 2016) with statistics in float32 at every precision.

    In float16 the statistics overflow, and the image comes out wrong or black: see
    https://github.com/microsoft/onnxruntime/issues/10079. PyTorch's own module has no such switch.
    """

    def __init__(self, width: int, learned: bool = True) -> None:
        """Create a norm of `width` channels with weight 1 and bias 0, which may be learned."""
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width)) if learned else None
        self.bias = nn.Parameter(torch.zeros(width)) if learned else None

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            weight = None if self.weight is None else self.weight.float()
            bias = None if self.bias is None else self.bias.float()
            normalized = torch.instance_norm(
                x.float(),
                weight,
                bias,
                None,  # running mean
                None,  # running variance
                True,  # statistics of the input
                0.0,  # momentum of running statistics
                EPSILON,
                torch.backends.cudnn.enabled,
            )
            if normalized.requires_grad:
                # On CPUs the gradient of a single image is wrong if what comes back is stored
                # channels last: measured with PyTorch 2.13, an error of 1.4 times its norm.
                normalized.register_hook(Tensor.contiguous)
            return normalized.to(x.dtype)


def fold_batch_norm(network: nn.Module) -> nn.Module:
    """Return a copy of a network with each BatchNorm folded into the convolution before it.

    The copy gives the same outputs in evaluation mode, where BatchNorm is a fixed linear map, with
    fewer operations and no running statistics.
    """
    folded = copy.deepcopy(network).eval()
    for chain in folded.modules():
        if not isinstance(chain, nn.Sequential):
            continue
        for index, (layer, norm) in enumerate(pairwise(list(chain))):
            if isinstance(layer, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                chain[index] = fuse_conv_bn_eval(layer, norm)
                chain[index + 1] = nn.Identity()
    return folded


def _make_down(channels: int, width: int, improved: bool) -> nn.Sequential:
    """Create k3n128s2, k3n128s1, norm, ReLU: (N, C, H, W) to (N, width, H/2, W/2)."""
    return nn.Sequential(
        _convolve(channels, width, stride=2, bias=True),
        _convolve(width, width),
        *_make_norm(width, improved),
    )


def _make_up(channels: int, width: int, improved: bool) -> nn.Sequential:
    """Create k3n128s1/2, k3n128s1, norm, ReLU: (N, C, H, W) to (N, width, 2H, 2W)."""
    if improved:
        upsample: list[nn.Module] = [
            nn.Upsample(scale_factor=2),
            _convolve(channels, width, bias=True),
        ]
    else:
        upsample = [nn.ConvTranspose2d(channels, width, 3, stride=2, padding=1, output_padding=1)]
    return nn.Sequential(*upsample, _convolve(width, width), *_make_norm(width, improved))


def _convolve(channels: int, filters: int, stride: int = 1, bias: bool = False) -> nn.Conv2d:
    """Create a k3 convolution with n = `filters`."""
    return nn.Conv2d(channels, filters, 3, stride, padding=1, bias=bias)


def _make_norm(width: int, improved: bool) -> list[nn.Module]:
    """Create a normalization and the activation after it."""
    if improved:
        return [Float32InstanceNorm(width), nn.LeakyReLU(SLOPE)]
    return [nn.BatchNorm2d(width), nn.ReLU()]


def initialize(layer: nn.Module) -> None:
    """Set the initial weights of a convolution as above; other layers keep PyTorch's."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(layer.weight, std=INITIAL_DEVIATION)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
