"""The lite discriminator is cheap, judges two scales, and a pass changes nothing in it."""

from __future__ import annotations

import pytest
import torch

from trainer.networks.build import count_multiply_adds
from trainer.networks.lite import LiteDiscriminator, SpectralConv2d, follow_weights
from trainer.networks.paper import Discriminator


def test_it_judges_two_scales() -> None:
    fine, coarse = LiteDiscriminator(width=4)(torch.zeros(2, 3, 64, 96))
    assert fine.shape == (2, 1, 16, 24)
    assert coarse.shape == (2, 1, 8, 12)


def test_it_takes_a_ninth_of_the_papers_work() -> None:
    assert count_multiply_adds(LiteDiscriminator()) < count_multiply_adds(Discriminator()) / 9


def test_the_finer_scale_may_see_luminance_alone() -> None:
    torch.manual_seed(0)
    discriminator = LiteDiscriminator(width=4, sees="grey")
    grey = torch.zeros(1, 3, 32, 32)
    tinted = grey.clone()
    tinted[:, 0] += 0.114 / 0.299
    tinted[:, 2] -= 1.0
    fine, coarse = zip(discriminator(grey), discriminator(tinted), strict=True)
    torch.testing.assert_close(fine[0], fine[1], atol=1e-5, rtol=0)
    assert (coarse[0] - coarse[1]).abs().max() > 1e-4


def test_the_largest_singular_value_is_divided_out() -> None:
    torch.manual_seed(1)
    layer = SpectralConv2d(8, 16, 3)
    for _ in range(200):
        follow_weights(layer)
    picture = torch.rand(1, 8, 12, 12)
    plain = torch.nn.functional.conv2d(picture, layer.weight, padding=1)
    largest = torch.linalg.matrix_norm(layer.weight.flatten(1), 2)
    made = layer(picture) - layer.bias.view(1, -1, 1, 1)
    torch.testing.assert_close(made, plain / largest, atol=1e-4, rtol=1e-3)


def test_a_pass_changes_nothing() -> None:
    discriminator = LiteDiscriminator(width=4)
    before = {name: value.clone() for name, value in discriminator.state_dict().items()}
    discriminator(torch.rand(1, 3, 32, 32))
    for name, value in discriminator.state_dict().items():
        assert torch.equal(value, before[name]), name
    follow_weights(discriminator)
    changed = [n for n, v in discriminator.state_dict().items() if not torch.equal(v, before[n])]
    assert changed and all(name.endswith(("left", "right")) for name in changed)


def test_its_gradient_goes_through_the_norm() -> None:
    layer = SpectralConv2d(3, 4, 3)
    layer(torch.rand(1, 3, 8, 8)).square().sum().backward()
    assert layer.weight.grad is not None
    # Scaling the weights changes nothing, so the gradient has no share along them.
    along = torch.cosine_similarity(layer.weight.grad.flatten(), layer.weight.flatten(), dim=0)
    assert along.item() == pytest.approx(0, abs=1e-3)
