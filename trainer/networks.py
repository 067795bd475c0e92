"""Which generator and discriminator a config names, and what they cost.

Leaves out the networks themselves: `trainer.paper_networks` and `trainer.lite_networks`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trainer.cel_network import CelGenerator, Look
from trainer.config import TrainConfig
from trainer.lite_networks import LiteDiscriminator, LiteGenerator
from trainer.paper_networks import Discriminator, Generator


def make_generator(config: TrainConfig) -> nn.Module:
    """G: (N, 3, H, W) in [-1, 1] to the same, with random weights, channels last.

    H and W must be multiples of its `multiple_of`.
    """
    if config.generator == "cel":
        look = Look(
            ink=config.look_ink,
            tones=config.look_tones,
            saturation=config.look_saturation,
            exposure=config.look_exposure,
        )
        generator: nn.Module = CelGenerator(config.width, config.blocks, look)
    elif config.generator == "lite":
        generator = LiteGenerator(config.width, config.blocks)
    else:
        generator = Generator(config.width, config.blocks, improved=config.generator == "improved")
    return generator.to(memory_format=torch.channels_last)


def make_discriminator(config: TrainConfig) -> nn.Module:
    """D: (N, 3, H, W) in [-1, 1] to a list of (N, 1, h, w), one for each scale that it looks at."""
    if config.discriminator == "lite":
        sees = config.discriminator_sees
        discriminator: nn.Module = LiteDiscriminator(config.discriminator_width, sees)
    else:
        discriminator = Discriminator(config.discriminator_width)
    return discriminator.to(memory_format=torch.channels_last)


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

    def count(layer: nn.Module, taken: tuple[Tensor, ...], made: Tensor) -> None:
        up = isinstance(layer, nn.ConvTranspose2d)
        counts.append((taken[0] if up else made).numel() * layer.weight[0].numel())

    kinds = nn.Conv2d | nn.ConvTranspose2d
    layers = [layer for layer in generator.modules() if isinstance(layer, kinds)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    try:
        with torch.no_grad():
            generator(torch.zeros(1, 3, side, side))
    finally:
        for hook in hooks:
            hook.remove()
    return sum(counts) / side**2
