"""Painted line art is measured by its chroma against that of the art."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.drawn_images import write_image

from toonvid.errors import TrainingError
from trainer.evaluation.crops import Region
from trainer.evaluation.paint import color_variety, mean_chroma, measure_paint


class FakeProgram:
    """Paints every line art in one color, and remembers what it was given."""

    def __init__(self, name: str, color: tuple[int, int, int]) -> None:
        self.name, self.color = name, color
        self.seen: list[np.ndarray] = []

    def cartoon(self, region: Region) -> np.ndarray:
        self.seen.append(region.pixels)
        return np.full_like(region.pixels, self.color)


def test_grays_have_no_chroma_and_red_has_that_of_lab() -> None:
    assert mean_chroma(np.full((4, 4, 3), 90, np.uint8)) < 0.1
    assert mean_chroma(np.full((4, 4, 3), (255, 0, 0), np.uint8)) == pytest.approx(104.6, abs=0.3)


def test_one_color_has_no_variety_and_two_have_half_their_distance() -> None:
    image = np.full((4, 4, 3), (200, 30, 30), np.uint8)
    assert color_variety(image) < 0.1
    image[:2] = 128  # gray: half of the picture is as far from the mean as the other half
    assert color_variety(image) == pytest.approx(mean_chroma(image), rel=0.01)


def test_the_share_is_that_of_the_mean_chromas(tmp_path: Path) -> None:
    for number in range(3):
        art = np.full((60, 80, 3), (255, 0, 0), np.uint8)
        art[20:40, 20:40] = (255 - number, 0, 0)
        write_image(tmp_path / f"{number}.png", art)
    same, gray = FakeProgram("same", (255, 0, 0)), FakeProgram("gray", (128, 128, 128))
    figures = measure_paint([same, gray], tmp_path, largest_number=10)
    assert [f.engine for f in figures] == ["same", "gray"]
    assert figures[0].pictures == 3
    assert figures[0].share == pytest.approx(1, abs=0.01)
    assert figures[1].share < 0.01
    assert figures[0].variety_share < 0.01  # one color for everything is not a painting
    assert all(np.ptp(seen, axis=2).max() == 0 for seen in same.seen)  # line art, without color
    assert measure_paint([same], tmp_path, largest_number=2)[0].pictures == 2


def test_gray_art_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no image")
    with pytest.raises(TrainingError, match="no colored art that can be read"):
        measure_paint([FakeProgram("same", (1, 2, 3))], tmp_path, largest_number=2)
