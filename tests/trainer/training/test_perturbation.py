"""Perturbations imitate the changes between two frames of a video."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from trainer.training.perturbation import (
    BLOCK_SIZE,
    MAX_CHROMA_NOISE,
    MAX_LUMA_NOISE,
    MAX_SHIFT,
    Perturbation,
)


def identity_grid(count: int, side: int) -> torch.Tensor:
    """Sampling grid of images that do not move, (N, H, W, 2)."""
    unit = torch.tensor([[1.0, 0, 0], [0, 1, 0]]).repeat(count, 1, 1)
    return F.affine_grid(unit, [count, 3, side, side], align_corners=False)


def test_perturbations_are_small_and_reproducible() -> None:
    images = torch.zeros(2, 3, 48, 48)
    first, second = (
        Perturbation.sample(images, torch.Generator().manual_seed(seed)) for seed in (3, 3)
    )
    torch.testing.assert_close(first.positions, second.positions, atol=0, rtol=0)
    torch.testing.assert_close(first.noise, second.noise, atol=0, rtol=0)
    moved = (first.positions - identity_grid(2, 48))[:, 24, 24].abs() * 48 / 2  # pixels
    assert 0 < moved.max() <= MAX_SHIFT + 1


def test_perturbations_have_block_noise() -> None:
    noise = Perturbation.sample(torch.zeros(64, 3, 48, 40), torch.Generator().manual_seed(4)).noise
    blocks = F.avg_pool2d(noise, BLOCK_SIZE)
    grain = noise - F.interpolate(blocks, scale_factor=BLOCK_SIZE)
    grain_in_blocks = grain.std() / BLOCK_SIZE
    large = F.avg_pool2d(noise[..., :32], 2 * BLOCK_SIZE)
    tints = large - large.mean(dim=1, keepdim=True)
    assert MAX_CHROMA_NOISE / 2 < tints.std() < MAX_CHROMA_NOISE * 2
    small = (blocks[..., :4] - F.interpolate(large, scale_factor=2)).mean(dim=1)  # luma only
    assert MAX_LUMA_NOISE / 2 < small.std() < MAX_LUMA_NOISE * 2
    assert small.std() > 3 * grain_in_blocks / 3**0.5
