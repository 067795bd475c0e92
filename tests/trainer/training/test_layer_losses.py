"""The paired losses are lowest at the drawing itself, and count what a viewer sees."""

from __future__ import annotations

import pytest
import torch

from trainer.networks.cel import CelGenerator, Layers
from trainer.training.layer_losses import (
    color_gradient_loss,
    color_loss,
    ink_loss,
    layer_stability_loss,
)
from trainer.training.perturbation import Perturbation


@pytest.fixture
def color() -> torch.Tensor:
    picture = torch.full((2, 3, 32, 32), -0.4)
    picture[..., 16:] = 0.5
    return picture


@pytest.fixture
def ink() -> torch.Tensor:
    line = torch.zeros(2, 1, 32, 32)
    line[..., 15:17] = 1
    return line


def as_logits(ink: torch.Tensor) -> torch.Tensor:
    return (ink * 2 - 1) * 8


def test_a_drawing_is_no_distance_from_itself(color: torch.Tensor, ink: torch.Tensor) -> None:
    layers = Layers(color, as_logits(ink))
    assert color_loss(layers, color, ink) == 0
    assert color_gradient_loss(layers, color, ink) == 0
    assert ink_loss(layers, color, ink) < 0.02


def test_color_under_ink_counts_a_fifth(color: torch.Tensor) -> None:
    layers = Layers(color + 0.1, torch.zeros(2, 1, 32, 32))
    bare, covered = torch.zeros(2, 1, 32, 32), torch.ones(2, 1, 32, 32)
    torch.testing.assert_close(color_loss(layers, color, bare), torch.tensor(0.1))
    torch.testing.assert_close(color_loss(layers, color, covered), torch.tensor(0.02))


def test_an_even_shift_has_no_gradient_and_a_blurred_step_has(
    color: torch.Tensor, ink: torch.Tensor
) -> None:
    none = torch.zeros_like(ink)
    shifted = Layers(color + 0.1, none)
    assert color_gradient_loss(shifted, color, none) < 1e-6
    blurred = Layers(torch.nn.functional.avg_pool2d(color, 5, 1, 2), none)
    assert color_gradient_loss(blurred, color, none) > 0.01


def test_haze_costs_more_than_its_gradients_from_pixel_to_pixel(ink: torch.Tensor) -> None:
    flat, none = torch.zeros(1, 3, 64, 64), torch.zeros(1, 1, 64, 64)
    haze = flat + 0.05 * torch.sin(torch.arange(64) * torch.pi / 16)
    steps = haze.diff(dim=3).abs().mean()
    assert color_gradient_loss(Layers(haze, none), flat, none) > 2 * steps


def test_a_missing_line_costs_more_than_one_too_many(ink: torch.Tensor) -> None:
    color, none = torch.zeros(2, 3, 32, 32), torch.zeros_like(ink)
    missing = ink_loss(Layers(color, as_logits(none)), color, ink)
    invented = ink_loss(Layers(color, as_logits(ink)), color, none)
    assert missing > invented > ink_loss(Layers(color, as_logits(none)), color, none)


def test_gradients_reach_every_weight(color: torch.Tensor, ink: torch.Tensor) -> None:
    torch.manual_seed(1)
    generator = CelGenerator(width=8, blocks=1)
    layers = generator.layers(color + torch.randn_like(color) * 0.1)
    total = color_loss(layers, color, ink) + color_gradient_loss(layers, color, ink)
    (total + ink_loss(layers, color, ink)).backward()
    for name, weight in generator.named_parameters():
        assert weight.grad is not None and weight.grad.abs().sum() > 0, name


class FlickeringGenerator:
    """A generator that follows the photo's own moves, plus what it is told to add."""

    def __init__(self, flicker: float) -> None:
        self.flicker = flicker

    def layers(self, photos: torch.Tensor) -> Layers:
        return Layers(photos + self.flicker, photos[:, :1] * 4)


@pytest.mark.parametrize("flicker", [0.0, 0.2])
def test_stability_costs_what_does_not_move_with_the_photo(flicker: float) -> None:
    torch.manual_seed(2)
    photos = torch.nn.functional.avg_pool2d(torch.randn(2, 3, 60, 60), 9, 1, 4)
    perturbation = Perturbation.sample(photos, torch.Generator().manual_seed(4))
    perturbation = Perturbation(
        perturbation.positions, torch.ones(2, 1, 1, 1), torch.zeros(2, 1, 1, 1), photos * 0
    )
    still = FlickeringGenerator(0.0).layers(photos)
    loss = layer_stability_loss(FlickeringGenerator(flicker), photos, still, perturbation)  # type: ignore[arg-type]
    # Three of four channels flicker.
    assert abs(float(loss) - 0.75 * flicker) < 0.01


def test_skin_and_what_lies_in_it_counts_four_times() -> None:
    def cost(rgb: tuple[int, int, int]) -> float:
        color = torch.tensor(rgb).view(1, 3, 1, 1).expand(1, 3, 40, 40) / 127.5 - 1
        color = color.clone()
        color[..., 19:21, 19:21] = -0.8  # an eye
        none = torch.zeros(1, 1, 40, 40)
        wrong = color.clone()
        wrong[..., 19:21, 19:21] = 0
        return float(color_loss(Layers(wrong, none), color, none))

    for skin in ((224, 172, 140), (141, 85, 58)):
        assert 3.5 < cost(skin) / cost((120, 125, 120)) <= 4
