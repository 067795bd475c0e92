"""Flat patches and line sharpness have the values that they have by hand."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from trainer.evaluation.sharpness import flat_patch_share, line_sharpness


def noise(levels: int) -> np.ndarray:
    """Gray noise of this amplitude."""
    values = np.random.default_rng(1).integers(128 - levels, 128 + levels + 1, (64, 64, 1))
    return values.astype(np.uint8).repeat(3, axis=2)


def test_a_flat_image_has_flat_patches_only_and_noise_has_none() -> None:
    assert flat_patch_share(np.full((64, 64, 3), 200, np.uint8)) == 1
    assert flat_patch_share(noise(40)) == 0


def test_grain_below_three_levels_counts_as_flat() -> None:
    assert flat_patch_share(noise(3)) == 1  # standard deviation 2
    assert flat_patch_share(noise(8)) == 0  # 4.9


def test_patches_that_an_edge_crosses_are_not_flat() -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    image[:, 32:] = 255
    assert flat_patch_share(image) == pytest.approx(1 - 6 / 58)  # of 58 patches in a row


def test_the_sharpness_of_a_ramp_is_its_slope() -> None:
    ramp = np.arange(0, 192, 3, np.uint8)[None, :, None].repeat(64, axis=0).repeat(3, axis=2)
    assert line_sharpness(ramp) == pytest.approx(3)


def test_blur_lowers_the_sharpness() -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    image[:, 32:] = 255
    blurred = cv2.GaussianBlur(image, (0, 0), 1.5)
    assert line_sharpness(blurred) < 0.7 * line_sharpness(image)
    assert line_sharpness(image) == pytest.approx(255 / 2)
