"""Real-time generator and discriminator of the presets `lite` and `distilled`.

In: images (N, 3, H, W) in [-1, 1]. Out: cartoons of the same shape, or logits of patches. Both are
departures from the paper: its generator takes 830 thousand multiply-adds per pixel, this one less
than 5 thousand. It has no normalization, so that tiles, half precision and neighboring frames
agree.
"""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainer.config import DiscriminatorInput
from trainer.data.color import to_luminance
from trainer.networks.checkpointing import Stages

LEAK = 0.1
"""Slope of the activations below 0. With 0, a channel of so few can get stuck at 0 in the first
steps and never recover."""

RESIDUAL_GAIN = 0.3
"""Factor on the initial weights of a residual branch: without normalization, sums would grow."""

OUTPUT_GAIN = 0.1
"""Factor on the initial weights of gain and offset: the first output is close to the photo."""


class LiteGenerator(nn.Module):
    """Generator that computes (1 + gain) * photo + offset.

    It takes less than 5 thousand multiply-adds per pixel. The form is that of a guided filter (He
    et al., 2013). Gain and offset are images of half the resolution, upsampled bilinearly, so that
    they have no finer detail: a sharp edge in the output is the photo's own, a flat area has a gain
    of -1, and a line is an offset. A network that outputs pixels directly draws the same edge
    differently for each position relative to its 2 x 2 grid, which flickers in a video.

    Most of the work is done at 1/4 of the resolution, and the rest at 1/2. Measured by how well
    the network reproduces drawings, channels at 1/2 of the resolution are worth more than channels
    or blocks at 1/4.

    Internally images are (N, H, W, 3), as video frames are stored, and the first layer works on
    pairs of pixels. An exported engine thus needs no transposition of its input.
    """

    multiple_of = 4
    """H and W of the input must be multiples of this."""

    def __init__(self, width: int = 32, blocks: int = 2) -> None:
        """Create a generator with random weights.

        Args:
            width: Number of channels at 1/4 of the resolution; `width // 2` at 1/2.
            blocks: Number of residual blocks, all at 1/4 of the resolution.
        """
        super().__init__()
        half = width // 2
        # On pairs of pixels side by side; equivalent to 6x6 with stride 2 on pixels.
        self.enter = nn.Conv2d(2 * 3, half, kernel_size=(6, 3), stride=(2, 1), padding=(2, 1))
        self.down = nn.Conv2d(half, width, kernel_size=3, stride=2, padding=1)
        self.blocks = Stages(*(ResidualBlock(width) for _ in range(blocks)))
        self.up = nn.ConvTranspose2d(width, half, kernel_size=4, stride=2, padding=1)
        self.gain = BilinearUpsampling(half)
        self.offset = BilinearUpsampling(half)
        for layer in (self.enter, self.down):
            _initialize(layer)
        for block in self.blocks:
            _initialize(block.first)
            _initialize(block.second, gain=RESIDUAL_GAIN)
        _initialize_bilinear(self.up)

    def forward(self, photos: Tensor) -> Tensor:
        """Map photos (N, 3, H, W) in [-1, 1] to cartoons of the same shape, about in that range."""
        return self.redraw(photos.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    def redraw(self, photos: Tensor) -> Tensor:
        """Do the same as `forward` for shapes (N, H, W, 3)."""
        count, height, width, _ = photos.shape
        pairs = photos.reshape(count, height, width // 2, 2 * 3).permute(
            0, 3, 1, 2
        )  # (N, 6, H, W/2)
        half = _activate(self.enter(pairs))  # (N, 16, H/2, W/2)
        x = _activate(self.down(half))  # (N, 32, H/4, W/4)
        x = self.blocks(x)
        x = _activate(half + self.up(x))  # (N, 16, H/2, W/2)
        return photos + self.gain(x) * photos + self.offset(x)


class BilinearUpsampling(nn.Module):
    """A 1x1 convolution to RGB, upsampled by 2 bilinearly.

    Both are linear, so they are computed as one 3x3 convolution with 12 outputs, the four pixels of
    each input position. That is faster than an upsampling layer at full resolution.
    """

    def __init__(self, channels: int) -> None:
        """Create the convolution with small random weights."""
        super().__init__()
        self.color = nn.Conv2d(channels, 3, kernel_size=1)
        _initialize(self.color, gain=OUTPUT_GAIN)
        near, far = torch.tensor([0.25, 0.75, 0.0]), torch.tensor([0.0, 0.75, 0.25])
        taps = [torch.outer(down, across) for down in (near, far) for across in (near, far)]
        self.register_buffer(
            "taps", torch.stack(taps), persistent=False
        )  # (4, 3, 3), pixels by taps
        self._rearrange = PixelShuffleLast()

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, h, w) to (N, 2h, 2w, 3)."""
        weight, bias = self._combined()
        return self._rearrange(F.conv2d(x, weight, bias, padding=1))

    def folded(self) -> nn.Sequential:
        """Return an equivalent module with the 3x3 convolution's weights as parameters."""
        weight, bias = self._combined()
        combined = nn.Conv2d(weight.shape[1], weight.shape[0], kernel_size=3, padding=1)
        combined.weight, combined.bias = nn.Parameter(weight), nn.Parameter(bias)
        return nn.Sequential(combined, self._rearrange)

    def _combined(self) -> tuple[Tensor, Tensor]:
        """Weight (12, C, 3, 3) and bias (12,) of the 3x3 convolution."""
        color = self.color.weight[..., 0, 0]  # (3, C)
        weight = torch.einsum("oc,pyx->pocyx", color, self.taps).flatten(0, 1)
        return weight, self.color.bias.repeat(4)


