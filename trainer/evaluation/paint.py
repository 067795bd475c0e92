"""How colorful painted line art is, against the art that it was drawn from.

Engines that color line art, and art that none of them was trained on, go in; `PaintFigures` come
out. A generator that is unsure of a color paints the mean of all, which is gray: chroma shows that.
Where the mean is not gray, such as a brown for everything, the variety of colors shows it.
"""

from __future__ import annotations

import logging
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

log = logging.getLogger(__name__)

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
    variety: float
    """Mean variety of the results: how far colors of one picture lie apart in CIE Lab."""
    art_variety: float
    """Mean variety of the art."""

    @property
    def share(self) -> float:
        """Chroma of the results over that of the art."""
        return self.chroma / self.art_chroma

    @property
    def variety_share(self) -> float:
        """Variety of the results over that of the art; 0 where the art has none."""
        return self.variety / self.art_variety if self.art_variety else 0.0


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
    of_art: list[tuple[float, float]] = []
    of_results: list[list[tuple[float, float]]] = [[] for _ in programs]
    for number, path in enumerate(paths, 1):
        try:
            art = resize_to(read_image(path), PAINTED_HEIGHT)
        except UnusableImageError as error:
            log.warning("skipped %s: %s", path, error)
            continue
        of_art.append((mean_chroma(art), color_variety(art)))
        height, width = art.shape[:2]
        lines = Region(number, path, (height, width), (0, 0), draw_line_art(art), offsets=())
        for program, measured in zip(programs, of_results, strict=True):
            painted = program.cartoon(lines)
            measured.append((mean_chroma(painted), color_variety(painted)))
        on_progress(number, len(paths))
    if not any(chroma for chroma, _ in of_art):
        raise TrainingError(f"{folder} has no colored art that can be read")
    art_chroma, art_variety = np.mean(of_art, axis=0).tolist()
    figures = []
    for program, measured in zip(programs, of_results, strict=True):
        chroma, variety = np.mean(measured, axis=0).tolist()
        figures.append(
            PaintFigures(program.name, len(of_art), chroma, art_chroma, variety, art_variety)
        )
    return figures


def mean_chroma(image: Pixels) -> float:
    """Mean chroma in CIE Lab of an image, (H, W, 3) uint8 RGB; 0 for grays."""
    lab = to_lab(image.astype(np.float32) / 255)
    return float(np.hypot(lab[..., 1], lab[..., 2]).mean())


def color_variety(image: Pixels) -> float:
    """Standard deviation of a and b in CIE Lab together, of an image, (H, W, 3) uint8 RGB.

    It is 0 for grays, and wherever only the lightness differs.
    """
    lab = to_lab(image.astype(np.float32) / 255)
    return float(np.hypot(lab[..., 1].std(), lab[..., 2].std()))
