"""Draw the images in docs/images in each shipped style, from open clips and the demo scene.

    python scripts/draw_images.py FOLDER

In: FOLDER with the clips of `FRAMES`, whose authors docs/styles.md names. Out: JPEG files in
docs/images, for each style: `grid-STYLE`, four cartoons; `before-after-STYLE`, frames above their
cartoons; `sheet-STYLE`, cartoons of all frames.
"""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path

import cv2

from toonvid.backends import Backend, open_backend
from toonvid.bench.demo_scene import draw_scene
from toonvid.engine import read_engine, shipped_engines
from toonvid.reading.decoder import VideoDecoder
from toonvid.stylizing.options import StylizeOptions
from toonvid.stylizing.stylizer import Stylizer
from toonvid.video import Frame, Pixels
from toonvid.writing.contact_sheet import contact_sheet

IMAGES = Path(__file__).parent.parent / "docs" / "images"
JPEG_QUALITY = 80

FRAMES = {
    "person_asl_480p_noaudio.mkv": (5, 40),
    "one-by-one-person-detection.mp4": (150, 400),
    "swans_720p.mp4": (5, 60),
    "car-detection.mp4": (200, 215),
    "butterfly_720p.mp4": (75,),
    "bee_720p.mp4": (60,),
}
"""Clip -> indices of frames, from 0."""
SCENE_SECONDS = (3.5, 12.0)
"""Times of the demo scene, whose frames follow those of the clips."""
SCENE_SIZE = (1280, 720)
SHEET_COLUMNS, SHEET_CELL = 3, (480, 270)
"""Width and height of a cell in pixels, as below."""
BEFORE_AFTER, BEFORE_AFTER_CELL = (0, 3, 4, 6), (400, 225)
"""Positions in the list of frames: a person, somebody in a room, a lake, cars."""
GRID, GRID_CELL = (0, 3, 4, 8), (288, 162)
"""Positions in the list of frames: a person, somebody in a room, a lake, a butterfly."""


def stylize(backend: Backend, pixels: Pixels) -> Pixels:
    """Stylize one image, (H, W, 3) uint8 RGB."""
    [cartoon] = Stylizer(backend, StylizeOptions(steady=0)).stylize([Frame(pixels, 0, Fraction(1))])
    return cartoon.pixels


def read_frames(clip: Path, indices: tuple[int, ...]) -> list[Pixels]:
    """Read frames of a clip, (H, W, 3) uint8 RGB."""
    with VideoDecoder(clip) as decoder:
        frames = zip(range(max(indices) + 1), decoder.frames(), strict=False)
        return [frame.pixels for index, frame in frames if index in indices]


def fill_cell(image: Pixels, cell: tuple[int, int]) -> Pixels:
    """Crop an image to the shape of a cell, less at its top than at its bottom, and downscale."""
    height = min(image.shape[0], round(image.shape[1] * cell[1] / cell[0]))
    width = min(image.shape[1], round(image.shape[0] * cell[0] / cell[1]))
    top, left = (image.shape[0] - height) // 4, (image.shape[1] - width) // 2
    part = image[top : top + height, left : left + width]
    return cv2.resize(part, cell, interpolation=cv2.INTER_AREA)


def write_sheet(name: str, images: list[Pixels], columns: int, cell: tuple[int, int]) -> None:
    """Write images of any size as a contact sheet."""
    sheet = contact_sheet([fill_cell(image, cell) for image in images], columns)
    path = str(IMAGES / f"{name}.jpg")
    cv2.imwrite(path, sheet[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])


def main() -> None:
    """Write the images of each style; every frame is stylized at its own size."""
    clips = Path(sys.argv[1])
    sources = [frame for name, at in FRAMES.items() for frame in read_frames(clips / name, at)]
    sources += [draw_scene(*SCENE_SIZE, seconds) for seconds in SCENE_SECONDS]
    for card in sorted(shipped_engines().glob("*.json")):
        engine = read_engine(card)
        style = engine.card.style
        # float32, so that every machine draws the same images.
        with open_backend(engine, precision="f32") as backend:
            cartoons = [stylize(backend, source) for source in sources]
        write_sheet(f"sheet-{style}", cartoons, SHEET_COLUMNS, SHEET_CELL)
        pairs = [images[i] for images in (sources, cartoons) for i in BEFORE_AFTER]
        write_sheet(f"before-after-{style}", pairs, len(BEFORE_AFTER), BEFORE_AFTER_CELL)
        write_sheet(f"grid-{style}", [cartoons[i] for i in GRID], 2, GRID_CELL)


if __name__ == "__main__":
    main()
