"""Warping error: how much a cartoon video flickers, beside its source.

A video and engines go in; root mean square errors come out. Motion in the source is followed by
optical flow. What still changes from one frame to the next is flicker, noise or light. The source
has some of it too, so the ratio of the two errors is what counts. Blur lowers the warping error:
read it beside the line sharpness of `trainer.evaluation.sharpness`.
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
from toonvid.video import Frame, Pixels

CONSISTENT_SHARE, CONSISTENT_PIXELS = 0.01, 0.5
"""Largest squared distance between the start and the end of flow there and back: a share of the
squared flow, plus squared pixels. Both constants are those of Sundaram et al., 2010."""

Flow = NDArray[np.float32]
"""Shape (H, W, 2): displacement to the right and down, in pixels."""


@dataclass(frozen=True)
class WarpingErrors:
    """Warping errors of one video and its cartoons, root mean square, in levels (0..255)."""

    video: str
    """Name of the file."""
    frames: int
    """Number of frames that were read."""
    visible_share: float
    """Share of the pixels that could be followed, 0..1; the others were left out."""
    source: float
    """Error of the video itself."""
    cartoons: tuple[float, ...]
    """Error of each engine's cartoon."""
    ratios: tuple[float | None, ...]
    """Errors of the cartoons over the source's; None where the source has none."""


@dataclass(frozen=True)
class Motion:
    """Motion of the source between two frames."""

    backward_flow: Flow
    """From each pixel of the later frame to its place in the earlier one."""
    visible: NDArray[np.bool_]
    """Whether a pixel of the later frame was visible in the earlier one, shape (H, W)."""


def measure_warping_errors(
    video: str | Path,
    stylizers: Sequence[Stylizer],
    max_frames: int,
    on_frame: Callable[[int], None] = lambda _: None,
) -> WarpingErrors:
    """Measures the warping error of a video and of its cartoons, all by the motion of the source.

    The error is equation 12 of Lai et al., 2018: the mean squared difference between a frame and
    the warped frame before it, over the pixels that are visible in both. Two departures: the mean
    is over the pixels of all frames at once, so that a cut, where few pixels can be followed,
    counts little; and the root is taken, to have levels. A ratio of theirs is the square of a
    ratio here.

    Args:
        video: Anything that FFmpeg opens.
        stylizers: One for each engine.
        max_frames: Largest number of frames that are read, from the start.
        on_frame: Called with the number of frames done.

    Raises:
        SourceError: The video cannot be read, or no two frames in a row show the same thing.
        BackendError: An engine fails.
    """
    squares, pixels, visible, frames = np.zeros(1 + len(stylizers)), 0, 0, 1
    with VideoDecoder(video) as decoder:
        stylized = _stylized_frames(islice(decoder.frames(), max_frames), stylizers)
        for before, after in pairwise(stylized):
            motion = find_motion(before[0], after[0])
            squares += [
                squared_error(earlier, later, motion)
                for earlier, later in zip(before, after, strict=True)
            ]
            pixels += motion.visible.size
            visible += int(motion.visible.sum())
            frames += 1
            on_frame(frames)
    if not visible:
        raise SourceError(f"{video} has no two frames in a row that show the same thing")
    source, *cartoons = np.sqrt(squares / visible).tolist()
    return WarpingErrors(
        video=Path(video).name,
        frames=frames,
        visible_share=visible / pixels,
        source=source,
        cartoons=tuple(cartoons),
        ratios=tuple(error / source if source else None for error in cartoons),
    )


def find_motion(before: Pixels, after: Pixels) -> Motion:
    """Follows every pixel of a frame back to the frame before it.

    Optical flow is DIS (Kroeger et al., 2016). A pixel counts as visible in both frames if flow
    there and back returns to its start (Sundaram et al., 2010, equation 5) and does not leave the
    frame.

    Args:
        before: Shape (H, W, 3), uint8, RGB.
        after: The next frame, same shape.
    """
    gray = [cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY) for pixels in (before, after)]
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    backward: Flow = dis.calc(gray[1], gray[0], None)
    forward: Flow = warp(dis.calc(gray[0], gray[1], None), backward)
    missed = ((backward + forward) ** 2).sum(axis=2)
    allowed = CONSISTENT_SHARE * (backward**2 + forward**2).sum(axis=2) + CONSISTENT_PIXELS
    return Motion(backward, (missed <= allowed) & _is_inside(backward))


def squared_error(before: Pixels, after: Pixels, motion: Motion) -> float:
    """Sum over the visible pixels of the squared difference between a frame and the warped frame
    before it, averaged over red, green and blue.

    Args:
        before: Shape (H, W, 3), uint8, RGB.
        after: The next frame, same shape.
        motion: Motion between the two.
    """
    difference = after.astype(np.float32) - warp(before.astype(np.float32), motion.backward_flow)
    return float((difference[motion.visible].astype(np.float64) ** 2).mean(axis=1).sum())


def warp(values: NDArray[np.float32], backward_flow: Flow) -> NDArray[np.float32]:
    """Fetches each pixel from where it was, with bilinear interpolation.

    Args:
        values: Shape (H, W, C).
        backward_flow: Displacement from each pixel to where its value is fetched.

    Returns:
        Shape (H, W, C). What lies outside repeats the nearest edge.
    """
    columns, rows = _origins(backward_flow)
    return cv2.remap(values, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _stylized_frames(
    frames: Iterator[Frame], stylizers: Sequence[Stylizer]
) -> Iterator[tuple[Pixels, ...]]:
    """Yields each frame of the source with its cartoons, one frame at a time."""
    for frame in frames:
        cartoons = (next(stylizer.stylize([frame])) for stylizer in stylizers)
        yield (frame.pixels, *(cartoon.pixels for cartoon in cartoons))


def _origins(backward_flow: Flow) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Column and row that each pixel comes from, shape (H, W) each."""
    rows, columns = np.indices(backward_flow.shape[:2], dtype=np.float32)
    return columns + backward_flow[..., 0], rows + backward_flow[..., 1]


def _is_inside(backward_flow: Flow) -> NDArray[np.bool_]:
    """Whether a pixel comes from within the frame, shape (H, W)."""
    height, width = backward_flow.shape[:2]
    columns, rows = _origins(backward_flow)
    return (columns >= 0) & (columns <= width - 1) & (rows >= 0) & (rows <= height - 1)
