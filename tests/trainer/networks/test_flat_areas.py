"""Areas become flat up to their edges, however large they are, and edges stay where they are."""

from __future__ import annotations

import torch
from torch import Tensor

from trainer.networks.flat_areas import (
    DETAIL_CONTRAST,
    choose_squares,
    find_flattening,
    flatten_areas,
    from_differences,
    spread_in_areas,
    to_differences,
)

FLATNESS = 0.05


def edge(low: float, high: float, noise: float) -> torch.Tensor:
    """Two halves of 80 x 96 pixels with noise, (1, 3, 80, 96)."""
    random = torch.Generator().manual_seed(4)
    halves = torch.full((1, 3, 80, 96), low)
    halves[..., 48:] = high
    return (halves + noise * torch.randn(halves.shape, generator=random)).clamp(0, 1)


def test_noise_in_an_area_becomes_flat_and_an_edge_stays() -> None:
    color = edge(0.2, 0.8, noise=0.02)
    flat = flatten_areas(color, 0.06)
    assert flat[..., :8].std() < color[..., :8].std() / 4  # far from the edge
    torch.testing.assert_close(flat[..., :8].mean(), color[..., :8].mean(), atol=0.015, rtol=0)
    across = (flat[..., 49] - flat[..., 46]).mean()
    assert across > 0.8 * 0.6


def test_a_color_of_the_same_luminance_does_not_bleed() -> None:
    color = edge(0.5, 0.5, noise=0.0)
    color[:, 0, :, 48:] += 0.4
    color[:, 1, :, 48:] -= 0.299 * 0.4 / 0.587  # BT.601: luminance stays
    flat = flatten_areas(color, 0.06)
    torch.testing.assert_close(flat[..., 47], color[..., 47], atol=0.08, rtol=0)


