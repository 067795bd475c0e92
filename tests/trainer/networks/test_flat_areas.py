"""Areas become flat up to their edges, however large they are, and edges stay where they are."""

from __future__ import annotations

import torch
from torch import Tensor

from trainer.networks.flat_areas import find_flattening, flatten_areas, spread_in_areas

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


def test_less_contrast_than_the_flatness_is_less_than_halved_and_more_more() -> None:
    board = (torch.arange(96) // 4 % 2).float().expand(1, 3, 96, 96)  # a deviation of a half
    for contrast, kept in ((0.03, (0.0, 0.4)), (0.06, (0.45, 0.55)), (0.3, (0.95, 1.0))):
        flat = flatten_areas(0.5 + (board - 0.5) * 2 * contrast, 0.06)
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


def test_what_is_behind_an_edge_does_not_count_even_if_it_has_the_same_color() -> None:
    """It is a distance along the picture, not between two colors: the bar is in the way."""
    colors = torch.full((1, 3, 4, 21), 0.5)
    colors[..., 10] = 0.1
    colors[..., 11:] = 0.54
    spread = spread_in_areas(colors, contrast=0.2)
    assert (spread[..., :10] - 0.5).abs().max() < 0.01
    colors[..., 10] = 0.52
    without_bar = spread_in_areas(colors, contrast=0.2)
    assert (without_bar[..., :10] - 0.5).abs().max() > 0.01


def test_a_step_of_chroma_is_more_of_an_edge_than_one_of_luminance() -> None:
    def leak(change: tuple[float, float, float]) -> Tensor:
        colors = torch.full((1, 3, 1, 16), 0.5)
        colors[..., 8:] += torch.tensor(change).view(1, 3, 1, 1)
        return (spread_in_areas(colors, contrast=0.3)[..., 0] - 0.5).norm() / colors.std()

    assert leak((0.1, -0.05, 0.0)) < leak((0.1, 0.1, 0.1))


def test_gain_and_offset_keep_every_color_in_range() -> None:
    color = torch.rand(2, 3, 24, 40, generator=torch.Generator().manual_seed(7)).round()
    for flatness in (0.02, 0.1, 0.5):
        gain, offset = find_flattening(color, flatness)
        assert gain.min() >= 0 and offset.min() >= 0
        assert (gain + offset).max() <= 1 + 1e-6


def test_float16_gives_nearly_the_same() -> None:
    color = torch.rand(1, 3, 6, 10, generator=torch.Generator().manual_seed(8))
    color = torch.nn.functional.interpolate(color, scale_factor=16, mode="bicubic").clamp(0, 1)
    exact = flatten_areas(color, FLATNESS)
    half = flatten_areas(color.half(), FLATNESS).float()
    assert (half - exact).abs().max() < 2 / 255
