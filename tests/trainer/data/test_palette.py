"""Drawings get the palette of cartoons, smoothly."""

from __future__ import annotations

import pytest
import torch

from trainer.data.palette import PaletteTransfer


@pytest.fixture(scope="module")
def sets() -> tuple[torch.Tensor, torch.Tensor]:
    """Images with dark blue and bright gray, and images with dark violet and bright yellow."""
    random = torch.Generator().manual_seed(2)
    share = torch.rand(4, 1, 40, 40, generator=random)

    def between(dark: tuple[float, ...], bright: tuple[float, ...]) -> torch.Tensor:
        ends = [torch.tensor(color).view(1, 3, 1, 1) for color in (dark, bright)]
        noise = 0.05 * torch.randn(4, 3, 40, 40, generator=random)
        return (torch.lerp(*ends, share) + noise).clamp(-1, 1)

    return between((-0.8, -0.8, -0.2), (0.6, 0.6, 0.6)), between((-0.4, -0.9, -0.2), (0.9, 0.8, 0))


def test_colors_move_to_those_of_the_same_rank(sets: tuple[torch.Tensor, torch.Tensor]) -> None:
    source, target = sets
    moved = PaletteTransfer.between(source, target, 1.0)(source)
    dark, bright = (source.mean(dim=1) < -0.3), (source.mean(dim=1) > 0.3)
    pixels = moved.permute(0, 2, 3, 1)
    wanted = target.permute(0, 2, 3, 1)
    for part in (dark, bright):
        torch.testing.assert_close(
            pixels[part].mean(dim=0), wanted[part].mean(dim=0), atol=0.12, rtol=0
        )


def test_a_share_goes_part_of_the_way(sets: tuple[torch.Tensor, torch.Tensor]) -> None:
    source, target = sets
    none, half, whole = (
        PaletteTransfer.between(source, target, share)(source) for share in (0.0, 0.5, 1.0)
    )
    torch.testing.assert_close(none, source, atol=1e-5, rtol=0)
    assert (half - (none + whole) / 2).abs().mean() < 0.005  # not 0: values are clamped
    assert (half - none).abs().mean() > 0.05


def test_colors_far_from_all_drawings_stay(sets: tuple[torch.Tensor, torch.Tensor]) -> None:
    green = torch.tensor([-1.0, 1.0, -1.0]).view(1, 3, 1, 1)
    moved = PaletteTransfer.between(*sets, 1.0)(green)
    torch.testing.assert_close(moved, green, atol=0.03, rtol=0)
