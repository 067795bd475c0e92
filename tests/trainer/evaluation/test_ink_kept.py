"""Kept ink: high for a picture with the drawing's lines, and nothing else wins."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from support.drawn_images import draw_discs

from toonvid.video import Pixels
from trainer.data.drawing import draw
from trainer.evaluation.ink_kept import InkCounts, find_lines
from trainer.networks.cel import CelGenerator

SIDE = 288
Ink = np.ndarray


def drawn_ink(left: int = 100) -> Ink:
    """A vertical and a slanted line of full ink, 3 pixels wide."""
    ink = np.zeros((SIDE, SIDE), np.uint8)
    ink[40:250, left : left + 3] = 255
    cv2.line(ink, (left + 40, 40), (left + 120, 240), 255, 3)
    return ink


def inked(ink: Ink, paper: int = 200) -> Pixels:
    """Black ink on flat gray."""
    gray = np.where(ink > 0, 10, paper).astype(np.uint8)
    return np.repeat(gray[..., None], 3, axis=2)


def counted(cartoon: Pixels, ink: Ink) -> InkCounts:
    counts = InkCounts()
    counts.add(cartoon, ink)
    return counts


def test_the_same_lines_are_kept_and_none_is_foreign() -> None:
    counts = counted(inked(drawn_ink()), drawn_ink())
    assert counts.kept_share == pytest.approx(1, abs=0.02)
    assert counts.foreign_share == 0


def test_a_pixel_aside_is_kept_and_ten_are_not() -> None:
    assert counted(inked(drawn_ink(101)), drawn_ink()).kept_share == pytest.approx(1, abs=0.03)
    far = counted(inked(drawn_ink(110)), drawn_ink())
    assert far.kept_share is not None and far.kept_share < 0.1
    assert far.foreign_share is not None and far.foreign_share > 0.9


def test_more_lines_than_the_drawing_has_are_foreign() -> None:
    counts = counted(inked(np.maximum(drawn_ink(), drawn_ink(20))), drawn_ink())
    assert counts.kept_share == pytest.approx(1, abs=0.02)
    assert counts.foreign_share == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("gray", [0, 30, 255])
def test_a_picture_of_one_color_has_no_line(gray: int) -> None:
    counts = counted(np.full((SIDE, SIDE, 3), gray, np.uint8), drawn_ink())
    assert counts.kept_share == 0
    assert counts.foreign_share is None


def test_pale_lines_and_dark_areas_are_not_lines() -> None:
    for line, paper in ((120, 200), (80, 250), (50, 70)):
        gray = np.where(drawn_ink() > 0, line, paper).astype(np.uint8)
        assert not find_lines(gray[..., None].repeat(3, axis=2)).any()
    area = np.full((SIDE, SIDE, 3), 200, np.uint8)
    cv2.circle(area, (144, 144), 50, (10, 10, 10), thickness=-1)
    assert find_lines(area).mean() < 1e-3  # some pixels of the rim


def test_lines_may_be_wider_in_a_larger_picture() -> None:
    def large(ink: Ink) -> Ink:
        return cv2.resize(ink, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)

    counts = counted(inked(large(drawn_ink())), large(drawn_ink()))
    assert counts.kept_share == pytest.approx(1, abs=0.02)


def test_a_composed_drawing_keeps_its_ink_and_its_photo_and_blur_do_not() -> None:
    photo = draw_discs(SIDE, SIDE, seed=3)
    drawing = draw(photo)
    layers = (torch.from_numpy(drawing.color).permute(2, 0, 1), torch.from_numpy(drawing.ink)[None])
    color, ink = (layer[None].float() / 255 for layer in layers)
    composed = CelGenerator().compose_drawing(color * 2 - 1, ink)[0].permute(1, 2, 0)
    cartoon = ((composed.numpy() + 1) * 127.5).round().astype(np.uint8)

    def kept(picture: Pixels) -> float:
        share = counted(picture, drawing.ink).kept_share
        assert share is not None
        return share

    assert kept(cartoon) > 0.9
    assert kept(photo) < 0.5
    assert kept(cv2.GaussianBlur(cartoon, (0, 0), 4)) < 0.5


def test_without_ink_in_the_drawing_there_is_no_share() -> None:
    counts = counted(inked(drawn_ink()), np.zeros((SIDE, SIDE), np.uint8))
    assert counts.kept_share is None
    assert counts.foreign_share == 1
