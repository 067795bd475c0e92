"""Turns many images into cartoons with one open style: python examples/stylize_frames.py [STYLE].

An engine is compiled when the first image of a size comes. One open style compiles it once, where
`toonvid.stylize` would compile it for every image.
"""

import sys
import time

import toonvid
from toonvid.bench.demo_scene import draw_scene

FRAMES = 24


def main(style: str = "ink") -> None:
    images = [draw_scene(320, 180, seconds=number / 12) for number in range(FRAMES)]
    try:
        with toonvid.open_style(style) as opened:
            opened.stylize(images[0])  # compiles, so that the time below is that of drawing alone
            began = time.perf_counter()
            cartoons = list(opened.stylize_all(images))
            seconds = time.perf_counter() - began
            runs_on = f"{opened.backend.name} on {opened.backend.device}"
    except toonvid.ToonvidError as error:
        sys.exit(str(error))
    print(f"{len(cartoons)} images in {seconds:.2f} s, {len(cartoons) / seconds:.0f} a second")
    print(f"style {style}, {runs_on}")


if __name__ == "__main__":
    main(*sys.argv[1:])
