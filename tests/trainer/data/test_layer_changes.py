"""Wider lines, rounder shapes, and crops with faces."""

from __future__ import annotations

import numpy as np
import pytest

from trainer.data.layer_changes import change_layers, count_features

SKIN = (214, 160, 130)


def picture(color: tuple[int, int, int] = (90, 120, 200)) -> np.ndarray:
    return np.full((40, 40, 3), color, np.uint8)


@pytest.mark.parametrize("growth, width", [(0, 1), (1, 3), (2.2, 5)])
def test_lines_grow_on_both_sides(growth: float, width: int) -> None:
    ink = picture((0, 0, 0))
    ink[:, 20] = 255
    photo, _, grown = change_layers([picture(), picture(), ink], growth, 0)
    assert (grown[10] == 255).all(axis=-1).sum() == width
    assert (photo == picture()).all()


def test_rounding_drops_details_and_keeps_edges() -> None:
    color = picture()
    color[:, 20:] = 255
    color[5, 5] = 0
    _, rounded, _ = change_layers([picture(), color, picture()], 0, 2)
    assert (rounded[5, 5] == (90, 120, 200)).all()
    assert (rounded[20, 19] == (90, 120, 200)).all() and (rounded[20, 20] == 255).all()


def test_features_are_ink_inside_of_skin() -> None:
    line = np.zeros((40, 40, 3), np.uint8)
    line[18:22, 10:30] = 255
    face, wall = picture(SKIN), picture()
    assert count_features([face, face, line]) > 0.02
    assert count_features([wall, wall, line]) == 0
    assert count_features([face, face, np.zeros_like(line)]) == 0
