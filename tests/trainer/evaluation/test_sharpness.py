"""Flat patches and line sharpness have the values that they have by hand."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from trainer.evaluation.sharpness import flat_patch_share, line_sharpness, tone_steps


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


def stepped() -> np.ndarray:
    """Tones in flat steps, with ink between."""
    image = np.zeros((96, 96, 3), np.uint8)
    for step in range(4):
        image[:, 24 * step :] = 60 * step
        image[:, 24 * step : 24 * step + 2] = 0
    return image


def photo_like() -> np.ndarray:
    """Slopes, edges and grain."""
    slope = np.linspace(0, 180, 96)[None, :, None].repeat(96, axis=0).repeat(3, axis=2)
    slope[30:60, 20:50] += 60
    grain = np.random.default_rng(1).normal(0, 6, slope.shape)
    return np.clip(slope + grain, 0, 255).astype(np.uint8)


def test_flat_color_with_hard_steps_has_the_most_tone_steps() -> None:
    assert tone_steps(stepped()) > 0.5
    assert tone_steps(stepped()) > 5 * tone_steps(photo_like())
    assert tone_steps(np.full((64, 64, 3), 90, np.uint8)) == 0


@pytest.mark.parametrize("sigma", [1, 2, 4])
def test_blur_loses_tone_steps(sigma: float) -> None:
    blurred = cv2.GaussianBlur(stepped(), (0, 0), sigma)
    assert tone_steps(blurred) < 0.8 * tone_steps(stepped())
    assert tone_steps(cv2.GaussianBlur(photo_like(), (0, 0), sigma)) <= tone_steps(photo_like())


def test_noise_has_no_tone_steps_however_hard_it_is() -> None:
    assert tone_steps(noise(100)) == 0
