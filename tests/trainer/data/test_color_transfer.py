"""Colours are measured, and moved to others."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from trainer.data.color_transfer import ColorStatistics, ColorTransfer


def crops(seed: int, low: float, high: float) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.rand((6, 3, 24, 24), generator=random) * (high - low) + low


def close(one: ColorStatistics, other: ColorStatistics) -> None:
    torch.testing.assert_close(one.mean, other.mean, atol=1e-4, rtol=0)
    torch.testing.assert_close(one.contrast, other.contrast, atol=1e-4, rtol=0)


def test_all_the_way_gives_the_other_palette() -> None:
    grey, warm = crops(1, -0.5, 0.3), crops(2, -0.2, 0.2)
    warm[:, 0] += 0.3
    regrading = ColorTransfer.between(ColorStatistics.of(grey), ColorStatistics.of(warm), 1)
    close(ColorStatistics.of(regrading(grey)), ColorStatistics.of(warm))


def test_no_way_changes_nothing() -> None:
    grey, warm = crops(1, -0.5, 0.3), crops(2, -0.2, 0.6)
    regrading = ColorTransfer.between(ColorStatistics.of(grey), ColorStatistics.of(warm), 0)
    torch.testing.assert_close(regrading(grey), grey, atol=1e-5, rtol=0)


def test_half_way_lies_between() -> None:
    dull, bold = crops(1, -0.1, 0.1), crops(2, -0.4, 0.4) + 0.1
    half = ColorTransfer.between(ColorStatistics.of(dull), ColorStatistics.of(bold), 0.5)(dull)
    contrasts = [ColorStatistics.of(one).contrast[0].item() for one in (dull, half, bold)]
    assert contrasts[1] == pytest.approx((contrasts[0] * contrasts[2]) ** 0.5, rel=1e-3)


def test_contrast_is_that_within_crops() -> None:
    levels = torch.linspace(-1, 1, 6).view(6, 1, 1, 1).expand(6, 3, 24, 24)
    assert ColorStatistics.of(levels).contrast.max() < 1e-5


def test_colours_stay_in_range_and_grey_stays_grey_without_a_tint() -> None:
    dull, bold = crops(1, -0.1, 0.1), crops(1, -0.9, 0.9)
    moved = ColorTransfer.between(ColorStatistics.of(dull), ColorStatistics.of(bold), 1)(bold)
    assert moved.min() == -1 and moved.max() == 1
    flat = torch.full((1, 3, 8, 8), 0.05)
    grey = ColorTransfer.between(ColorStatistics.of(dull), ColorStatistics.of(dull), 1)(flat)
    torch.testing.assert_close(grey, flat, atol=1e-5, rtol=0)


def test_one_flat_colour_can_be_moved_to() -> None:
    flat = torch.full((2, 3, 8, 8), 0.25)
    made = ColorTransfer.between(ColorStatistics.of(flat), ColorStatistics.of(crops(1, -1, 1)), 1)(
        flat
    )
    assert torch.isfinite(made).all()
