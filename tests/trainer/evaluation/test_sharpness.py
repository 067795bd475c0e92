"""Flat patches and sharp lines are what they are called."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from trainer.evaluation.sharpness import flat_patch_share, line_sharpness


def noise(levels: int) -> np.ndarray:
    """Grey noise of this amplitude."""
    values = np.random.default_rng(1).integers(128 - levels, 128 + levels + 1, (64, 64, 1))
    return values.astype(np.uint8).repeat(3, axis=2)


def test_a_flat_picture_is_all_flat_patches_and_noise_has_none() -> None:
    assert flat_patch_share(np.full((64, 64, 3), 200, np.uint8)) == 1
    assert flat_patch_share(noise(40)) == 0


def test_grain_under_three_levels_is_flat_still() -> None:
    assert flat_patch_share(noise(3)) == 1  # standard deviation 2
    assert flat_patch_share(noise(8)) == 0  # 4.9


def test_an_edge_costs_the_patches_that_it_crosses() -> None:
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[:, 32:] = 255
    assert flat_patch_share(picture) == pytest.approx(1 - 6 / 58)  # of 58 patches in a row


def test_sharpness_of_a_ramp_is_its_slope() -> None:
    ramp = np.arange(0, 192, 3, np.uint8)[None, :, None].repeat(64, axis=0).repeat(3, axis=2)
    assert line_sharpness(ramp) == pytest.approx(3)


def test_blur_takes_sharpness_away_but_not_flatness() -> None:
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[:, 32:] = 255
    blurred = cv2.GaussianBlur(picture, (0, 0), 1.5)
    assert line_sharpness(blurred) < 0.7 * line_sharpness(picture)
    assert line_sharpness(picture) == pytest.approx(255 / 2)
