"""The U-Net has skips at every size, and takes any frame of its multiple."""

from __future__ import annotations

import pytest
import torch

from trainer.config import change_config
from trainer.networks.build import make_discriminator, make_generator
from trainer.networks.unet import UNetGenerator
from trainer.presets import PAINT


@pytest.mark.parametrize(("halvings", "size"), [(1, (6, 10)), (3, (24, 40)), (5, (64, 96))])
def test_the_output_has_the_size_of_the_line_art(halvings: int, size: tuple[int, int]) -> None:
    generator = UNetGenerator(width=8, halvings=halvings)
    assert generator.multiple_of == 2**halvings
    painted = generator(torch.randn(2, 3, *size))
    assert painted.shape == (2, 3, *size)
    assert painted.abs().max() <= 1


def test_the_preset_has_five_halvings_and_judges_pairs() -> None:
    generator = make_generator(PAINT)
    widths = [stage[0][0].out_channels for stage in generator.down]
    assert widths == [64, 128, 256, 512, 512]
    assert make_discriminator(PAINT).stages[0][0].in_channels == 6


@pytest.mark.parametrize("depth", [0, 1])
def test_a_skip_carries_what_the_bottom_does_not(depth: int) -> None:
    generator = UNetGenerator(width=8, halvings=2).eval()
    lines = torch.randn(1, 3, 8, 8)
    before = generator(lines)
    generator.down[1].register_forward_hook(lambda *_: torch.zeros(1, 8, 2, 2))
    cut = generator(lines)
    assert not torch.allclose(before, cut, atol=1e-7)
    if depth:  # without the bottom, line art still reaches the output by the skips
        assert not torch.allclose(cut, generator(lines.flip(3)), atol=1e-7)


def test_a_picture_is_painted_the_same_in_training_as_after_it() -> None:
    generator = UNetGenerator(width=8, halvings=3)
    lines = torch.randn(3, 3, 32, 32)
    together = generator(lines)
    assert not torch.allclose(together[0], together[1], atol=1e-4)
    for picture, painted in zip(lines, together, strict=True):
        assert torch.allclose(generator.eval()(picture[None])[0], painted, atol=1e-5)


def test_the_crop_is_a_multiple_of_all_halvings() -> None:
    with pytest.raises(Exception, match="crop must be a multiple of 32"):
        change_config(PAINT, ["crop=100"])
    with pytest.raises(Exception, match="blocks must be at most 5"):
        change_config(PAINT, ["blocks=6"])
