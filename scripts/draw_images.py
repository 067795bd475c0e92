"""Draw the images in docs/images in each shipped style, from a generated scene and open clips.

    python scripts/draw_images.py [FOLDER]

In: FOLDER with the clips of `CLIPS`, whose authors docs/research/styles.md names; without it only
the scene is drawn. Out: JPEG files in docs/images.
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
from toonvid.writing.contact_sheet import contact_sheet, write_image

IMAGES = Path(__file__).parent.parent / "docs" / "images"
WIDTH, HEIGHT, SECONDS = 800, 450, 2.0
"""Size in pixels of the image of the scene, and its time in the scene."""

CLIPS = {
    "butterfly_720p.mp4": (5, 40, 75, 110, 150, 180),
    "bee_720p.mp4": (5, 30, 60, 90),
    "car-detection.mp4": (75, 194, 200, 215, 330),
    "one-by-one-person-detection.mp4": (150, 400, 700),
    "person_asl_480p_noaudio.mkv": (5, 40, 70),
}
"""Clip -> indices of the frames on the sheet, from 0."""
SCENE_SECONDS = (0.5, 2.0, 3.5)
"""Times of the scene on the sheet."""
SHEET_COLUMNS = 4
SHEET_CELL = (480, 270)
"""Width and height in pixels; frames are stylized at their own size and downscaled afterwards."""
FULL_SIZE = ("butterfly_720p.mp4", 75)
"""Clip and index of the frame that is also written at its own size."""
BEFORE_AFTER = (
    ("person_asl_480p_noaudio.mkv", 40),
    ("car-detection.mp4", 200),
    ("butterfly_720p.mp4", 75),
)
"""Clips and indices of the frames that are shown above their cartoons."""


def stylize(backend: Backend, pixels: Pixels) -> Pixels:
    """Stylize one image, (H, W, 3) uint8 RGB."""
    [cartoon] = Stylizer(backend, StylizeOptions(steady=0)).stylize([Frame(pixels, 0, Fraction(1))])
    return cartoon.pixels


def read_frames(clip: Path, indices: tuple[int, ...]) -> dict[int, Pixels]:
    """Read frames of a clip: index -> (H, W, 3) uint8 RGB."""
    with VideoDecoder(clip) as decoder:
        frames = zip(range(max(indices) + 1), decoder.frames(), strict=False)
        return {index: frame.pixels for index, frame in frames if index in indices}


def fit_into_cell(image: Pixels) -> Pixels:
    """Downscale an image to fit into `SHEET_CELL`, centered on gray."""
    width, height = SHEET_CELL
    scale = min(width / image.shape[1], height / image.shape[0])
    fitted = tuple(round(side * scale) for side in image.shape[1::-1])
    small = cv2.resize(image, fitted, interpolation=cv2.INTER_AREA)
    right, below = width - fitted[0], height - fitted[1]
    edges = (below // 2, below - below // 2, right // 2, right - right // 2)
    return cv2.copyMakeBorder(small, *edges, cv2.BORDER_CONSTANT, value=(224, 224, 224))


def main() -> None:
    """Write the images of each style: scene, sheet, frames above cartoons, one at full size."""
    clips = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    found = {name: read_frames(clips / name, CLIPS[name]) for name in CLIPS} if clips else {}
    scene = draw_scene(WIDTH, HEIGHT, SECONDS)
    for card in sorted(shipped_engines().glob("*.json")):
        engine = read_engine(card)
        style = engine.card.style
        # float32, so that every machine draws the same images.
        with open_backend(engine, precision="f32") as backend:
            pair = contact_sheet([scene, stylize(backend, scene)], columns=2)
            write_image(IMAGES / f"scene-{style}.jpg", pair, overwrite=True)
            if not found:
                continue
            sources = [frame for frames in found.values() for frame in frames.values()]
            sources += [draw_scene(1280, 720, seconds) for seconds in SCENE_SECONDS]
            cells = [fit_into_cell(stylize(backend, source)) for source in sources]
            sheet = contact_sheet(cells, SHEET_COLUMNS)
            write_image(IMAGES / f"sheet-{style}.jpg", sheet, overwrite=True)
            before = [found[clip][index] for clip, index in BEFORE_AFTER]
            cells = [fit_into_cell(frame) for frame in before]
            cells += [fit_into_cell(stylize(backend, frame)) for frame in before]
            sheet = contact_sheet(cells, len(BEFORE_AFTER))
            write_image(IMAGES / f"before-after-{style}.jpg", sheet, overwrite=True)
            cartoon = stylize(backend, found[FULL_SIZE[0]][FULL_SIZE[1]])
            write_image(IMAGES / f"butterfly-{style}.jpg", cartoon, overwrite=True)


main()
