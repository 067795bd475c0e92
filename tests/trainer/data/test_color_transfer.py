"""Color statistics are measured, and images are mapped to others."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from trainer.data.color_transfer import ColorStatistics, ColorTransfer


def crops(seed: int, low: float, high: float) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.rand((6, 3, 24, 24), generator=random) * (high - low) + low


def assert_close(one: ColorStatistics, other: ColorStatistics) -> None:
    torch.testing.assert_close(one.mean, other.mean, atol=1e-4, rtol=0)
    torch.testing.assert_close(one.contrast, other.contrast, atol=1e-4, rtol=0)


def test_a_share_of_one_gives_the_targets_statistics() -> None:
    gray, warm = crops(1, -0.5, 0.3), crops(2, -0.2, 0.2)
    warm[:, 0] += 0.3
    transfer = ColorTransfer.between(
        ColorStatistics.measure(gray), ColorStatistics.measure(warm), 1
    )
    assert_close(ColorStatistics.measure(transfer(gray)), ColorStatistics.measure(warm))


def test_a_share_of_zero_changes_nothing() -> None:
    gray, warm = crops(1, -0.5, 0.3), crops(2, -0.2, 0.6)
    transfer = ColorTransfer.between(
        ColorStatistics.measure(gray), ColorStatistics.measure(warm), 0
    )
    torch.testing.assert_close(transfer(gray), gray, atol=1e-5, rtol=0)


def test_half_a_share_gives_the_geometric_mean_of_contrasts() -> None:
    dull, bold = crops(1, -0.1, 0.1), crops(2, -0.4, 0.4) + 0.1
    half = ColorTransfer.between(ColorStatistics.measure(dull), ColorStatistics.measure(bold), 0.5)(
        dull
    )
    contrasts = [ColorStatistics.measure(one).contrast[0].item() for one in (dull, half, bold)]
    assert contrasts[1] == pytest.approx((contrasts[0] * contrasts[2]) ** 0.5, rel=1e-3)


def test_contrast_is_measured_within_crops() -> None:
    levels = torch.linspace(-1, 1, 6).view(6, 1, 1, 1).expand(6, 3, 24, 24)
    assert ColorStatistics.measure(levels).contrast.max() < 1e-5


def test_colors_stay_in_range_and_equal_statistics_change_nothing() -> None:
    dull, bold = crops(1, -0.1, 0.1), crops(1, -0.9, 0.9)
    moved = ColorTransfer.between(ColorStatistics.measure(dull), ColorStatistics.measure(bold), 1)(
        bold
    )
    assert moved.min() == -1 and moved.max() == 1
    flat = torch.full((1, 3, 8, 8), 0.05)
    gray = ColorTransfer.between(ColorStatistics.measure(dull), ColorStatistics.measure(dull), 1)(
        flat
    )
    torch.testing.assert_close(gray, flat, atol=1e-5, rtol=0)


def test_images_of_one_color_give_finite_values() -> None:
    flat = torch.full((2, 3, 8, 8), 0.25)
    mapped = ColorTransfer.between(
        ColorStatistics.measure(flat), ColorStatistics.measure(crops(1, -1, 1)), 1
    )(flat)
    assert torch.isfinite(mapped).all()
