"""Draw the pictures in docs/images anew: our own scene and its cartoon in each shipped style."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from toonvid.backends import open_backend
from toonvid.engine import Engine, read_engine, shipped_engines
from toonvid.scene import draw_scene
from toonvid.sheet import contact_sheet, write_picture
from toonvid.stylize import Stylizer
from toonvid.video import Frame, Pixels

IMAGES = Path(__file__).parent.parent / "docs" / "images"
WIDTH, HEIGHT, SECONDS = 800, 450, 2.0


def stylized(engine: Engine, pixels: Pixels) -> Pixels:
    """One picture (H, W, 3) in a style, at float32 so that every machine draws the same."""
    with open_backend(engine, precision="f32") as backend:
        [cartoon] = Stylizer(backend).stylize([Frame(pixels, 0, Fraction(1))])
    return cartoon.pixels


def main() -> None:
    """Write one picture a style: the scene on the left, its cartoon on the right."""
    scene = draw_scene(WIDTH, HEIGHT, SECONDS)
    for card in sorted(shipped_engines().glob("*.json")):
        engine = read_engine(card)
        pair = contact_sheet([scene, stylized(engine, scene)], columns=2)
        write_picture(IMAGES / f"scene-{engine.card.style}.jpg", pair, overwrite=True)


main()
