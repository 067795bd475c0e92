"""Weighted means by FFmpeg's filter: exact for every pair of bytes and every weight."""

from __future__ import annotations

import numpy as np

from toonvid.ffmpeg.masked_merge import MaskedMerge


def exact(base: np.ndarray, other: np.ndarray, weights: np.ndarray) -> np.ndarray:
    base, other, weights = (each.astype(int) for each in (base, other, weights))
    return (base * (255 - weights) + other * weights + 127) // 255


def test_every_mean_is_exact():
    base, other = (each.astype(np.uint8) for each in np.indices((256, 256)))
    merge = MaskedMerge(256, 256)
    for weight in range(256):
        weights = np.full_like(base, weight)
        assert (merge(base, other, weights) == exact(base, other, weights)).all()


def test_widths_that_fill_no_vector_and_rows_that_are_apart():
    rng = np.random.default_rng(1)
    base, other, weights = rng.integers(0, 256, (3, 9, 200), np.uint8)
    for width in (1, 3, 31, 33, 61):
        merged = MaskedMerge(9, width)(base[:, 5 : 5 + width], other[:, :width], weights[:, :width])
        assert merged.shape == (9, width)
        assert (merged == exact(base[:, 5 : 5 + width], other[:, :width], weights[:, :width])).all()


def test_one_row_of_weights_serves_all_rows():
    rng = np.random.default_rng(2)
    base, other = rng.integers(0, 256, (2, 7, 40), np.uint8)
    row = rng.integers(0, 256, 40, np.uint8)
    merged = MaskedMerge(7, 40)(base, other, np.broadcast_to(row, (7, 40)))
    assert (merged == exact(base, other, row)).all()


def test_results_stay_after_the_next_one():
    base, other = np.zeros((4, 8), np.uint8), np.full((4, 8), 200, np.uint8)
    merge = MaskedMerge(4, 8)
    first = merge(base, other, other)
    merge(other, other, other)
    assert (first == exact(base, other, other)).all()
