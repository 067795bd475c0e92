"""Each loss is 0 where it should be, and grows with what it is against."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainer.training.losses import (
    BLOTCH,
    LARGEST_BLOTCHES,
    LARGEST_SHIFT,
    LARGEST_TINTS,
    SQUARE,
    Disturbance,
    adversarial_loss,
    colour_loss,
    content_loss,
    discriminator_loss,
    equivariance_loss,
    gradient_difference,
    pixel_loss,
    stability_loss,
    style_loss,
    total_variation,
)


class MeanFeatures:
    """Stands in for the content network: pictures at a quarter and an eighth of the size."""

    layer_weights = (0.5, 1.0)

    def __call__(self, pictures: Tensor) -> list[Tensor]:
        return [torch.nn.functional.avg_pool2d(pictures, side) for side in (4, 8)]


def random_pictures(seed: int = 0) -> Tensor:
    return torch.rand(2, 3, 48, 48, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def smooth_pictures() -> Tensor:
    coarse = torch.nn.functional.avg_pool2d(random_pictures(), 12)
    return torch.nn.functional.interpolate(coarse, scale_factor=12, mode="bicubic").clamp(-1, 1)


def still(like: Tensor) -> Disturbance:
    """A disturbance that changes nothing."""
    count, _, height, width = like.shape
    unit = torch.tensor([[1.0, 0, 0], [0, 1, 0]]).repeat(count, 1, 1)
    positions = torch.nn.functional.affine_grid(unit, [count, 3, height, width], False)
    one = torch.ones(count, 1, 1, 1)
    return Disturbance(positions, one, one * 0, torch.zeros_like(like))


def test_equal_pictures_lose_nothing() -> None:
    pictures = random_pictures()
    assert pixel_loss(pictures, pictures, pictures, ink_weight=3.0) == 0
    assert gradient_difference(pictures, pictures, pictures, ink_weight=3.0) == 0
    assert content_loss(MeanFeatures(), pictures, pictures) == 0


def test_ink_counts_more_than_the_rest() -> None:
    photos = torch.ones(1, 3, 8, 8)
    abstractions = photos.clone()
    abstractions[..., 0] = -1  # a line of full ink on white
    assert pixel_loss(photos, abstractions, photos, ink_weight=0.0).item() == pytest.approx(2 / 8)
    assert pixel_loss(photos, abstractions, photos, ink_weight=3.0).item() == pytest.approx(1.0)
    lighter = torch.zeros_like(photos)
    assert pixel_loss(lighter, photos, lighter, ink_weight=3.0).item() == pytest.approx(1.0)


def test_gradients_are_compared_with_their_signs_and_lighter_is_no_difference() -> None:
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


def test_content_loss_weighs_the_stages_and_trains_only_the_generated() -> None:
    generated = torch.zeros(1, 3, 16, 16, requires_grad=True)
    targets = torch.full((1, 3, 16, 16), 0.5, requires_grad=True)
    loss = content_loss(MeanFeatures(), generated, targets)
    assert loss.item() == pytest.approx((0.5 + 1.0) * 0.5)
    loss.backward()
    assert generated.grad is not None
    assert targets.grad is None


def test_a_generator_that_follows_its_photos_is_stable() -> None:
    photos = smooth_pictures()
    disturbance = Disturbance.draw(photos, torch.Generator().manual_seed(1))
    quiet = Disturbance(
        disturbance.positions, disturbance.gain, disturbance.offset, 0 * disturbance.noise
    )
    following = stability_loss(lambda p: p, photos, photos, quiet)
    assert following < 0.01

    pattern = random_pictures(5)
    stuck = stability_loss(lambda p: p + pattern, photos, photos + pattern, quiet)
    assert stuck > 10 * following


def test_a_generator_that_amplifies_noise_is_not_stable() -> None:
    photos = smooth_pictures() / 2
    disturbance = Disturbance.draw(photos, torch.Generator().manual_seed(2))
    plain = stability_loss(lambda p: p, photos, photos, disturbance)
    noisy = stability_loss(lambda p: 4 * p, photos, 4 * photos, disturbance)
    assert noisy > 2 * plain


def test_a_still_disturbance_changes_nothing() -> None:
    pictures = random_pictures()
    torch.testing.assert_close(still(pictures).move(pictures), pictures, atol=1e-5, rtol=0)
    assert stability_loss(lambda p: p, pictures, pictures, still(pictures)) < 1e-5


@pytest.mark.parametrize("shift", [(0, 1), (3, 0), (2, 3)])
def test_what_moves_along_with_its_photo_is_equivariant(shift: tuple[int, int]) -> None:
    photos = random_pictures()
    blur = nn.AvgPool2d(3, stride=1, padding=1)
    assert equivariance_loss(blur, photos, blur(photos), shift) < 1e-12


def test_a_pattern_that_stays_behind_is_not_equivariant() -> None:
    photos = random_pictures()
    stripes = torch.zeros(1, 1, 48, 48)
    stripes[..., ::SQUARE, :] = 0.5

    def draw(pictures: Tensor) -> Tensor:
        return pictures + stripes[..., : pictures.shape[2], : pictures.shape[3]]

    # Moved down by one, two of four rows differ by 0.5; moved across, none does.
    missed = equivariance_loss(draw, photos, draw(photos), (1, 0))
    assert missed.item() == pytest.approx(0.5 * 0.5**2)
    assert equivariance_loss(draw, photos, draw(photos), (0, 3)) < 1e-12


def test_disturbances_are_small_and_follow_their_random_numbers() -> None:
    pictures = random_pictures()
    first, second = (
        Disturbance.draw(pictures, torch.Generator().manual_seed(seed)) for seed in (3, 3)
    )
    torch.testing.assert_close(first.positions, second.positions, atol=0, rtol=0)
    torch.testing.assert_close(first.noise, second.noise, atol=0, rtol=0)
    moved = (first.positions - still(pictures).positions)[:, 24, 24].abs() * 48 / 2
    assert 0 < moved.max() <= LARGEST_SHIFT + 1


def test_disturbances_have_the_squares_of_video_coding() -> None:
    noise = Disturbance.draw(torch.zeros(64, 3, 48, 40), torch.Generator().manual_seed(4)).noise
    squares = F.avg_pool2d(noise, BLOTCH)
    grain = noise - F.interpolate(squares, scale_factor=BLOTCH)
    left_by_grain = grain.std() / BLOTCH
    large = F.avg_pool2d(noise[..., :32], 2 * BLOTCH)
    tints = large - large.mean(dim=1, keepdim=True)
    assert LARGEST_TINTS / 2 < tints.std() < LARGEST_TINTS * 2
    small = (squares[..., :4] - F.interpolate(large, scale_factor=2)).mean(dim=1)  # grey alone
    assert LARGEST_BLOTCHES / 2 < small.std() < LARGEST_BLOTCHES * 2
    assert small.std() > 3 * left_by_grain / 3**0.5


def judged(*levels: float) -> list[Tensor]:
    """A map for each scale of a discriminator."""
    return [
        torch.full((2, 1, 4 * scale, 4 * scale), level) for scale, level in enumerate(levels, 1)
    ]


def log_sigmoid(x: float) -> float:
    return -math.log(1 + math.exp(-x))


def test_cross_entropy_is_the_papers_equation() -> None:
    """L = log D(c) + log(1 - D(e)) + log(1 - D(G(p))), D with its sigmoid, to be maximised."""
    made = discriminator_loss(judged(0.3), judged(2.0), judged(-0.7), "bce")
    wanted = -(log_sigmoid(2.0) + log_sigmoid(0.7) + log_sigmoid(-0.3))
    assert made.item() == pytest.approx(wanted, abs=1e-5)
    assert adversarial_loss(judged(0.3), "bce").item() == pytest.approx(-log_sigmoid(0.3), abs=1e-5)


def test_least_squares_want_1_for_cartoons_and_0_for_the_rest() -> None:
    made = discriminator_loss(judged(0.3), judged(0.8), judged(0.5), "least-squares", 0.5)
    assert made.item() == pytest.approx(0.3**2 + 0.2**2 + 0.5 * 0.5**2, abs=1e-6)
    assert adversarial_loss(judged(0.3), "least-squares").item() == pytest.approx(0.7**2, abs=1e-6)


def test_scales_of_the_discriminator_count_the_same() -> None:
    loss = adversarial_loss(judged(0.0, 1.0), "least-squares")
    assert loss.item() == pytest.approx(0.5)


def test_style_is_what_features_come_together_not_where() -> None:
    generated = smooth_pictures().requires_grad_()
    elsewhere = generated.detach().flip(0).roll(24, dims=3)
    assert style_loss(MeanFeatures(), generated, elsewhere).item() == pytest.approx(0, abs=1e-6)
    loss = style_loss(MeanFeatures(), generated, generated.detach() / 2)
    assert loss > 1e-4
    loss.backward()
    assert generated.grad is not None


def test_total_variation_is_the_difference_of_neighbours() -> None:
    flat = torch.full((1, 3, 8, 8), 0.4)
    assert total_variation(flat) == 0
    ramp = torch.arange(8.0).view(1, 1, 1, 8).expand(1, 3, 8, 8) / 10
    assert total_variation(ramp).item() == pytest.approx(0.1)


def test_colour_is_that_of_areas() -> None:
    photos = torch.zeros(1, 3, 32, 32)
    checked = photos.clone()
    checked[..., ::2] += 0.5
    checked[..., 1::2] -= 0.5  # lines and texture, the same colour from afar
    assert colour_loss(checked, photos).item() == pytest.approx(0, abs=1e-6)
    red = photos.clone()
    red[:, 0] += 0.5
    assert colour_loss(red, photos).item() == pytest.approx(
        0.5 * (0.299 + 0.147 + 0.615) / 3, abs=1e-3
    )
