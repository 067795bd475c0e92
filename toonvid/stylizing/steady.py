"""Temporal consistency: cartoon frames in, the same frames without their flicker out.

A generator sees one frame at a time, so noise in the source moves its lines and borders. This stage
follows the motion of the source (`toonvid.stylizing.motion`), keeps what the last cartoon showed
where the moved source agrees with the present one, and lets go where it does not. It needs no
network. Batching, padding and blending with the source are in `toonvid.stylizing.stylizer`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toonvid.stylizing.motion import CELL, Luma, find_motion
from toonvid.stylizing.packed import PackedFrame, blend, blend_moved, move
from toonvid.video import LARGE_FRAME_PIXELS, Pixels

WARM_UP_FRAMES = 4
"""Frames at the end of a segment from which the state at the next one's start is made. More of them
make the start smoother, and cost as many stylized frames when a conversion resumes."""

_WARM_UP_LARGE_FRAMES = 1  # of which four would take gigabytes
_CHANGE_LEVELS = 16.0  # change of the source, in levels of 255, at which 1/e of the hold is left
_SLOPE_ALLOWANCE = 6  # sixteenths of the slope that are not a change: vectors are not exact
_NEAR_CHANGE_LEVELS = 12  # levels by which a change nearby counts less than one at a pixel
_ROWS_PER_REACH = (
    240  # rows of the frame for each 2 pixels that a change reaches: half a thick line
)
_CUT_SHARE = 0.08  # below this mean share of held pixels, the frame begins a new scene


def warm_up_frames(height: int, width: int) -> int:
    """Return `WARM_UP_FRAMES` for frames of a size in pixels: fewer where they are large."""
    return _WARM_UP_LARGE_FRAMES if height * width > LARGE_FRAME_PIXELS else WARM_UP_FRAMES


@dataclass(frozen=True)
class _State:
    """What is kept of the last frame; the source at half the size."""

    luma: Luma
    """The source's green channel, from which motion is found, (ceil(H / 2), ceil(W / 2))."""
    kept_source: PackedFrame
    """The source blended with the same weights as the cartoon. A slow change, such as dusk,
    therefore adds up against it until the cartoon follows, instead of being held forever."""
    cartoon: PackedFrame
    """The steady cartoon."""


class SteadyStage:
    """The stage and its state: the last cartoon, and the source from which it was drawn."""

    def __init__(self, steady: float) -> None:
        """Set how much of the last cartoon is kept.

        Args:
            steady: Share of the last cartoon where the source did not change at all, in 0..1. 0
                gives every cartoon as it is.
        """
        self._weights = _weight_table(steady)
        self._is_on = steady > 0
        self._last: _State | None = None
        self._recent: deque[tuple[Pixels, Pixels]] = deque()

    def apply(self, source: Pixels, cartoon: Pixels) -> Pixels:
        """Give the cartoon of the next frame without its flicker.

        Args:
            source: The source frame, (H, W, 3), uint8, RGB.
            cartoon: What the generator made of it, same shape and type. Not changed.

        Returns:
            The steady cartoon, same shape and type. It is `cartoon` itself where a scene begins.
        """
        if not self._is_on:
            return cartoon
        while len(self._recent) >= warm_up_frames(*source.shape[:2]):
            self._recent.popleft()
        self._recent.append((source, cartoon))
        return self._apply(source, cartoon)

    def begin_segment(self) -> None:
        """Make the state anew from the last frames of the segment that ends here.

        The state then depends on those `warm_up_frames` frames alone, or on fewer where the segment
        had fewer, so that a run that resumes here, or another machine, comes to the same state.
        """
        recent = list(self._recent)
        self._recent.clear()
        self._last = None
        for source, cartoon in recent:
            self._apply(source, cartoon)

    def _apply(self, source: Pixels, cartoon: Pixels) -> Pixels:
        halved, frame = PackedFrame.pack(source, step=2), PackedFrame.pack(cartoon)
        luma = halved.channels()[..., 1].astype(np.float32)
        last, self._last = self._last, _State(luma, halved, frame)
        if last is None or (frame.height, frame.width) != (last.cartoon.height, last.cartoon.width):
            return cartoon
        vectors = find_motion(last.luma, luma)
        moved_source = move(last.kept_source, vectors, CELL)
        weights = self._weights.take(_find_changes(halved, moved_source))
        if weights.mean() < _CUT_SHARE * 256:
            return cartoon
        # The cartoon has twice the size of the source in which motion was found.
        steady = blend_moved(frame, last.cartoon, 2 * vectors, 2 * CELL, weights)
        self._last = _State(luma, blend(halved, moved_source, weights), steady)
        return steady.unpack()


def _weight_table(steady: float) -> NDArray[np.uint16]:
    """Weight of the last cartoon, in 1/256, for each change in 8/9 levels."""
    levels = np.arange(256) * (8 / 9)
    weights = steady * np.exp(-((levels / _CHANGE_LEVELS) ** 2))
    table: NDArray[np.uint16] = np.round(256 * weights).astype(np.uint16)
    return table


def _find_changes(frame: PackedFrame, last: PackedFrame) -> NDArray[np.uint8]:
    """How much a source changed around each pixel.

    A change is the difference of the channel that differs most, less what a vector that is a third
    of a pixel off makes of the slope there, as a mean over 3 x 3 pixels. Larger changes are found
    around them as well: an outline covers pixels beside the edge, which did not change themselves.

    Args:
        frame: The source at half the size.
        last: The kept source, moved.

    Returns:
        In 8/9 levels, (H, W).
    """
    one, other = frame.channels(), last.channels()
    # uint8 has no sign: the larger value minus the smaller one is the difference.
    difference = np.maximum(one, other) - np.minimum(one, other)
    largest = np.maximum(np.maximum(difference[..., 0], difference[..., 1]), difference[..., 2])
    green = one[..., 1].astype(np.int16)
    slope = np.zeros_like(green)
    slope[:, :-1] = np.abs(green[:, 1:] - green[:, :-1])
    slope[:-1] += np.abs(green[1:] - green[:-1])
    slope *= _SLOPE_ALLOWANCE
    slope >>= 4
    changes = np.pad(largest - slope, 1, mode="edge")
    rows = changes[:-2] + changes[1:-1] + changes[2:]
    sums = rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]
    sums >>= 3  # a division by 9 takes ten times as long
    local = np.clip(sums, 0, 255, out=sums).astype(np.uint8)
    near = _largest_near(local, max(3, 2 * frame.height // _ROWS_PER_REACH))
    margin = np.full_like(near, _NEAR_CHANGE_LEVELS)
    near = np.maximum(near, margin) - margin
    changed: NDArray[np.uint8] = np.maximum(local, near)
    return changed


def _largest_near(values: NDArray[np.uint8], reach: int) -> NDArray[np.uint8]:
    """Largest value in a square of 2 reach + 1 pixels, same shape."""
    for _ in range(2):  # rows, then columns; twice transposed is as before
        values = np.pad(values, ((reach, reach), (0, 0)), mode="edge")
        span, wanted = 1, 2 * reach + 1
        while span < wanted:
            step = min(span, wanted - span)
            values = np.maximum(values[:-step], values[step:])
            span += step
        values = values.T
    return values
