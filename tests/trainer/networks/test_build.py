"""Networks are created as the config says, and their cost is counted."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from trainer.config import change_config
from trainer.networks.build import (
    count_multiply_adds,
    count_parameters,
    make_discriminator,
    make_generator,
)
from trainer.networks.lite import LiteGenerator
from trainer.networks.paper import Generator
from trainer.presets import PRESETS


@pytest.mark.parametrize(
    ("preset", "kind", "scales"),
    [("paper", Generator, 1), ("improved", Generator, 1), ("lite", LiteGenerator, 2)],
)
def test_a_config_names_its_networks(preset: str, kind: type, scales: int) -> None:
    tiny = ["width=8", "blocks=1", "discriminator_width=4"]
    config = change_config(PRESETS[preset], tiny)
    generator, discriminator = make_generator(config), make_discriminator(config)
    assert isinstance(generator, kind)
    images = torch.zeros(1, 3, 32, 32)
    assert generator(images).shape == images.shape
    assert len(discriminator(images)) == scales


def test_multiply_adds_are_counted_as_by_hand() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),  # 3 * 8 * 9 a pixel
        nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=2),  # 4 * 8 * 9 for every fourth pixel
    )
    assert count_multiply_adds(network) == 3 * 8 * 9 + 4 * 8 * 9 / 4
    assert count_parameters(network) == 3 * 8 * 9 + 8 + 4 * 8 * 9 + 8
