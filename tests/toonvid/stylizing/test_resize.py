"""An image is stretched or letterboxed to a size, and its colors stay."""

from __future__ import annotations

import numpy as np

from toonvid.bench.demo_scene import draw_scene
from toonvid.stylizing.resize import letterbox, resize


def test_an_image_of_the_right_size_is_not_copied() -> None:
    pixels = draw_scene(64, 48, 0)
    assert resize(pixels, 64, 48) is pixels
    assert letterbox(pixels, 64, 48) is pixels


def test_the_size_changes_and_the_colors_do_not() -> None:
    pixels = np.full((48, 64, 3), (200, 30, 90), np.uint8)
    for width, height in ((32, 24), (128, 96), (63, 47)):
        changed = resize(pixels, width, height)
        assert changed.shape == (height, width, 3)
        assert np.abs(changed.astype(int) - (200, 30, 90)).max() <= 2


def test_a_letterboxed_image_keeps_its_shape_between_black_bars() -> None:
    pixels = np.full((50, 50, 3), 255, np.uint8)
    box = letterbox(pixels, 120, 40)
    assert box.shape == (40, 120, 3)
    assert box[:, 41:79].min() > 250
    assert box[:, :40].max() == box[:, 80:].max() == 0
