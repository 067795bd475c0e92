"""Networks of CycleGAN: the residual generator, and the two of them that learn as a pair.

In: images (N, 3, H, W) in [-1, 1]. Out: images of the other kind, of the same shape and range.

The generator is that of Zhu et al., "Unpaired Image-to-Image Translation using Cycle-Consistent
Adversarial Networks", 2017, appendix 7.2, after Johnson et al., 2016. The comments use its
notation: `c7s1-64` is a 7x7 convolution with stride 1 and 64 feature maps, `d` a convolution with
stride 2, `R` a residual block, `u` a transposed convolution with stride 1/2. Instance norm has no
weights of its own, as there. The discriminator is in `trainer.networks.patch_discriminator`.
"""

from __future__ import annotations

from torch import Tensor, nn

from trainer.networks.checkpointing import Stages
from trainer.networks.paper import Float32InstanceNorm, initialize


class CycleGanGenerator(nn.Module):
    """Residual generator with instance norm, whose output is in [-1, 1]."""

    multiple_of = 4
    """H and W of the input must be multiples of this."""

    def __init__(self, width: int = 256, blocks: int = 9) -> None:
        """Create a generator with random weights.

        Args:
            width: Number of channels at 1/4 of the resolution; `width // 2` at 1/2, and
                `width // 4` at full resolution.
            blocks: Number of residual blocks, all at 1/4 of the resolution; Zhu et al. take 6 for
                images of 128 pixels and 9 for 256 and more.
        """
        super().__init__()
        half, full = width // 2, width // 4
        self.stages = Stages(
            nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(3, full, 7), *_norm(full)),  # c7s1-64
            nn.Sequential(nn.Conv2d(full, half, 3, 2, padding=1), *_norm(half)),  # d128
            nn.Sequential(nn.Conv2d(half, width, 3, 2, padding=1), *_norm(width)),  # d256
            *(_ReflectedBlock(width) for _ in range(blocks)),  # R256
            _make_up(width, half),  # u128
            _make_up(half, full),  # u64
            nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(full, 3, 7), nn.Tanh()),  # c7s1-3
        )
        self.apply(initialize)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, 3, H, W) in [-1, 1] to the other kind, same shape and range."""
        return self.stages(images)


class GeneratorPair(nn.Module):
    """Two generators that undo each other, with one optimizer as in CycleGAN."""

    def __init__(self, to_cartoons: nn.Module, to_photos: nn.Module) -> None:
        """Hold two generators.

        Args:
            to_cartoons: G, from photos to cartoons, which is exported.
            to_photos: F, from cartoons to photos.
        """
        super().__init__()
        self.to_cartoons = to_cartoons
        self.to_photos = to_photos

    def forward(self, photos: Tensor) -> Tensor:
        """Map photos (N, 3, H, W) in [-1, 1] to cartoons."""
        return self.to_cartoons(photos)


class DiscriminatorPair(nn.Module):
    """The discriminators of the two kinds of images."""

    def __init__(self, of_cartoons: nn.Module, of_photos: nn.Module) -> None:
        """Hold two discriminators, one for cartoons and one for photos."""
        super().__init__()
        self.of_cartoons = of_cartoons
        self.of_photos = of_photos

    def forward(self, images: Tensor) -> list[Tensor]:
        """Classify the patches of images (N, 3, H, W) as cartoons."""
        return self.of_cartoons(images)


class _ReflectedBlock(nn.Module):
    """Residual block of two 3x3 convolutions on reflected borders: (N, C, H, W) to the same."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *(nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3), *_norm(width)),
            *(nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3), *_norm(width)[:1]),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


def _make_up(channels: int, width: int) -> nn.Sequential:
    """Create u128: (N, C, H, W) to (N, width, 2H, 2W)."""
    convolution = nn.ConvTranspose2d(channels, width, 3, stride=2, padding=1, output_padding=1)
    return nn.Sequential(convolution, *_norm(width))


def _norm(width: int) -> tuple[nn.Module, nn.Module]:
    return Float32InstanceNorm(width, learned=False), nn.ReLU()
