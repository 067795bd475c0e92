"""Reduced frames: means of 2 x 2 and of 4 x 4 pixels, at every size."""

from __future__ import annotations

import numpy as np
import pytest

from toonvid.stylizing import reduced
from toonvid.stylizing.reduced import reduce_frame


def means(values: np.ndarray, side: int) -> np.ndarray:
    height, width = (each // side for each in values.shape[:2])
    squares = values.astype(float).reshape(height, side, width, side, -1)
    return squares.mean(axis=(1, 3))


@pytest.mark.parametrize("size", [(1, 1), (2, 5), (4, 4), (47, 61), (48, 64), (50, 70)])
def test_every_size_gives_means(size):
    frame = np.random.default_rng(1).integers(0, 256, (*size, 3), np.uint8)
    found = reduce_frame(frame)
    height, width = size
    padded = np.pad(frame, ((0, -height % 4), (0, -width % 4), (0, 0)), mode="edge")
    assert found.luma.shape == (-(-height // 2), -(-width // 2))
    assert found.quarter.shape == (-(-height // 4), -(-width // 4), 4)
    half = means(padded, 2)[: found.luma.shape[0], : found.luma.shape[1], 1]
    assert np.abs(found.luma - half).max() <= 0.5  # up in one direction, down in the other
    assert np.abs(found.quarter[..., :3] - means(padded, 4)).max() <= 1.5


def test_means_are_not_darker_than_the_frame():
    frame = np.random.default_rng(2).integers(0, 256, (64, 96, 3), np.uint8)
    assert abs(reduce_frame(frame).luma.mean() - frame[..., 1].mean()) < 0.1


def test_bands_and_memory_that_is_not_contiguous_change_nothing(monkeypatch):
    frame = np.random.default_rng(3).integers(0, 256, (50, 70, 3), np.uint8)
    at_once = reduce_frame(frame)
    monkeypatch.setattr(reduced, "_BAND_BYTES", 1)
    by_bands = reduce_frame(np.asfortranarray(frame))
    assert at_once.luma.tobytes() == by_bands.luma.tobytes()
    assert at_once.quarter[..., :3].tobytes() == by_bands.quarter[..., :3].tobytes()
