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

from toonvid.ffmpeg.masked_merge import WHOLE, MaskedMerge
from toonvid.stylizing.blending import CartoonBlender
from toonvid.stylizing.cell_sums import CELL, Luma
from toonvid.stylizing.changes import find_changes
from toonvid.stylizing.motion import Vectors, find_motion
from toonvid.stylizing.moving import FRACTION, Bytes, KeptFrame, Mover, repeat_bytes
from toonvid.stylizing.reduced import reduce_frame
from toonvid.video import LARGE_FRAME_PIXELS, Pixels

WARM_UP_FRAMES = 4
"""Frames at the end of a segment from which the state at the next one's start is made. More of them
make the start smoother, and cost as many stylized frames when a conversion resumes."""

_WARM_UP_LARGE_FRAMES = 1  # of which four would take gigabytes
_BILINEAR_PIXELS = 640 * 480  # in larger frames a fifth of a pixel hardly shows
_CELL = 2 * CELL  # pixels: motion is found at half the size
_WEIGHT_SIDE = 4  # pixels: changes are found at a quarter of the size
_CHANGE_LEVELS = 20.0  # change of the source, in levels of 255, at which 1/e of the hold is left
_CUT_SHARE = 0.08  # below this mean share of held pixels, the frame begins a new scene


def warm_up_frames(height: int, width: int) -> int:
    """Return `WARM_UP_FRAMES` for frames of a size in pixels: fewer where they are large."""
    return _WARM_UP_LARGE_FRAMES if height * width > LARGE_FRAME_PIXELS else WARM_UP_FRAMES


@dataclass(frozen=True)
class _State:
    """What is kept of the last frame."""

    luma: Luma
    """The source's green channel at half the size, from which motion is found."""
    kept_source: KeptFrame
    """The source at a quarter of the size, blended with the same weights as the cartoon. A slow
    change, such as dusk, therefore adds up against it until the cartoon follows, instead of being
    held forever."""
    cartoon: KeptFrame
    """The steady cartoon."""


class _Workspace:
    """What moves and blends frames of one size, with its memory."""

    def __init__(self, height: int, width: int) -> None:
        self.size = (height, width)
        is_bilinear = height * width <= _BILINEAR_PIXELS
        small_height, small_width = -(-height // _WEIGHT_SIDE), -(-width // _WEIGHT_SIDE)
        self._mover = Mover(small_height, small_width, 4, _CELL // _WEIGHT_SIDE, is_bilinear)
        self._merge = MaskedMerge(small_height, 4 * small_width)
        self.blender = CartoonBlender(height, width, _CELL, _WEIGHT_SIDE, is_bilinear)

    def keep_source(self, quarter: Pixels) -> KeptFrame:
        """Copy the source with which a scene begins, at a quarter of the size."""
        kept = self._mover.empty()
        kept.pixels[...] = quarter
        return kept

    def move_source(self, kept: KeptFrame, vectors: Vectors) -> Pixels:
        """The kept source, moved along vectors of the cartoon; same shape."""
        small = np.rint(vectors / np.float32(_WEIGHT_SIDE)).astype(np.int32)
        moved = np.empty_like(kept.rows)
        for row, whole_cells in enumerate(self._mover.rows(kept, self._mover.fit(small))):
            some = moved[row :: self._mover.cell]
            some[...] = whole_cells[: len(some), : moved.shape[1]]
        return moved.reshape(kept.pixels.shape)

    def blend_source(self, quarter: Pixels, moved: Pixels, weights: Bytes) -> KeptFrame:
        """The source and the moved one, blended as the cartoons are."""
        kept = self._mover.empty()
        one, other = (each.reshape(kept.rows.shape) for each in (quarter, moved))
        kept.rows[...] = self._merge(one, other, repeat_bytes(weights, 4))
        return kept


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
        self._workspace: _Workspace | None = None
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
        if self._workspace is None or self._workspace.size != source.shape[:2]:
            self._workspace, self._last = _Workspace(*source.shape[:2]), None
        space, reduced, last = self._workspace, reduce_frame(source), self._last
        if last is not None:
            # A pixel at half the size is two of the cartoon's.
            vectors = find_motion(last.luma, reduced.luma, 2 * FRACTION)
            moved_source = space.move_source(last.kept_source, vectors)
            weights = self._weights.take(find_changes(reduced.quarter, moved_source))
            if weights.mean() >= _CUT_SHARE * WHOLE:
                kept_source = space.blend_source(reduced.quarter, moved_source, weights)
                steady = space.blender.blend(cartoon, last.cartoon, vectors, weights)
                self._last = _State(reduced.luma, kept_source, steady)
                return steady.pixels
        self._last = _State(
            reduced.luma, space.keep_source(reduced.quarter), space.blender.keep(cartoon)
        )
        return cartoon


def _weight_table(steady: float) -> Bytes:
    """Weight of the last cartoon, in 1/255, for each change in 8/9 levels."""
    levels = np.arange(256) * (8 / 9)
    weights = steady * np.exp(-((levels / _CHANGE_LEVELS) ** 2))
    table: Bytes = np.round(WHOLE * weights).astype(np.uint8)
    return table
