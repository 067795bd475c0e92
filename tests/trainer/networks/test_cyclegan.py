"""CycleGAN's networks have the layers of the publication."""

from __future__ import annotations

import pytest
import torch

from trainer.config import change_config
from trainer.networks.build import count_parameters, make_discriminator, make_generator
from trainer.networks.cyclegan import CycleGanGenerator
from trainer.networks.patch_discriminator import PATCH, PatchDiscriminator
from trainer.presets import CYCLEGAN


@pytest.mark.parametrize(("crop", "parameters"), [(128, 7_837_699), (256, 11_378_179)])
def test_the_generator_has_six_blocks_up_to_128_pixels_and_nine_above(
    crop: int, parameters: int
) -> None:
    """The numbers are those of the authors' program, of 6 and of 9 blocks."""
    config = change_config(CYCLEGAN, [f"crop={crop}", f"frame_heights={crop}"])
    assert count_parameters(make_generator(config)) == parameters


def test_a_number_of_blocks_can_be_given() -> None:
    generator = make_generator(change_config(CYCLEGAN, ["blocks=2", "width=8"]))
    assert sum(name.endswith("body") for name, _ in generator.named_modules()) == 2


def test_the_generator_keeps_shape_and_range() -> None:
    images = torch.randn(1, 3, 36, 44)
    made = CycleGanGenerator(width=8, blocks=1)(images)
    assert made.shape == images.shape
    assert made.abs().max() <= 1


def test_the_discriminator_judges_30_by_30_patches_of_a_crop_of_256() -> None:
    assert make_discriminator(CYCLEGAN).stages[0][0].out_channels == 64
    assert count_parameters(make_discriminator(CYCLEGAN)) == 2_764_737  # the authors' program
    (logits,) = PatchDiscriminator(width=2)(torch.zeros(1, 3, 256, 256))
    assert logits.shape == (1, 1, 30, 30)


def test_an_output_of_the_discriminator_sees_70_pixels() -> None:
    network = PatchDiscriminator(width=2).stages
    images = torch.randn(1, 3, 256, 256, requires_grad=True)
    x = images
    for stage in network:  # without instance norm, which looks at the whole image
        layers = list(stage) if isinstance(stage, torch.nn.Sequential) else [stage]
        for layer in layers:
            x = layer(x) if not type(layer).__name__.endswith("InstanceNorm") else x
    x[0, 0, 15, 15].backward()
    assert images.grad is not None
    seen = images.grad.abs().sum(dim=(0, 1, 2)).nonzero().flatten()
    assert int(seen.max() - seen.min()) + 1 == PATCH == 70


def test_the_discriminator_of_pairs_has_six_channels() -> None:
    network = PatchDiscriminator(width=2, channels=6)
    assert network(torch.zeros(1, 6, 64, 64))[0].shape == (1, 1, 6, 6)
