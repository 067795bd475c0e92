"""Crops of cartoons come at several scales, each with its smoothed copy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.drawn_images import draw_discs, write_image

from toonvid.errors import TrainingError
from trainer.data.cartoons import CartoonCrops
from trainer.data.edge_smoothing import smooth_edges


def test_the_second_image_is_the_same_crop_smoothed(cartoons: Path) -> None:
    crops = CartoonCrops(cartoons, (0.8, 1.0), crop=32, seed=1)
    for index in range(6):
        cartoon, smoothed = crops.crop(index)
        assert cartoon.shape == (32, 32, 3)
        np.testing.assert_array_equal(smoothed, smooth_edges(cartoon))


def test_scales_are_drawn_and_a_crop_always_fits(tmp_path: Path) -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::8] = 255
    write_image(tmp_path / "stripes.png", stripes)
    crops = CartoonCrops(tmp_path, (0.1, 1.0), crop=32, seed=1)
    # At half the size, the smallest that holds a crop, a stripe of one pixel is half as bright.
    assert {int(crops.crop(index)[0].max()) for index in range(20)} == {255, 128}


def test_cartoons_that_are_too_small_are_skipped_and_named(tmp_path: Path) -> None:
    write_image(tmp_path / "small.png", draw_discs(20, 50, 2))
    with pytest.raises(TrainingError, match=r"none of the cartoons in .* small\.png: 50 x 20"):
        CartoonCrops(tmp_path, (1.0,), crop=32, seed=1).crop(0)


def test_a_folder_without_cartoons_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no cartoons in"):
        CartoonCrops(tmp_path, (1.0,), crop=32, seed=1)
