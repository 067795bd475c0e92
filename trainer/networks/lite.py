"""The small networks of the preset `lite`, both departures from the paper.

The paper's generator takes 830 thousand multiply-adds a pixel, this one under 5 thousand, and it
has no normalisation, so that tiles, half precision and neighbouring frames agree.
"""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainer.config import Colours
from trainer.data.color import to_luminance
from trainer.networks.checkpointing import Stages

LEAK = 0.1
"""Slope of the activations below 0: a plain ReLU here can die for good in the first steps."""

RESIDUAL_GAIN = 0.3
"""Of a residual block's branch at the start: without normalisation, sums would grow."""

OUTPUT_GAIN = 0.1
"""Of what changes the photo at the start."""


class LiteGenerator(nn.Module):
    """Real-time generator: multiplies the photo by one soft picture and adds another.

    As in a guided filter (He et al., 2013), a cartoon is (1 + gain) * photo + offset. Both are made
    at half the height and width and enlarged smoothly, so that they have nothing finer than that:
    an edge that stays is the photo's own, an area is flat where the gain is -1, and a line is an
    offset. A network that adds pixels of its own making draws the same edge otherwise wherever it
    falls between its 2 x 2 squares, which a film shows as boiling.

    Most of the work is done at a quarter of the height and width, the rest at half of them.
    Measured by how well it repeats the abstraction, width at half the size is worth more than width
    and depth at a quarter of it.

    Its pixels lie side by side with their colours, as a frame's do, and its first layer works on
    pixels in twos: so nothing has to be put in another order on the way in.
    """

    multiple_of = 4
    """H and W of the input must be multiples of this."""

    def __init__(self, width: int = 32, blocks: int = 2) -> None:
        """Make a generator with random weights.

        Args:
            width: Channels at a quarter of the size; half as many at half the size.
            blocks: Residual blocks at a quarter of the size.
        """
        super().__init__()
        half = width // 2
        # Of pairs of pixels: the same as 6x6 with stride 2 of pixels.
        self.enter = nn.Conv2d(2 * 3, half, kernel_size=(6, 3), stride=(2, 1), padding=(2, 1))
        self.down = nn.Conv2d(half, width, kernel_size=3, stride=2, padding=1)
        self.blocks = Stages(*(ResidualBlock(width) for _ in range(blocks)))
        self.up = nn.ConvTranspose2d(width, half, kernel_size=4, stride=2, padding=1)
        self.gain = SmoothlyEnlarged(half)
        self.offset = SmoothlyEnlarged(half)
        for layer in (self.enter, self.down):
            _start(layer)
        for block in self.blocks:
            _start(block.first)
            _start(block.second, gain=RESIDUAL_GAIN)
        _start_smooth(self.up)

    def forward(self, photos: Tensor) -> Tensor:
        """Photos (N, 3, H, W) in [-1, 1] to cartoons of the same shape, about in that range."""
        return self.redraw(photos.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    def redraw(self, photos: Tensor) -> Tensor:
        """As `forward`, shapes (N, H, W, 3)."""
        count, height, width, _ = photos.shape
        pairs = photos.reshape(count, height, width // 2, 2 * 3).permute(0, 3, 1, 2)
        half = _activate(self.enter(pairs))  # (N, 16, H/2, W/2)
        x = _activate(self.down(half))  # (N, 32, H/4, W/4)
        x = self.blocks(x)
        x = _activate(half + self.up(x))  # (N, 16, H/2, W/2)
        return photos + self.gain(x) * photos + self.offset(x)


class SmoothlyEnlarged(nn.Module):
    """A colour for each place, made by a 1x1 convolution and enlarged twofold, bilinearly.

    Both are linear, so they are one 3x3 convolution, which gives the four pixels of each place.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.colour = nn.Conv2d(channels, 3, kernel_size=1)
        _start(self.colour, gain=OUTPUT_GAIN)
        near, far = torch.tensor([0.25, 0.75, 0.0]), torch.tensor([0.0, 0.75, 0.25])
        taps = [torch.outer(down, across) for down in (near, far) for across in (near, far)]
        self.register_buffer("taps", torch.stack(taps), persistent=False)  # (4, 3, 3)
        self._lay_out = SquaresToPixels()

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) to (N, 2h, 2w, 3)."""
        return self._lay_out(F.conv2d(x, *self._both(), padding=1))

    def folded(self) -> nn.Sequential:
        """The same with both as one convolution's weights."""
        weight, bias = self._both()
        both = nn.Conv2d(weight.shape[1], weight.shape[0], kernel_size=3, padding=1)
        both.weight, both.bias = nn.Parameter(weight), nn.Parameter(bias)
        return nn.Sequential(both, self._lay_out)

    def _both(self) -> tuple[Tensor, Tensor]:
        """Weight (12, C, 3, 3) and bias of the 3x3 convolution: four pixels' colours a place."""
        colour = self.colour.weight[..., 0, 0]  # (3, C)
        weight = torch.einsum("oc,pyx->pocyx", colour, self.taps).flatten(0, 1)
        return weight, self.colour.bias.repeat(4)


class SquaresToPixels(nn.Module):
    """(N, 12, h, w), 2x2 pixels row by row, to (N, 2h, 2w, 3)."""

    def forward(self, squares: Tensor) -> Tensor:
        count, _, height, width = squares.shape
        rows = squares.permute(0, 2, 3, 1).reshape(count, height, width, 2, 2 * 3).transpose(2, 3)
        return rows.reshape(count, 2 * height, 2 * width, 3)


def fold_enlarging(network: nn.Module) -> nn.Module:
    """A copy of a network without what training alone has need of: see `SmoothlyEnlarged`."""
    folded = copy.deepcopy(network)
    for name, layer in network.named_modules():
        if isinstance(layer, SmoothlyEnlarged):
            folded.set_submodule(name, layer.folded())
    return folded


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside a skip (He et al., 2016), without normalisation."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, kernel_size=3, padding=1)
        self.second = nn.Conv2d(width, width, kernel_size=3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(_activate(self.first(x)))


class LiteDiscriminator(nn.Module):
    """Judges pictures at full and at half the size, each with one small network.

    Departures: spectral norm for BatchNorm (Miyato et al., 2018), two scales (Wang et al., 2018),
    and a first convolution of stride 2: 9 thousand multiply-adds a pixel against the paper's 89.
    """

    def __init__(self, width: int = 32, sees: Colours = "colour") -> None:
        """Make a discriminator with random weights.

        Args:
            width: Channels of the first convolution.
            sees: `grey` lets the finer network judge luminance alone, lines and texture (as
                AnimeGAN, Chen et al., 2019), and leaves the colours to the coarser one.
        """
        super().__init__()
        self.sees = sees
        self.fine = _make_judge(3 if sees == "colour" else 1, width)
        self.coarse = _make_judge(3, width)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """Judge pictures (N, 3, H, W) in [-1, 1].

        Returns:
            (N, 1, H/4, W/4) and (N, 1, H/8, W/8): high for what looks like a cartoon.
        """
        seen = pictures if self.sees == "colour" else to_luminance(pictures)
        return [self.fine(seen), self.coarse(F.avg_pool2d(pictures, 2))]


class SpectralConv2d(nn.Conv2d):
    """A convolution whose weights, as a matrix, are divided by their largest singular value.

    Unlike PyTorch's own, a pass changes nothing: so passes over parts of a batch, and passes done
    again by gradient checkpointing, add up to the pass over the whole.
    """

    def __init__(self, channels: int, filters: int, size: int, stride: int = 1) -> None:
        super().__init__(channels, filters, size, stride, padding=(size - 1) // 2)
        _start(self)
        self.register_buffer("left", F.normalize(torch.randn(filters), dim=0))
        self.register_buffer("right", F.normalize(torch.randn(self.weight[0].numel()), dim=0))
        for _ in range(10):
            self.follow_weights()

    @torch.no_grad()
    def follow_weights(self) -> None:
        """One step of the power method towards the largest singular value."""
        matrix = self.weight.flatten(1)
        self.right.copy_(F.normalize(self.left @ matrix, dim=0))
        self.left.copy_(F.normalize(matrix @ self.right, dim=0))

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            largest = self.left @ self.weight.flatten(1) @ self.right
            weight = self.weight / largest
        return self._conv_forward(x, weight, self.bias)


def follow_weights(network: nn.Module) -> None:
    """Let spectral norm, where a network has it, follow the weights: once a step."""
    for layer in network.modules():
        if isinstance(layer, SpectralConv2d):
            layer.follow_weights()


def _make_judge(channels: int, width: int) -> Stages:
    """One scale of the discriminator; each number it gives has seen 26 x 26 pixels."""
    return Stages(
        nn.Sequential(SpectralConv2d(channels, width, 4, stride=2), nn.LeakyReLU(0.2)),
        nn.Sequential(SpectralConv2d(width, 2 * width, 4, stride=2), nn.LeakyReLU(0.2)),
        nn.Sequential(SpectralConv2d(2 * width, 4 * width, 3), nn.LeakyReLU(0.2)),
        SpectralConv2d(4 * width, 1, 3),
    )


def _activate(x: Tensor) -> Tensor:
    return F.leaky_relu(x, LEAK)


def _start(layer: nn.Conv2d, gain: float = 1.0) -> None:
    """Random weights (He et al., 2015) times `gain`, biases of 0."""
    nn.init.kaiming_normal_(layer.weight, a=LEAK)
    nn.init.zeros_(layer.bias)
    with torch.no_grad():
        layer.weight.mul_(gain)


def _start_smooth(up: nn.ConvTranspose2d) -> None:
    """Random weights that enlarge bilinearly, which leaves no checkerboard."""
    nn.init.zeros_(up.bias)
    taps = torch.tensor([0.25, 0.75, 0.75, 0.25])
    with torch.no_grad():
        mixed = nn.init.kaiming_normal_(up.weight.new_empty(up.weight.shape[:2]), LEAK, "fan_out")
        up.weight.copy_(mixed[..., None, None] * torch.outer(taps, taps))