class PixelShuffleLast(nn.Module):
    """Pixel shuffle to channels last: (N, 12, h, w), 2x2 pixels row by row, to (N, 2h, 2w, 3)."""

    def forward(self, x: Tensor) -> Tensor:
        count, _, height, width = x.shape
        rows = x.permute(0, 2, 3, 1).reshape(count, height, width, 2, 2 * 3).transpose(2, 3)
        return rows.reshape(count, 2 * height, 2 * width, 3)


def fold_upsampling(network: nn.Module) -> nn.Module:
    """Return a copy of a network with each `BilinearUpsampling` as a convolution, for export."""
    folded = copy.deepcopy(network)
    for name, layer in network.named_modules():
        if isinstance(layer, BilinearUpsampling):
            folded.set_submodule(name, layer.folded())
    return folded


class ResidualBlock(nn.Module):
    """Residual block of two 3x3 convolutions (He et al., 2016), without normalization."""

    def __init__(self, width: int) -> None:
        """Create a block of `width` channels; the generator initializes it."""
        super().__init__()
        self.first = nn.Conv2d(width, width, kernel_size=3, padding=1)
        self.second = nn.Conv2d(width, width, kernel_size=3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(_activate(self.first(x)))


class LiteDiscriminator(nn.Module):
    """Discriminator with one small network at full and one at half the resolution.

    Departures from the paper: spectral normalization instead of BatchNorm (Miyato et al., 2018),
    two scales (Wang et al., 2018), and stride 2 in the first convolution: 9 thousand multiply-adds
    per pixel instead of the 89 thousand of figure 2.
    """

    def __init__(self, width: int = 32, fine_input: DiscriminatorInput = "color") -> None:
        """Create a discriminator with random weights.

        Args:
            width: Number of channels of the first convolution.
            fine_input: Input of the full-resolution network. `gray` shows it luminance alone, so
                that it learns lines and texture (as in AnimeGAN, Chen et al., 2019), and leaves
                colors to the other network.
        """
        super().__init__()
        self.fine_input = fine_input
        self.fine = _make_scale(3 if fine_input == "color" else 1, width)
        self.coarse = _make_scale(3, width)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Classify the patches of images (N, 3, H, W) in [-1, 1].

        Returns:
            Logits (N, 1, H/4, W/4) and (N, 1, H/8, W/8), high for cartoons.
        """
        fine_input = images if self.fine_input == "color" else to_luminance(images)
        return [self.fine(fine_input), self.coarse(F.avg_pool2d(images, 2))]


class SpectralConv2d(nn.Conv2d):
    """Convolution with spectral normalization: its weight matrix has a largest singular value of 1.

    `torch.nn.utils.parametrizations.spectral_norm` updates its estimate in every forward pass. Here
    `update_estimate` does so once per step, so that the passes over micro-batches, and those that
    gradient checkpointing repeats, use the same weights.
    """

    def __init__(self, channels: int, filters: int, size: int, stride: int = 1) -> None:
        """Create a convolution with random weights.

        Args:
            channels: Number of input channels.
            filters: Number of output channels.
            size: Side of the kernel in pixels.
            stride: Stride in pixels.
        """
        super().__init__(channels, filters, size, stride, padding=(size - 1) // 2)
        _initialize(self)
        self.register_buffer("left", F.normalize(torch.randn(filters), dim=0))
        self.register_buffer("right", F.normalize(torch.randn(self.weight[0].numel()), dim=0))
        for _ in range(10):  # enough to converge
            self.update_estimate()

    @torch.no_grad()
    def update_estimate(self) -> None:
        """Do one iteration of the power method for the largest singular value."""
        matrix = self.weight.flatten(1)
        self.right.copy_(F.normalize(self.left @ matrix, dim=0))
        self.left.copy_(F.normalize(matrix @ self.right, dim=0))

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):  # statistics are float32
            largest = self.left @ self.weight.flatten(1) @ self.right
            weight = self.weight / largest
        return self._conv_forward(x, weight, self.bias)


def update_spectral_norms(network: nn.Module) -> None:
    """Update the spectral normalization of a network, if it has some; once per training step."""
    for layer in network.modules():
        if isinstance(layer, SpectralConv2d):
            layer.update_estimate()


def _make_scale(channels: int, width: int) -> Stages:
    """Create one scale of the discriminator, with a receptive field of 26 x 26 pixels."""
    return Stages(
        nn.Sequential(SpectralConv2d(channels, width, 4, stride=2), nn.LeakyReLU(0.2)),
        nn.Sequential(SpectralConv2d(width, 2 * width, 4, stride=2), nn.LeakyReLU(0.2)),
        nn.Sequential(SpectralConv2d(2 * width, 4 * width, 3), nn.LeakyReLU(0.2)),
        SpectralConv2d(4 * width, 1, 3),
    )


def _activate(x: Tensor) -> Tensor:
    return F.leaky_relu(x, LEAK)


def _initialize(layer: nn.Conv2d, gain: float = 1.0) -> None:
    """Set random weights (He et al., 2015) times `gain`, and biases of 0."""
    nn.init.kaiming_normal_(layer.weight, a=LEAK)
    nn.init.zeros_(layer.bias)
    with torch.no_grad():
        layer.weight.mul_(gain)


def _initialize_bilinear(up: nn.ConvTranspose2d) -> None:
    """Set weights that upsample bilinearly and mix channels at random, without a checkerboard."""
    nn.init.zeros_(up.bias)
    taps = torch.tensor([0.25, 0.75, 0.75, 0.25])
    with torch.no_grad():
        mixed = nn.init.kaiming_normal_(up.weight.new_empty(up.weight.shape[:2]), LEAK, "fan_out")
        up.weight.copy_(mixed[..., None, None] * torch.outer(taps, taps))
