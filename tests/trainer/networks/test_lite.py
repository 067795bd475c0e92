"""The lite networks keep their budgets, have no statistics and leave no checkerboard."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from trainer.networks.build import count_multiply_adds
from trainer.networks.lite import (
    BilinearUpsampling,
    LiteDiscriminator,
    LiteGenerator,
    SpectralConv2d,
    fold_upsampling,
    update_spectral_norms,
)
from trainer.networks.paper import Discriminator


@pytest.fixture(scope="module")
def generator() -> LiteGenerator:
    torch.manual_seed(0)
    return LiteGenerator().eval()


def test_the_generator_takes_less_than_5_thousand_multiply_adds_per_pixel(
    generator: LiteGenerator,
) -> None:
    assert 3_000 < count_multiply_adds(fold_upsampling(generator)) < 5_000


def test_gain_and_offset_are_upsampled_bilinearly() -> None:
    torch.manual_seed(4)
    layer, x = BilinearUpsampling(8), torch.randn(2, 8, 10, 14)
    expected = F.interpolate(layer.color(x), scale_factor=2, mode="bilinear").permute(0, 2, 3, 1)
    inner = (..., slice(2, -2), slice(2, -2), slice(None))  # padding affects the border
    torch.testing.assert_close(layer(x)[inner], expected[inner])


def test_folding_does_not_change_the_output(generator: LiteGenerator) -> None:
    folded = fold_upsampling(generator)
    assert not any(isinstance(layer, BilinearUpsampling) for layer in folded.modules())
    photos = torch.rand(1, 3, 32, 48) * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(folded(photos), generator(photos))


def test_a_change_of_the_input_changes_the_output_at_the_same_place(
    generator: LiteGenerator,
) -> None:
    photo = torch.zeros(1, 3, 64, 64)
    photo[..., 0, 30:32, 40:44] = 1.0
    with torch.no_grad():
        changed = (generator(photo) - generator(torch.zeros_like(photo))).abs().sum(dim=(0, 1))
    rows, columns = (changed.sum(dim=1 - side).argmax().item() for side in (0, 1))
    assert 26 <= rows < 36
    assert 36 <= columns < 48


def test_an_untrained_generator_has_no_checkerboard(generator: LiteGenerator) -> None:
    with torch.no_grad():
        cartoon = generator(torch.full((1, 3, 160, 160), 0.3))
    inside = cartoon[..., 64:96, 64:96]
    assert (inside - inside[..., :1, :1]).abs().max() < 1e-5
    assert (inside - 0.3).abs().max() > 1e-3  # it does something


@pytest.mark.parametrize("size", [(4, 4), (8, 60), (100, 36)])
def test_output_has_the_size_of_the_input(generator: LiteGenerator, size: tuple[int, int]) -> None:
    with torch.no_grad():
        assert generator(torch.zeros(2, 3, *size)).shape == (2, 3, *size)


def test_a_tile_gives_the_same_as_the_whole_image(generator: LiteGenerator) -> None:
    photo = torch.rand(1, 3, 192, 192) * 2 - 1
    with torch.no_grad():
        whole = generator(photo)[..., 16:176, 16:176]
        tile = generator(photo[..., 16:176, 16:176])
    inside = (..., slice(64, 96), slice(64, 96))
    torch.testing.assert_close(tile[inside], whole[inside], atol=1e-5, rtol=0)


def test_the_discriminator_has_two_scales() -> None:
    fine, coarse = LiteDiscriminator(width=4)(torch.zeros(2, 3, 64, 96))
    assert fine.shape == (2, 1, 16, 24)
    assert coarse.shape == (2, 1, 8, 12)


def test_the_discriminator_takes_a_ninth_of_the_papers_multiply_adds() -> None:
    assert count_multiply_adds(LiteDiscriminator()) < count_multiply_adds(Discriminator()) / 9


def test_the_full_resolution_scale_can_have_luminance_only() -> None:
    torch.manual_seed(0)
    discriminator = LiteDiscriminator(width=4, fine_input="gray")
    gray = torch.zeros(1, 3, 32, 32)
    tinted = gray.clone()
    tinted[:, 0] += 0.114 / 0.299
    tinted[:, 2] -= 1.0
    fine, coarse = zip(discriminator(gray), discriminator(tinted), strict=True)
    torch.testing.assert_close(fine[0], fine[1], atol=1e-5, rtol=0)
    assert (coarse[0] - coarse[1]).abs().max() > 1e-4


def test_weights_are_divided_by_their_largest_singular_value() -> None:
    torch.manual_seed(1)
    layer = SpectralConv2d(8, 16, 3)
    for _ in range(200):
        update_spectral_norms(layer)
    image = torch.rand(1, 8, 12, 12)
    plain = torch.nn.functional.conv2d(image, layer.weight, padding=1)
    largest = torch.linalg.matrix_norm(layer.weight.flatten(1), 2)
    output = layer(image) - layer.bias.view(1, -1, 1, 1)
    torch.testing.assert_close(output, plain / largest, atol=1e-4, rtol=1e-3)


def test_a_forward_pass_changes_no_state() -> None:
    discriminator = LiteDiscriminator(width=4)
    before = {name: value.clone() for name, value in discriminator.state_dict().items()}
    discriminator(torch.rand(1, 3, 32, 32))
    for name, value in discriminator.state_dict().items():
        assert torch.equal(value, before[name]), name
    update_spectral_norms(discriminator)
    changed = [n for n, v in discriminator.state_dict().items() if not torch.equal(v, before[n])]
    assert changed and all(name.endswith(("left", "right")) for name in changed)


def test_gradients_flow_through_the_spectral_norm() -> None:
    layer = SpectralConv2d(3, 4, 3)
    layer(torch.rand(1, 3, 8, 8)).square().sum().backward()
    assert layer.weight.grad is not None
    # Scaling the weights does not change the output, so the gradient is orthogonal to them.
    along = torch.cosine_similarity(layer.weight.grad.flatten(), layer.weight.flatten(), dim=0)
    assert along.item() == pytest.approx(0, abs=1e-3)
