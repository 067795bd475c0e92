"""Warping error: how much a cartoon video flickers, beside its source.

A video and engines go in; root mean square errors come out. Motion in the source is followed by
optical flow. What still changes from one frame to the next is flicker, noise or light. The source
has some of it too, so the ratio of the two errors is what counts.

Two things change that ratio without flicker. Blur lowers it, and contrast raises it: where an edge
of twice the height moves by a fraction of a pixel, the difference is twice as large. The ratio is
therefore also given over the gain in gradient. Both are root mean squares: a picture that only
moves then has a ratio per gain of 1, however few its edges are. With the mean gradient, flat areas
between a few high edges would count as flicker.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice, pairwise
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from toonvid.errors import SourceError
from toonvid.reading.decoder import VideoDecoder
from toonvid.stylizing.options import StylizeOptions
from toonvid.stylizing.steady import SteadyStage
from toonvid.stylizing.stylizer import Stylizer
from toonvid.video import Frame, Pixels
from trainer.evaluation.sharpness import luma_gradient

CONSISTENT_SHARE, CONSISTENT_PIXELS = 0.01, 0.5
"""Largest squared distance between the start and the end of flow there and back: a share of the
squared flow, plus squared pixels. Both constants are those of Sundaram et al., 2010."""

Flow = NDArray[np.float32]
"""Shape (H, W, 2): displacement to the right and down, in pixels."""


@dataclass(frozen=True)
class CartoonVideo:
    """Figures of the cartoon that one engine makes of a video."""

    error: float
    """Warping error, root mean square, in levels (0..255)."""
    ratio: float | None
    """`error` over the source's; None where the source has none."""
    gradient_gain: float | None
    """Gradient of the luma over the source's, both root mean squares; None where the source has
    none."""
    ratio_per_gain: float | None
    """`ratio` over `gradient_gain`."""
    change: float
    """Mean absolute difference between a frame and its cartoon, in levels (0..255)."""


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
    """Error of each engine's cartoon, without the stage against flicker."""
    ratios: tuple[float | None, ...]
    """Errors of the cartoons over the source's; None where the source has none."""
    plain: tuple[CartoonVideo, ...]
    """All figures of each engine's cartoon, without the stage against flicker."""
    steady: tuple[CartoonVideo, ...]
    """The same with the stage, as `toonvid convert` writes it."""


@dataclass
class _Sums:
    """Sums over the frames of a video, or of one of its cartoons."""

    squares: float = 0.0
    """Squared differences to the warped frame before, over the visible pixels."""
    squared_gradients: float = 0.0
    """Squared gradients of the luma, over the visible pixels."""
    changes: list[float] = field(default_factory=list)
    """Mean absolute difference of each frame to the source."""

    def figures(self, source: _Sums, visible: int) -> CartoonVideo:
        ratio = (self.squares / source.squares) ** 0.5 if source.squares else None
        own = source.squared_gradients
        gain = (self.squared_gradients / own) ** 0.5 if own else None
        return CartoonVideo(
            error=(self.squares / visible) ** 0.5,
            ratio=ratio,
            gradient_gain=gain,
            ratio_per_gain=None if ratio is None or not gain else ratio / gain,
            change=float(np.mean(self.changes)),
        )


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
    steady: float = StylizeOptions.steady,
) -> WarpingErrors:
    """Measures the warping error of a video and of its cartoons, all by the motion of the source.

    The error is equation 12 of Lai et al., 2018: the mean squared difference between a frame and
    the warped frame before it, over the pixels that are visible in both. Two departures: the mean
    is over the pixels of all frames at once, so that a cut, where few pixels can be followed,
    counts little; and the root is taken, to have levels. A ratio of theirs is the square of a
    ratio here.

    Args:
        video: Anything that FFmpeg opens.
        stylizers: One for each engine, with its stage against flicker off.
        max_frames: Largest number of frames that are read, from the start.
        on_frame: Called with the number of frames done.
        steady: Share of the last cartoon that the stage against flicker keeps, in 0..1.

    Raises:
        SourceError: The video cannot be read, or no two frames in a row show the same thing.
        BackendError: An engine fails.
    """
    sums = [_Sums() for _ in range(1 + 2 * len(stylizers))]
    pixels, visible, frames = 0, 0, 1
    with VideoDecoder(video) as decoder:
        variants = _variants(islice(decoder.frames(), max_frames), stylizers, steady)
        for before, after in pairwise(variants):
            motion = find_motion(before[0], after[0])
            for one, earlier, later in zip(sums, before, after, strict=True):
                one.squares += squared_error(earlier, later, motion)
                one.squared_gradients += squared_gradient(later, motion)
                one.changes.append(float(cv2.absdiff(later, after[0]).mean()))
            pixels += motion.visible.size
            visible += int(motion.visible.sum())
            frames += 1
            on_frame(frames)
    if not visible:
        raise SourceError(f"{video} has no two frames in a row that show the same thing")
    source, *others = sums
    figures = [one.figures(source, visible) for one in others]
    plain, kept = figures[: len(stylizers)], figures[len(stylizers) :]
    return WarpingErrors(
        video=Path(video).name,
        frames=frames,
        visible_share=visible / pixels,
        source=(source.squares / visible) ** 0.5,
        cartoons=tuple(each.error for each in plain),
        ratios=tuple(each.ratio for each in plain),
        plain=tuple(plain),
        steady=tuple(kept),
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


def squared_gradient(frame: Pixels, motion: Motion) -> float:
    """Sum over the visible pixels of the squared gradient of the luma.

    Args:
        frame: Shape (H, W, 3), uint8, RGB.
        motion: Motion from the frame before it.
    """
    gradient = luma_gradient(frame)[motion.visible[1:-1, 1:-1]]
    return float((gradient.astype(np.float64) ** 2).sum())


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


def _variants(
    frames: Iterator[Frame], stylizers: Sequence[Stylizer], steady: float
) -> Iterator[tuple[Pixels, ...]]:
    """Yields each frame: the source, each engine's cartoon, and each of these without flicker."""
    stages = [SteadyStage(steady) for _ in stylizers]
    for frame in frames:
        cartoons = [next(stylizer.stylize([frame])).pixels for stylizer in stylizers]
        kept = [
            stage.apply(frame.pixels, cartoon)
            for stage, cartoon in zip(stages, cartoons, strict=True)
        ]
        yield (frame.pixels, *cartoons, *kept)


def _origins(backward_flow: Flow) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Column and row that each pixel comes from, shape (H, W) each."""
    rows, columns = np.indices(backward_flow.shape[:2], dtype=np.float32)
    return columns + backward_flow[..., 0], rows + backward_flow[..., 1]


def _is_inside(backward_flow: Flow) -> NDArray[np.bool_]:
    """Whether a pixel comes from within the frame, shape (H, W)."""
    height, width = backward_flow.shape[:2]
    columns, rows = _origins(backward_flow)
    return (columns >= 0) & (columns <= width - 1) & (rows >= 0) & (rows <= height - 1)
