"""Line art that is drawn from colored art: the inputs that the preset `paint` learns to color.

In: a folder of art. Out: pairs of crops, line art and art, by number. Lines are those of
`trainer.data.ink`, at several thicknesses; some are broken, as those of a pencil are.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from toonvid.errors import TrainingError
from toonvid.video import Pixels
from trainer.data.drawing import length_unit
from trainer.data.images import ImageFolder, check_size, draw_crop, read_image, resize_to
from trainer.data.ink import draw_ink, find_clutter, keep_long_strokes
from trainer.data.planes import blur, to_lab, to_levels
from trainer.data.tile_memory import TileMemory

THICKNESSES = (0.7, 1.0, 1.5)
"""Factors on the lengths of the line drawing, one of them for each crop; 1 draws lines of about two
pixels in an image 288 pixels high. Wider ones lose the small shapes."""
SHORTEST_STROKE = 10.0  # pixels at 288
BROKEN_SHARE = 0.5
"""Share of the crops whose lines have gaps."""
GAP_SIGMA = 2.5  # pixels, of the noise whose peaks are gaps
LARGEST_GAPS = 0.15
"""Largest share of the area that gaps take."""


class LineArtCrops:
    """Crops of art with the line art of each, in the order of an `ImageFolder`."""

    def __init__(
        self,
        folder: Path,
        heights: tuple[int, ...],
        crop: int,
        seed: int,
        leave_out: tuple[Path, ...] = (),
    ) -> None:
        """Find the art; none is opened yet.

        Args:
            folder: Folder of images, searched recursively.
            heights: Short sides in pixels to which images are resized; each crop draws one.
            crop: Side in pixels of the square crops, at most the smallest of `heights`.
            seed: Seed of order, heights, thicknesses, gaps, crop positions and mirroring.
            leave_out: Folders inside `folder` that are not searched, such as the run's own.

        Raises:
            TrainingError: The folder contains no images, or the crop does not fit.
        """
        if crop > min(heights):
            raise TrainingError(
                f"a crop of {crop} does not fit: the smallest frame height is {min(heights)}"
            )
        self.images = ImageFolder(folder, seed, "cartoons", leave_out)
        self._heights = heights
        self._crop = crop
        self._seed = seed
        self._drawn = TileMemory()

    def crop(self, index: int) -> list[Pixels]:
        """Return crop number `index`, from 0 without end: line art, then the art it is drawn from.

        Returns:
            Two images (crop, crop, 3) uint8, RGB.

        Raises:
            TrainingError: No image can be used.
        """
        random = np.random.default_rng((self._seed, index))
        height = int(random.choice(self._heights))
        thickness = float(random.choice(THICKNESSES))

        def use(path: Path) -> list[Pixels]:
            key = (path, height, thickness)
            return self._drawn.get(key, lambda: self._draw(path, height, thickness))

        lines, art = self.images.first_usable(index, use)
        rows, columns, mirror = draw_crop(art.shape, self._crop, random)
        cut = lines[rows, columns][:, mirror]
        if random.random() < BROKEN_SHARE:
            cut = break_lines(cut, random)
        return [cut, art[rows, columns][:, mirror]]

    def _draw(self, path: Path, height: int, thickness: float) -> list[Pixels]:
        art = read_image(path)
        check_size(art, self._crop)
        art = resize_to(art, height)
        return [draw_line_art(art, thickness), art]


def draw_line_art(art: Pixels, thickness: float = 1.0) -> Pixels:
    """Draw black lines on white along the edges of art.

    Args:
        art: (H, W, 3) uint8 RGB, a whole image.
        thickness: Factor on all lengths, above 0.

    Returns:
        (H, W, 3) uint8, three equal channels.
    """
    unit = length_unit(min(art.shape[:2])) * thickness
    lightness = to_lab(art.astype(np.float32) / 255)[..., 0]
    nowhere = np.zeros_like(lightness)  # faces and skin, which art has in any color
    ink = draw_ink(lightness, nowhere, nowhere, find_clutter(lightness, unit), unit)
    ink = keep_long_strokes(ink, SHORTEST_STROKE * unit, nowhere, 0)
    return cv2.cvtColor(to_levels(1 - ink), cv2.COLOR_GRAY2RGB)


def break_lines(lines: Pixels, random: np.random.Generator) -> Pixels:
    """Make gaps in lines, where smooth noise has its peaks.

    Args:
        lines: (H, W, 3) uint8, black on white.
        random: Generator; it draws the share of the gaps, and the noise.

    Returns:
        The same with gaps; nothing gets darker.
    """
    share = random.uniform(0, LARGEST_GAPS)
    noise = blur(random.standard_normal(lines.shape[:2]).astype(np.float32), GAP_SIGMA)
    gaps = blur((noise > np.quantile(noise, 1 - share)).astype(np.float32), 0.7)[..., None]
    return (lines + (255 - lines.astype(np.float32)) * gaps).round().clip(0, 255).astype(np.uint8)
