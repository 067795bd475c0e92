"""Creation of the networks that a config names, and their cost.

In: a `TrainConfig`. Out: a generator or a discriminator with random weights, or a content network
with pretrained ones. Left out: the networks themselves, which are in `trainer.networks.paper`,
`trainer.networks.cel`, `trainer.networks.lite`, `trainer.networks.cyclegan`,
`trainer.networks.unet`, `trainer.networks.patch_discriminator` and
`trainer.networks.content_features`.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import get_args

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from toonvid.errors import TrainingError
from trainer.config import PhaseName, TrainConfig, change_config
from trainer.networks.cel import CelGenerator, Look
from trainer.networks.content_features import ContentFeatures, load_content_features
from trainer.networks.cyclegan import CycleGanGenerator, DiscriminatorPair, GeneratorPair
from trainer.networks.lite import LiteDiscriminator, LiteGenerator
from trainer.networks.paper import Discriminator, Generator
from trainer.networks.patch_discriminator import PatchDiscriminator
from trainer.networks.unet import UNetGenerator
from trainer.networks.weights import DownloadError


def make_generator(config: TrainConfig) -> nn.Module:
    """Create G, which maps (N, 3, H, W) in [-1, 1] to the same shape, about in the same range.

    H and W must be multiples of its `multiple_of`. Weights are stored channels last, the layout in
    which convolutions are fastest on CPUs and on tensor cores.
    """
    if config.generator == "cel":
        generator: nn.Module = CelGenerator(
            config.width, config.blocks, make_look(config), config.mix
        )
    elif config.generator == "lite":
        generator = LiteGenerator(config.width, config.blocks)
    elif config.generator == "unet":
        generator = UNetGenerator(config.width, config.blocks)
    elif config.generator == "cyclegan":
        generator = CycleGanGenerator(config.width, config.blocks or choose_blocks(config.crop))
    else:
        generator = Generator(config.width, config.blocks, improved=config.generator == "improved")
    return generator.to(memory_format=torch.channels_last)


def make_trained_generator(config: TrainConfig) -> nn.Module:
    """Create what a run trains: G, or for CycleGAN the pair of G and its inverse."""
    generator = make_generator(config)
    if config.generator == "cyclegan":
        return GeneratorPair(generator, make_generator(config))
    return generator


def make_trained_discriminator(config: TrainConfig) -> nn.Module:
    """Create what a run trains against: D, or for CycleGAN one for each kind of image."""
    discriminator = make_discriminator(config)
    if config.generator == "cyclegan":
        return DiscriminatorPair(discriminator, make_discriminator(config))
    return discriminator


def choose_blocks(crop: int) -> int:
    """Number of residual blocks of CycleGAN's generator for crops of so many pixels."""
    return 6 if crop <= 128 else 9


def make_look(config: TrainConfig) -> Look:
    """Collect the options `look_*` of a config."""
    return Look(**{field.name: getattr(config, f"look_{field.name}") for field in fields(Look)})


def make_discriminator(config: TrainConfig) -> nn.Module:
    """Create D, which maps images to logits (N, 1, h, w), one map per scale.

    Images are (N, 3, H, W) in [-1, 1], or with line art pairs (N, 6, H, W).
    """
    if config.discriminator == "lite":
        discriminator: nn.Module = LiteDiscriminator(
            config.discriminator_width, config.discriminator_input
        )
    elif config.discriminator == "patch":
        channels = 6 if config.content_target == "art" else 3  # pairs of line art and picture
        discriminator = PatchDiscriminator(config.discriminator_width, channels)
    else:
        discriminator = Discriminator(config.discriminator_width)
    return discriminator.to(memory_format=torch.channels_last)


def make_content_features(config: TrainConfig, weights: Path | None) -> ContentFeatures | None:
    """Load the content network of a config, or None if no loss of it needs one.

    Args:
        config: Config of a run.
        weights: File of the network's weights; None downloads them.

    Raises:
        TrainingError: The weights cannot be downloaded or read, or belong to another network.
    """
    if not config.needs_content_network:
        return None
    try:
        return load_content_features(config.content_network, weights)
    except DownloadError as error:
        raise TrainingError(f"{error}, or train without: {_options_without(config)}") from error


def _options_without(config: TrainConfig) -> str:
    """Options of `toonvid train` with which a config needs no content network."""
    weights = [f"{phase}.content_weight=0" for phase in get_args(PhaseName)]
    without = "--preset lite --content-weight 0"
    try:
        if not change_config(config, weights).needs_content_network:
            without = "--content-weight 0"
    except TrainingError:  # a phase of the paper's has no other loss
        pass
    if config.content_network == "vgg19":
        without += ", or with a smaller download: --set content_network=resnet50"
    return without


def count_parameters(network: nn.Module) -> int:
    """Count the trained values of a network."""
    return sum(parameter.numel() for parameter in network.parameters())


def count_multiply_adds(generator: nn.Module, side: int = 64) -> float:
    """Count the multiply-adds of a generator's convolutions per pixel of its input.

    Args:
        generator: Network that takes (N, 3, H, W).
        side: H and W of the image that is used for counting.
    """
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        generator(torch.zeros(1, 3, side, side))
    return counter.get_total_flops() / 2 / side**2
