"""Temporal consistency: cartoon frames in, the same frames without their flicker out.

A generator sees one frame at a time, so noise in the source moves its lines and borders. This stage
keeps, pixel by pixel, what the last cartoon showed where the source has not changed, and lets go
where it has. It needs no network and no optical flow. Batching, padding and blending with the
source are in `toonvid.stylizing.stylizer`.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from toonvid.video import Pixels

WARM_UP_FRAMES = 4
"""Frames at the end of a segment from which the state at the next one's start is made. More of them
make the start smoother, and cost as many stylized frames when a conversion resumes."""

_CHANGE_LEVELS = 7.0  # difference of the source, in levels of 255, at which 1/e of the hold is left
_BOX = 3  # side of the mean over the halved difference: 6 pixels of the frame, against noise
_CUT_SHARE = 0.08  # below this mean share of held pixels, the frame begins a new scene
_BAND_ROWS = 48  # rows blended at a time, so that intermediate values stay in the CPU's cache


class SteadyStage:
    """State of the stage: the last cartoon, and the source frame at which it was drawn.

    The kept source frame is blended with the same weights as the cartoon. A slow change, such as
    dusk, therefore adds up against it until the cartoon follows, instead of being held forever.
    """

    def __init__(self, steady: float) -> None:
        """Set how much of the last cartoon is kept.

        Args:
            steady: Share of the last cartoon where the source did not change at all, in 0..1. 0
                gives every cartoon as it is.
        """
        self._weights = _weight_table(steady)
        self._is_on = steady > 0
        self._kept_source: Pixels | None = None  # (ceil(H / 2), ceil(W / 2), 3)
        self._last_cartoon: Pixels | None = None  # (H, W, 3)
        self._recent: deque[tuple[Pixels, Pixels]] = deque(maxlen=WARM_UP_FRAMES)

    def apply(self, source: Pixels, cartoon: Pixels) -> Pixels:
        """Give the cartoon of the next frame without its flicker.

        Args:
            source: The source frame, (H, W, 3), uint8, RGB.
            cartoon: What the generator made of it, same shape and type. Not changed.

        Returns:
            The steady cartoon, same shape and type. The stage keeps it too: do not write to it.
        """
        if not self._is_on:
            return cartoon
        self._recent.append((source, cartoon))
        return self._apply(source, cartoon)

    def begin_segment(self) -> None:
        """Make the state anew from the last frames of the segment that ends here.

        The state then depends on those `WARM_UP_FRAMES` frames alone, or on fewer where the segment
        had fewer, so that a run that resumes here, or another machine, comes to the same state.
        """
        recent = list(self._recent)
        self._recent.clear()
        self._kept_source = self._last_cartoon = None
        for source, cartoon in recent:
            self._apply(source, cartoon)

    def _apply(self, source: Pixels, cartoon: Pixels) -> Pixels:
        halved = source[::2, ::2]
        last, kept = self._last_cartoon, self._kept_source
        if last is None or kept is None or last.shape != cartoon.shape:
            return self._reset(halved, cartoon)
        weights = self._weights[_mean_difference(halved, kept)]
        if weights.mean() < _CUT_SHARE * 256:
            return self._reset(halved, cartoon)
        self._kept_source = _blended(halved, kept, weights)
        wide = weights.repeat(2, axis=0)[: cartoon.shape[0]].repeat(2, axis=1)
        self._last_cartoon = _blended(cartoon, last, wide[:, : cartoon.shape[1]])
        return self._last_cartoon

    def _reset(self, halved: Pixels, cartoon: Pixels) -> Pixels:
        """Begin a scene: nothing is kept of the frames before."""
        self._kept_source, self._last_cartoon = halved.copy(), cartoon
        return cartoon


def _weight_table(steady: float) -> NDArray[np.uint16]:
    """Weight of the last cartoon, in 1/256, for each difference of the source in levels."""
    levels = np.arange(256)
    weights = steady * np.exp(-((levels / _CHANGE_LEVELS) ** 2))
    return np.round(256 * weights).astype(np.uint16)


def _mean_difference(frame: Pixels, kept: Pixels) -> Pixels:
    """The largest difference of the three channels, as a mean over a box.

    Args:
        frame: Shape (H, W, 3), uint8.
        kept: Same shape.

    Returns:
        Levels, shape (H, W), uint8.
    """
    # uint8 has no sign: the larger value minus the smaller one is the difference.
    difference = np.maximum(frame, kept) - np.minimum(frame, kept)
    largest = np.maximum(np.maximum(difference[..., 0], difference[..., 1]), difference[..., 2])
    margin = _BOX // 2
    padded = np.pad(largest, margin, mode="edge").astype(np.uint16)
    height, width = largest.shape
    total = np.zeros((height, width), np.uint16)
    for down in range(_BOX):
        for right in range(_BOX):
            total += padded[down : down + height, right : right + width]
    return (total // _BOX**2).astype(np.uint8)


def _blended(frame: Pixels, last: Pixels, weights: NDArray[np.uint16]) -> Pixels:
    """frame + weights / 256 (last - frame), rounded; (H, W, 3) with weights (H, W)."""
    blended = np.empty(frame.shape, np.uint8)
    for top in range(0, frame.shape[0], _BAND_ROWS):
        band = slice(top, top + _BAND_ROWS)
        weight = weights[band].repeat(3, axis=1).reshape(*weights[band].shape, 3)
        # 255 * 256 + 128 fits uint16, and the two weights add up to 256.
        mixed = frame[band] * (256 - weight)
        mixed += last[band] * weight
        mixed += 128
        mixed >>= 8
        blended[band] = mixed
    return blended
