"""Line art is drawn along the edges of art, at several thicknesses, with gaps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.drawn_images import write_image

from toonvid.errors import TrainingError
from toonvid.video import Pixels
from trainer.data.line_art import LineArtCrops, break_lines, draw_line_art


def make_art() -> Pixels:
    """A blue square on yellow."""
    art = np.full((96, 96, 3), (240, 220, 60), np.uint8)
    art[24:72, 24:72] = (30, 60, 160)
    return art


def test_lines_follow_edges_and_leave_areas_white() -> None:
    lines = draw_line_art(make_art())
    assert lines.shape == (96, 96, 3) and lines.dtype == np.uint8
    assert np.ptp(lines, axis=2).max() == 0  # gray
    assert lines[40:56, 20:28].min() < 60  # across the left edge
    assert lines[:14].min() > 250 and lines[40:56, 40:56].min() > 250


def test_thicker_lines_have_more_ink() -> None:
    thin, thick = ((255 - draw_line_art(make_art(), t)).mean() for t in (0.7, 1.5))
    assert thick > 1.3 * thin > 0


def test_gaps_only_remove_ink() -> None:
    lines = draw_line_art(make_art())
    broken = break_lines(lines, np.random.default_rng(3))
    assert (broken >= lines).all()
    left = (255.0 - broken).sum() / (255.0 - lines).sum()
    assert 0.5 < left < 1


def test_crops_are_pairs_that_their_number_decides(cartoons: Path) -> None:
    crops = LineArtCrops(cartoons, (48,), 32, seed=1)
    found = [crops.crop(index) for index in range(12)]
    again = LineArtCrops(cartoons, (48,), 32, seed=1)
    for index, (lines, art) in reversed(list(enumerate(found))):
        assert lines.shape == art.shape == (32, 32, 3)
        same = again.crop(index)
        assert np.array_equal(lines, same[0]) and np.array_equal(art, same[1])
    assert any(not np.array_equal(found[0][0], lines) for lines, _ in found[1:])


def test_lines_and_art_of_a_crop_are_the_same_place(tmp_path: Path) -> None:
    write_image(tmp_path / "art.png", make_art())
    for index in range(6):
        lines, art = LineArtCrops(tmp_path, (96,), 64, seed=2).crop(index)
        slope = np.abs(np.diff(art.astype(int), axis=1)).sum(axis=2) > 60
        ink = 255 - lines[:, 1:, 0].astype(int)
        near = np.maximum.reduce([np.roll(ink, shift, axis=1) for shift in range(-3, 4)])
        assert near[slope].mean() > 3 * ink.mean()


def test_a_folder_without_art_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no cartoons in"):
        LineArtCrops(tmp_path, (48,), 32, seed=1)


def test_a_crop_larger_than_the_smallest_image_is_refused(cartoons: Path) -> None:
    with pytest.raises(TrainingError, match="a crop of 64 does not fit"):
        LineArtCrops(cartoons, (48, 96), 64, seed=1)
