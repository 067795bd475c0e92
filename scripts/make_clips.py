"""Make a film of still pictures: shots that pan and zoom, with cuts between them.

    python scripts/make_clips.py FOLDER FILM.mp4 [--shots 60] [--seconds 2] [--line-art]

In: a folder of pictures. Out: a film of 960 x 540 at 25 frames per second, a shot of each picture
in an order that a seed decides. With `--line-art` the pictures are first drawn as line art, as
`toonvid train --preset paint` draws it: a pencil test.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np

from toonvid.errors import TrainingError
from toonvid.video import Pixels
from trainer.data.images import find_images, read_image
from trainer.data.line_art import draw_line_art

SIZE = (960, 540)
"""Width and height in pixels."""
RATE = 25
"""Frames per second."""
CLOSEST = 1.6
"""Largest enlargement of a shot, 1 where the picture just fills the frame."""
LINE_WIDTH = 1.2


def main() -> None:
    """Read the command line and write the film."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("film", type=Path)
    parser.add_argument("--shots", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a shot")
    parser.add_argument("--line-art", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    random = np.random.default_rng(options.seed)
    try:
        pictures = find_images(options.folder, "pictures")
    except TrainingError as error:
        parser.error(str(error))
    chosen = random.permutation(len(pictures))[: options.shots]
    with av.open(str(options.film), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"crf": "16"})
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        for index in chosen:
            picture = read_image(pictures[index])
            if options.line_art:
                picture = draw_line_art(picture, LINE_WIDTH)
            for pixels in shoot(picture, round(options.seconds * RATE), random):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())


def shoot(picture: Pixels, frames: int, random: np.random.Generator) -> Iterator[Pixels]:
    """Move a camera evenly from one view of a picture, (H, W, 3), to another one.

    Yields:
        Frames of the film's size.
    """
    height, width = picture.shape[:2]
    fill = max(SIZE[0] / width, SIZE[1] / height)
    scales = fill * np.exp(random.uniform(0, np.log(CLOSEST), 2))
    places = random.uniform(0, 1, (2, 2))
    for share in np.linspace(0, 1, frames):
        scale = (1 - share) * scales[0] + share * scales[1]
        place = (1 - share) * places[0] + share * places[1]
        offset = place * (np.array(SIZE) - scale * np.array([width, height]))
        matrix = np.array([[scale, 0, offset[0]], [0, scale, offset[1]]])
        yield cv2.warpAffine(picture, matrix, SIZE, flags=cv2.INTER_AREA)


if __name__ == "__main__":
    main()
