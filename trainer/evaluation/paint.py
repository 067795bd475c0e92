"""How colorful painted line art is, against the art that it was drawn from.

Engines that color line art, and art that none of them was trained on, go in; `PaintFigures` come
out. A generator that is unsure of a color paints the mean of all, which is gray: chroma shows that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from toonvid.errors import TrainingError
from toonvid.video import Pixels
from trainer.data.images import UnusableImageError, find_images, read_image, resize_to
from trainer.data.line_art import draw_line_art
from trainer.data.planes import to_lab
from trainer.evaluation.crops import Region
from trainer.evaluation.programs import EngineProgram

PAINTED_HEIGHT = 256  # pixels
"""Short side that art is resized to, that of the preset `paint`."""


@dataclass(frozen=True)
class PaintFigures:
    """Figures of an engine on line art."""

    engine: str
    """Name of the style."""
    pictures: int
    """Number of pictures."""
    chroma: float
    """Mean chroma of the results in CIE Lab: the distance from gray, 0 to about 130."""
    art_chroma: float
    """Mean chroma of the art."""

    @property
    def share(self) -> float:
        """Chroma of the results over that of the art."""
        return self.chroma / self.art_chroma


def measure_paint(
    programs: list[EngineProgram],
    folder: Path,
    largest_number: int,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[PaintFigures]:
    """Draw line art of pictures, color it with each engine, and compare the chroma.

    Args:
        programs: Engines that color line art.
        folder: Folder of art that they were not trained on, searched recursively.
        largest_number: Largest number of pictures; they are spread over the folder.
        on_progress: Called after each picture with the numbers of those done and of all.

    Raises:
        TrainingError: There is no art that can be read, or it is all gray.
        BackendError: An engine fails.
    """
    paths = find_images(folder, "art")
    paths = paths[:: -(-len(paths) // largest_number)]
    of_art: list[float] = []
    of_results: list[list[float]] = [[] for _ in programs]
    for number, path in enumerate(paths, 1):
        try:
            art = resize_to(read_image(path), PAINTED_HEIGHT)
        except UnusableImageError:
            continue
        of_art.append(mean_chroma(art))
        height, width = art.shape[:2]
        lines = Region(number, path, (height, width), (0, 0), draw_line_art(art), offsets=())
        for program, chromas in zip(programs, of_results, strict=True):
            chromas.append(mean_chroma(program.cartoon(lines)))
        on_progress(number, len(paths))
    if not of_art or not any(of_art):
        raise TrainingError(f"{folder} has no colored art that can be read")
    return [
        PaintFigures(program.name, len(of_art), float(np.mean(chromas)), float(np.mean(of_art)))
        for program, chromas in zip(programs, of_results, strict=True)
    ]


def mean_chroma(image: Pixels) -> float:
    """Mean chroma in CIE Lab of an image, (H, W, 3) uint8 RGB; 0 for grays."""
    lab = to_lab(image.astype(np.float32) / 255)
    return float(np.hypot(lab[..., 1], lab[..., 2]).mean())
