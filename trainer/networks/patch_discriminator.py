"""PatchGAN discriminator: each output judges one patch of 70 x 70 pixels.

In: images (N, C, H, W) in [-1, 1]; 3 channels, or 6 for pairs of images, one above the other. Out:
logits of patches. On images of 256 pixels there are 30 x 30 patches.

Source: Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks", 2017,
appendix 6.1.2, where `C64` is a 4x4 convolution with 64 feature maps; with instance norm as in
CycleGAN (Zhu et al., 2017).
"""

from __future__ import annotations

from torch import Tensor, nn

from trainer.networks.checkpointing import Stages
from trainer.networks.paper import SLOPE, Float32InstanceNorm, initialize

PATCH = 70
"""Side in pixels of the receptive field of an output."""


class PatchDiscriminator(nn.Module):
    """C64-C128-C256-C512 and a last convolution to one channel."""

    def __init__(self, width: int = 64, channels: int = 3) -> None:
        """Create a discriminator with random weights.

        Args:
            width: Number of feature maps of the first convolution.
            channels: Number of channels of an image.
        """
        super().__init__()
        leaky = nn.LeakyReLU(SLOPE)
        self.stages = Stages(
            nn.Sequential(nn.Conv2d(channels, width, 4, 2, padding=1), leaky),  # C64
            _normalized(width, 2 * width, stride=2),  # C128
            _normalized(2 * width, 4 * width, stride=2),  # C256
            _normalized(4 * width, 8 * width, stride=1),  # C512
            nn.Conv2d(8 * width, 1, 4, padding=1),
        )
        self.apply(initialize)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Classify the patches of images (N, C, H, W) in [-1, 1].

        Returns:
            Logits (N, 1, H/8 - 2, W/8 - 2), high for real images. A list, because other
            discriminators have several scales.
        """
        return [self.stages(images)]


def _normalized(channels: int, width: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, width, 4, stride, padding=1),
        Float32InstanceNorm(width, learned=False),
        nn.LeakyReLU(SLOPE),
    )