def test_detail_of_little_contrast_fades_and_of_much_contrast_stays() -> None:
    board = (torch.arange(96) // 4 % 2).float().expand(1, 3, 96, 96)  # a deviation of a half
    half = DETAIL_CONTRAST * FLATNESS
    for contrast, kept in ((half / 3, (0.0, 0.15)), (half, (0.45, 0.55)), (0.5, (0.95, 1.0))):
        flat = flatten_areas(0.5 + (board - 0.5) * 2 * contrast, FLATNESS)
        share = flat[..., 40:56, 40:56].std() / contrast
        assert kept[0] <= share <= kept[1] + 0.05, (contrast, share)


def test_flat_areas_are_no_brighter_than_white_and_no_darker_than_black() -> None:
    color = torch.rand(2, 3, 32, 48, generator=torch.Generator().manual_seed(5)).round()
    flat = flatten_areas(color, 0.5)
    assert flat.min() >= 0 and flat.max() <= 1
    ones = torch.ones(1, 3, 16, 16)  # the smallest frame
    torch.testing.assert_close(flatten_areas(ones, 0.1), ones)


def test_a_slow_drift_over_a_whole_area_becomes_flat_and_does_not_cross_the_edge() -> None:
    """A window of 48 pixels sees no contrast in either half, and would leave the drift."""
    drift = torch.linspace(-0.05, 0.05, 320).view(1, 1, 1, -1).expand(1, 3, 96, 320)
    color = torch.cat([0.3 + drift, 0.8 + drift], dim=2)  # halves above each other
    flat = flatten_areas(color, FLATNESS)
    for rows, mean in ((slice(0, 80), 0.3), (slice(112, 192), 0.8)):
        area = flat[:, :, rows]
        assert area.max() - area.min() < 0.035, "a third of the drift"
        torch.testing.assert_close(area.mean(), torch.tensor(mean), atol=0.01, rtol=0)
    step = flat[:, :, 97] - flat[:, :, 94]
    assert step.min() > 0.45


def test_a_soft_edge_between_areas_of_low_contrast_becomes_sharp() -> None:
    """A network's color takes 32 pixels from one area to the other."""
    columns = torch.arange(192.0)
    for start in (64, 72, 80):
        color = (0.4 + 0.15 * ((columns - start) / 32).clamp(0, 1)).expand(1, 3, 96, 192)
        row = flatten_areas(color, FLATNESS)[0, 0, 48]
        assert row[start - 12] < 0.42 and row[start + 44] > 0.53
        between = (row > 0.43) & (row < 0.52)
        assert between.sum() <= 13, "two thirds of the 19 pixels of before"


def test_areas_of_different_color_do_not_mix() -> None:
    colors = torch.zeros(1, 3, 8, 20)
    colors[:, 0, :, 10:] = 0.3
    random = torch.Generator().manual_seed(2)
    noisy = colors + 0.02 * torch.randn(colors.shape, generator=random)
    spread = spread_in_areas(noisy, similar=0.05)
    assert (spread - colors).abs().max() < 0.02
    assert (spread - colors).std() < 0.3 * (noisy - colors).std()


def test_a_step_of_chroma_is_more_of_an_edge_than_one_of_luminance() -> None:
    def kept(change: tuple[float, float, float]) -> Tensor:
        colors = torch.full((1, 3, 1, 16), 0.5)
        colors[..., 8:] += torch.tensor(change).view(1, 3, 1, 1)
        spread = from_differences(spread_in_areas(to_differences(colors), similar=0.05))
        step = spread[..., 12] - spread[..., 3]
        return step.norm() / torch.tensor(change).norm()

    assert kept((0.1, -0.05, 0.0)) > 1.5 * kept((0.1, 0.1, 0.1))


def test_color_differences_and_back() -> None:
    color = torch.rand(2, 3, 5, 7, generator=torch.Generator().manual_seed(3))
    differences = to_differences(color)
    red, green, blue = color.unbind(1)
    luminance = 0.299 * red + 0.587 * green + 0.114 * blue
    torch.testing.assert_close(differences[:, 0], luminance)
    torch.testing.assert_close(differences[:, 1], 2 * (red - luminance))
    torch.testing.assert_close(from_differences(differences), color)


def test_a_block_takes_the_value_of_the_square_of_its_color() -> None:
    colors = torch.zeros(1, 3, 3, 4)
    colors[:, 0, :, 2:] = 0.5
    values = torch.rand(1, 4, 3, 4, generator=torch.Generator().manual_seed(6))
    values[:] = values[..., :1, :]  # the same in each column
    blocks = torch.zeros(1, 3, 12, 16)
    blocks[:, 0, :, 6:] = 0.5  # two columns before the squares': a mixed square
    chosen = choose_squares(blocks, colors, values, contrast=0.03)
    right = values[:, :, :1, 2].expand(1, 4, 12)
    torch.testing.assert_close(chosen[..., 6], right, atol=0.03, rtol=0)
    assert (chosen[..., 5] - values[:, :, :1, 1]).abs().max() < 0.3
    ones = choose_squares(blocks, colors, torch.ones_like(values), contrast=0.03)
    torch.testing.assert_close(ones, torch.ones_like(ones))


def test_gain_and_offset_keep_every_color_in_range() -> None:
    color = torch.rand(2, 3, 24, 40, generator=torch.Generator().manual_seed(7)).round()
    for flatness in (0.02, 0.1, 0.5):
        gain, offset = find_flattening(color, flatness)
        assert gain.min() >= 0 and offset.min() >= 0
        assert (gain + offset).max() <= 1 + 1e-6


def test_float16_does_not_overflow() -> None:
    """Blue and yellow are furthest apart."""
    blocks = torch.randint(0, 2, (16, 16), generator=torch.Generator().manual_seed(9))
    yellow = blocks.repeat_interleave(4, dim=0).repeat_interleave(4, dim=1)
    color = torch.stack([yellow, yellow, 1 - yellow])[None].half()
    for flatness in (0.002, FLATNESS):
        flat = flatten_areas(color, flatness)
        assert torch.isfinite(flat).all()
        assert flat.min() >= 0 and flat.max() <= 1


def test_float16_gives_nearly_the_same() -> None:
    color = torch.rand(1, 3, 6, 10, generator=torch.Generator().manual_seed(8))
    color = torch.nn.functional.interpolate(color, scale_factor=16, mode="bicubic").clamp(0, 1)
    exact = flatten_areas(color, FLATNESS)
    half = flatten_areas(color.half(), FLATNESS).float()
    assert (half - exact).abs().max() < 2 / 255
