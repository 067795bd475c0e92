"""Each loss is 0 where it should be, and grows with what it penalizes."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from trainer.training.losses import (
    GENERATOR_STRIDE,
    adversarial_loss,
    color_loss,
    content_loss,
    discriminator_loss,
    equivariance_loss,
    gradient_difference,
    pixel_loss,
    stability_loss,
    style_loss,
    total_variation,
)
from trainer.training.perturbation import Perturbation


class DownscaledImages:
    """A content network whose features are images at 1/4 and 1/8 of the resolution."""

    layer_weights = (0.5, 1.0)

    def __call__(self, images: Tensor) -> list[Tensor]:
        return [torch.nn.functional.avg_pool2d(images, side) for side in (4, 8)]


def random_images(seed: int = 0) -> Tensor:
    return torch.rand(2, 3, 48, 48, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def smooth_images() -> Tensor:
    coarse = torch.nn.functional.avg_pool2d(random_images(), 12)
    return torch.nn.functional.interpolate(coarse, scale_factor=12, mode="bicubic").clamp(-1, 1)


def no_perturbation(images: Tensor) -> Perturbation:
    """A perturbation that changes nothing."""
    count, _, height, width = images.shape
    unit = torch.tensor([[1.0, 0, 0], [0, 1, 0]]).repeat(count, 1, 1)
    positions = torch.nn.functional.affine_grid(unit, [count, 3, height, width], False)
    one = torch.ones(count, 1, 1, 1)
    return Perturbation(positions, one, one * 0, torch.zeros_like(images))


def test_equal_images_have_no_loss() -> None:
    images = random_images()
    assert pixel_loss(images, images, images, ink_weight=3.0) == 0
    assert gradient_difference(images, images, images, ink_weight=3.0) == 0
    assert content_loss(DownscaledImages(), images, images) == 0


def test_pixels_with_ink_have_a_higher_weight() -> None:
    photos = torch.ones(1, 3, 8, 8)
    drawings = photos.clone()
    drawings[..., 0] = -1  # a line of full ink on white
    assert pixel_loss(photos, drawings, photos, ink_weight=0.0).item() == pytest.approx(2 / 8)
    assert pixel_loss(photos, drawings, photos, ink_weight=3.0).item() == pytest.approx(1.0)
    lighter = torch.zeros_like(photos)
    assert pixel_loss(lighter, photos, lighter, ink_weight=3.0).item() == pytest.approx(1.0)


def test_image_gradients_are_compared_with_sign_and_without_brightness() -> None:
    photos = torch.ones(1, 3, 8, 8)
    lines = photos.clone()
    lines[..., 4] = -1
    assert gradient_difference(lines - 0.5, lines, photos, ink_weight=0.0).item() == 0
    # Two edges of 2 in each of 8 rows, of 7 differences a row.
    assert gradient_difference(photos, lines, photos, 0.0).item() == pytest.approx(4 / 7)
    blurred = lines.clone()
    blurred[..., 3] = blurred[..., 5] = 0
    assert 0 < gradient_difference(blurred, lines, photos, 0.0) < 4 / 7 + 1e-6
    opposite = 2 - lines
    assert gradient_difference(opposite, lines, photos, 0.0).item() == pytest.approx(8 / 7)
    assert gradient_difference(photos, lines, photos, ink_weight=3.0) > 1.5 * 4 / 7


def test_the_content_loss_weighs_the_stages_and_has_gradients_in_the_generated_only() -> None:
    generated = torch.zeros(1, 3, 16, 16, requires_grad=True)
    targets = torch.full((1, 3, 16, 16), 0.5, requires_grad=True)
    loss = content_loss(DownscaledImages(), generated, targets)
    assert loss.item() == pytest.approx((0.5 + 1.0) * 0.5)
    loss.backward()
    assert generated.grad is not None
    assert targets.grad is None


def test_a_generator_that_commutes_with_motion_is_stable() -> None:
    photos = smooth_images()
    perturbation = Perturbation.sample(photos, torch.Generator().manual_seed(1))
    noiseless = Perturbation(
        perturbation.positions, perturbation.gain, perturbation.offset, 0 * perturbation.noise
    )
    moving = stability_loss(lambda p: p, photos, photos, noiseless)
    assert moving < 0.01

    pattern = random_images(5)
    fixed = stability_loss(lambda p: p + pattern, photos, photos + pattern, noiseless)
    assert fixed > 10 * moving


def test_a_generator_that_amplifies_noise_is_not_stable() -> None:
    photos = smooth_images() / 2
    perturbation = Perturbation.sample(photos, torch.Generator().manual_seed(2))
    plain = stability_loss(lambda p: p, photos, photos, perturbation)
    noisy = stability_loss(lambda p: 4 * p, photos, 4 * photos, perturbation)
    assert noisy > 2 * plain


def test_the_identity_changes_nothing() -> None:
    images = random_images()
    torch.testing.assert_close(no_perturbation(images).warp(images), images, atol=1e-5, rtol=0)
    assert stability_loss(lambda p: p, images, images, no_perturbation(images)) < 1e-5


@pytest.mark.parametrize("shift", [(0, 1), (3, 0), (2, 3)])
def test_a_blur_is_shift_equivariant(shift: tuple[int, int]) -> None:
    photos = random_images()
    blur = nn.AvgPool2d(3, stride=1, padding=1)
    assert equivariance_loss(blur, photos, blur(photos), shift) < 1e-12


def test_a_fixed_pattern_is_not_shift_equivariant() -> None:
    photos = random_images()
    stripes = torch.zeros(1, 1, 48, 48)
    stripes[..., ::GENERATOR_STRIDE, :] = 0.5

    def draw(images: Tensor) -> Tensor:
        return images + stripes[..., : images.shape[2], : images.shape[3]]

    # Shifted by one row, two of four rows differ by 0.5; shifted by columns, none does.
    loss = equivariance_loss(draw, photos, draw(photos), (1, 0))
    assert loss.item() == pytest.approx(0.5 * 0.5**2)
    assert equivariance_loss(draw, photos, draw(photos), (0, 3)) < 1e-12


def logits(*levels: float) -> list[Tensor]:
    """A map for each scale of a discriminator."""
    return [
        torch.full((2, 1, 4 * scale, 4 * scale), level) for scale, level in enumerate(levels, 1)
    ]


def log_sigmoid(x: float) -> float:
    return -math.log(1 + math.exp(-x))


def test_cross_entropy_is_equation_3() -> None:
    """L = log D(c) + log(1 - D(e)) + log(1 - D(G(p))), where D ends with a sigmoid, maximized."""
    loss = discriminator_loss(logits(0.3), logits(2.0), logits(-0.7), "bce")
    expected = -(log_sigmoid(2.0) + log_sigmoid(0.7) + log_sigmoid(-0.3))
    assert loss.item() == pytest.approx(expected, abs=1e-5)
    assert adversarial_loss(logits(0.3), "bce").item() == pytest.approx(-log_sigmoid(0.3), abs=1e-5)


def test_least_squares_have_label_1_for_cartoons_and_0_otherwise() -> None:
    loss = discriminator_loss(logits(0.3), logits(0.8), logits(0.5), "least-squares", 0.5)
    assert loss.item() == pytest.approx(0.3**2 + 0.2**2 + 0.5 * 0.5**2, abs=1e-6)
    assert adversarial_loss(logits(0.3), "least-squares").item() == pytest.approx(0.7**2, abs=1e-6)


def test_all_scales_of_the_discriminator_have_the_same_weight() -> None:
    loss = adversarial_loss(logits(0.0, 1.0), "least-squares")
    assert loss.item() == pytest.approx(0.5)


def test_style_does_not_depend_on_positions() -> None:
    generated = smooth_images().requires_grad_()
    moved = generated.detach().flip(0).roll(24, dims=3)
    assert style_loss(DownscaledImages(), generated, moved).item() == pytest.approx(0, abs=1e-6)
    loss = style_loss(DownscaledImages(), generated, generated.detach() / 2)
    assert loss > 1e-4
    loss.backward()
    assert generated.grad is not None


def test_total_variation_is_the_mean_difference_of_neighbors() -> None:
    flat = torch.full((1, 3, 8, 8), 0.4)
    assert total_variation(flat) == 0
    ramp = torch.arange(8.0).view(1, 1, 1, 8).expand(1, 3, 8, 8) / 10
    assert total_variation(ramp).item() == pytest.approx(0.1)


def test_color_is_compared_by_the_means_of_areas() -> None:
    photos = torch.zeros(1, 3, 32, 32)
    texture = photos.clone()
    texture[..., ::2] += 0.5
    texture[..., 1::2] -= 0.5  # the same mean color
    assert color_loss(texture, photos).item() == pytest.approx(0, abs=1e-6)
    red = photos.clone()
    red[:, 0] += 0.5
    assert color_loss(red, photos).item() == pytest.approx(
        0.5 * (0.299 + 0.147 + 0.615) / 3, abs=1e-3
    )
