"""The lite generator keeps its budget, and has no statistics and no checkerboard."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from trainer.networks.build import count_multiply_adds, count_parameters
from trainer.networks.lite import LiteGenerator, BilinearUpsampling, fold_upsampling


@pytest.fixture(scope="module")
def generator() -> LiteGenerator:
    torch.manual_seed(0)
    return LiteGenerator().eval()


def test_lite_generator_takes_under_5_thousand_multiply_adds_a_pixel(
    generator: LiteGenerator,
) -> None:
    assert 3_000 < count_multiply_adds(fold_upsampling(generator)) < 5_000


def test_gain_and_offset_are_enlarged_bilinearly() -> None:
    torch.manual_seed(4)
    layer, x = BilinearUpsampling(8), torch.randn(2, 8, 10, 14)
    wanted = F.interpolate(layer.colour(x), scale_factor=2, mode="bilinear").permute(0, 2, 3, 1)
    inner = (..., slice(2, -2), slice(2, -2), slice(None))  # beyond the border lie zeros
    torch.testing.assert_close(layer(x)[inner], wanted[inner])


def test_folding_changes_no_picture(generator: LiteGenerator) -> None:
    folded = fold_upsampling(generator)
    assert not any(isinstance(layer, BilinearUpsampling) for layer in folded.modules())
    photos = torch.rand(1, 3, 32, 48) * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(folded(photos), generator(photos))


def test_it_keeps_its_pixels_in_place(generator: LiteGenerator) -> None:
    """What is added comes out beside what it was made of: rows, columns and colours."""
    photo = torch.zeros(1, 3, 64, 64)
    photo[..., 0, 30:32, 40:44] = 1.0
    with torch.no_grad():
        changed = (generator(photo) - generator(torch.zeros_like(photo))).abs().sum(dim=(0, 1))
    rows, columns = (changed.sum(dim=1 - side).argmax().item() for side in (0, 1))
    assert 26 <= rows < 36
    assert 36 <= columns < 48


def test_multiply_adds_are_counted_as_by_hand() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),  # 3 * 8 * 9 a pixel
        nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=2),  # 4 * 8 * 9 for every fourth pixel
    )
    assert count_multiply_adds(network) == 3 * 8 * 9 + 4 * 8 * 9 / 4
    assert count_parameters(network) == 3 * 8 * 9 + 8 + 4 * 8 * 9 + 8


def test_a_new_generator_has_no_checkerboard(generator: LiteGenerator) -> None:
    with torch.no_grad():
        cartoon = generator(torch.full((1, 3, 160, 160), 0.3))
    inside = cartoon[..., 64:96, 64:96]
    assert (inside - inside[..., :1, :1]).abs().max() < 1e-5
    assert (inside - 0.3).abs().max() > 1e-3  # it does something


@pytest.mark.parametrize("size", [(4, 4), (8, 60), (100, 36)])
def test_any_multiple_of_four_keeps_its_size(
    generator: LiteGenerator, size: tuple[int, int]
) -> None:
    with torch.no_grad():
        assert generator(torch.zeros(2, 3, *size)).shape == (2, 3, *size)


def test_a_tile_gives_what_the_whole_gives(generator: LiteGenerator) -> None:
    photo = torch.rand(1, 3, 192, 192) * 2 - 1
    with torch.no_grad():
        whole = generator(photo)[..., 16:176, 16:176]
        tile = generator(photo[..., 16:176, 16:176])
    inside = (..., slice(64, 96), slice(64, 96))
    torch.testing.assert_close(tile[inside], whole[inside], atol=1e-5, rtol=0)
