"""Turns one image into a cartoon: python examples/stylize_image.py [IMAGE] [CARTOON]."""

import sys

import cv2
import numpy as np

import toonvid
from toonvid.bench.demo_scene import draw_scene


def main(source: str | None = None, target: str = "cartoon.png") -> None:
    if source is None:
        image = draw_scene(320, 180, seconds=0)
    else:
        bgr = cv2.imread(source)  # OpenCV keeps blue first; toonvid takes red first
        if bgr is None:
            sys.exit(f"{source} is not an image that OpenCV reads")
        image = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)

    cartoon = toonvid.stylize(image, style="ink", strength=0.9)

    try:
        is_written = cv2.imwrite(target, cv2.cvtColor(cartoon, cv2.COLOR_RGB2BGR))
    except cv2.error:  # an unknown suffix
        is_written = False
    if not is_written:
        sys.exit(f"{target} cannot be written")
    change = np.abs(cartoon.astype(int) - image).mean()
    print(f"wrote {target}: {image.shape[1]}x{image.shape[0]}, changed by {change:.1f} levels")


if __name__ == "__main__":
    main(*sys.argv[1:])
