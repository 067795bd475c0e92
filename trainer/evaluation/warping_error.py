"""How much a cartoon film flickers: its warping error, beside that of its source.

What moves in the source is followed by optical flow; what then still changes from one frame to the
next is flicker, noise or light. The source has some of it too, so the ratio of the two is what
counts. Blur lowers the warping error: read it beside the line sharpness of `trainer.evaluation.sharpness`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from toonvid.errors import SourceError
from toonvid.reading.decoder import VideoDecoder
from toonvid.stylizing.stylizer import Stylizer
from toonvid.video import Frame

CONSISTENT_SHARE, CONSISTENT_PIXELS = 0.01, 0.5
"""How far flow there and back may miss its start: share of the squared flow, squared pixels."""

Pixels = NDArray[np.uint8]
Flow = NDArray[np.float32]
"""Shape (H, W, 2): how far right and down, in pixels."""


@dataclass(frozen=True)
class FilmErrors:
    """Warping errors of one film: root mean square, in levels (0..255)."""

    film: str
    frames: int
    """Frames that were compared with the one before them, and the first one."""
    visible_share: float
    """Share of the pixels that could be followed, 0..1; the rest was left out."""
    source: float
    cartoons: tuple[float, ...]
    """One for each engine."""
    ratios: tuple[float | None, ...]
    """The cartoons' errors over the source's own; None where the source has none."""


@dataclass(frozen=True)
class Motion:
    """How the source moved between two frames."""

    back: Flow
    """From each pixel of the later frame to where it was in the earlier one."""
    visible: NDArray[np.bool_]
    """Which pixels of the later frame were to be seen in the earlier one, shape (H, W)."""


def measure_film(
    film: str | Path,
    stylizers: Sequence[Stylizer],
    most_frames: int,
    on_frame: Callable[[int], None] = lambda _: None,
) -> FilmErrors:
    """Measure the warping error of a film and of its cartoons, by one and the same motion.

    The error is equation 12 of Lai et al., 2018 (the squared difference between a frame and the
    one before it, warped, over the pixels that are seen in both), with two departures: pixels are
    averaged over the whole film at once, so that a cut, where little can be followed, weighs
    little; and it is given as a root, in levels. A ratio of theirs is the square of a ratio here.

    Args:
        film: Anything that FFmpeg opens.
        stylizers: One for each engine.
        most_frames: Read at most so many, from the beginning.
        on_frame: Called with the number of frames done.

    Raises:
        SourceError: The film cannot be read, or has no two frames that show the same thing.
    """
    squares, pixels, frames, seen = np.zeros(1 + len(stylizers)), 0, 1, 0
    with VideoDecoder(film) as decoder:
        drawn = _drawn_frames(islice(decoder.frames(), most_frames), stylizers)
        for before, after in pairwise(drawn):
            motion = find_motion(before[0], after[0])
            squares += [
                squared_change(one, two, motion) for one, two in zip(before, after, strict=True)
            ]
            pixels += motion.visible.size
            seen += int(motion.visible.sum())
            frames += 1
            on_frame(frames)
    if not seen:
        raise SourceError(f"{film} has no two frames in a row that show the same thing")
    source, *cartoons = np.sqrt(squares / seen).tolist()
    return FilmErrors(
        film=Path(film).name,
        frames=frames,
        visible_share=seen / pixels,
        source=source,
        cartoons=tuple(cartoons),
        ratios=tuple(error / source if source else None for error in cartoons),
    )


def find_motion(before: Pixels, after: Pixels) -> Motion:
    """Follow every pixel of a frame back to the frame before it.

    Flow is DIS (Kroeger et al., 2016). A pixel counts as seen in both frames if flow there and back
    comes home, by the rule of Sundaram et al., 2010 (their equation 5), and does not leave the
    picture.

    Args:
        before: Shape (H, W, 3), uint8, RGB.
        after: The next frame, same shape.
    """
    grey = [cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY) for pixels in (before, after)]
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    back: Flow = flow.calc(grey[1], grey[0], None)
    forth: Flow = warp(flow.calc(grey[0], grey[1], None), back)
    missed = ((back + forth) ** 2).sum(axis=2)
    allowed = CONSISTENT_SHARE * (back**2 + forth**2).sum(axis=2) + CONSISTENT_PIXELS
    return Motion(back, (missed <= allowed) & _inside(back))


def squared_change(before: Pixels, after: Pixels, motion: Motion) -> float:
    """Sum over the visible pixels of the squared change, averaged over red, green and blue."""
    change = after.astype(np.float32) - warp(before.astype(np.float32), motion.back)
    return float((change[motion.visible].astype(np.float64) ** 2).mean(axis=1).sum())


def warp(picture: NDArray[np.float32], back: Flow) -> NDArray[np.float32]:
    """Fetch each pixel from where it was, between pixels linearly.

    Args:
        picture: Shape (H, W, C).
        back: Where to fetch from, seen from each pixel.
    """
    return cv2.remap(picture, *_places(back), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _drawn_frames(
    frames: Iterator[Frame], stylizers: Sequence[Stylizer]
) -> Iterator[tuple[Pixels, ...]]:
    """A frame of the source and its cartoons, at a time."""
    for frame in frames:
        yield (frame.pixels, *(next(one.stylize([frame])).pixels for one in stylizers))


def _places(back: Flow) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Column and row that each pixel comes from."""
    rows, columns = np.indices(back.shape[:2], dtype=np.float32)
    return columns + back[..., 0], rows + back[..., 1]


def _inside(back: Flow) -> NDArray[np.bool_]:
    """Which pixels come from within the picture."""
    height, width = back.shape[:2]
    columns, rows = _places(back)
    return (columns >= 0) & (columns <= width - 1) & (rows >= 0) & (rows <= height - 1)
