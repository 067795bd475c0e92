"""Frames with four bytes a pixel, and how they are moved and blended.

NumPy fetches numbers of four bytes several times faster than groups of three. Frames (H, W, 3) go
in and come out; the fourth byte means nothing. Where motion comes from (`toonvid.stylizing.motion`)
and how much of a moved frame is kept (`toonvid.stylizing.steady`) is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toonvid.stylizing.motion import FRACTION, Vectors, cell_offsets, column_repeats, keep_inside
from toonvid.video import Pixels

_WHOLE = 256  # sum of the weights of a blend: 255 * 256 + 128 fits 16 bits
_FRACTION_BITS = 4  # FRACTION is 2 to the power of this
_BAND_PIXELS = 40960  # moved at a time, so that intermediate values stay in the CPU's cache
_NEAR_PIXELS = 2  # distance at which a color has to be found in the present frame
_NEAR_LEVELS = 8  # levels by which a moved color may be beyond those near it


@dataclass(frozen=True)
class PackedFrame:
    """Pixels of one frame, as numbers of four bytes: red, green, blue and one without a meaning."""

    height: int
    """In pixels."""
    width: int
    """In pixels."""
    values: NDArray[np.uint32]
    """Row by row, then a row and a pixel of zeros: interpolation reads a neighbor on the right and
    below also where its weight is 0."""

    @classmethod
    def pack(cls, pixels: Pixels, step: int = 1) -> PackedFrame:
        """Copy a frame, or every pixel of every `step` in both directions.

        Args:
            pixels: Shape (H, W, 3), uint8.
            step: Distance of the pixels taken; 2 gives a frame of half the size.
        """
        pixels = np.ascontiguousarray(pixels)
        height, width = (-(-side // step) for side in pixels.shape[:2])
        packed = cls.empty(height, width)
        values = packed.values[: height * width].reshape(height, width)
        row_bytes, pixel_bytes = step * pixels.shape[1] * 3, step * 3
        # Four bytes are read for each pixel of three, which for the last pixel would end outside.
        values[:-1] = np.ndarray(
            (height - 1, width), np.uint32, pixels, strides=(row_bytes, pixel_bytes)
        )
        values[-1, :-1] = np.ndarray(
            (width - 1,), np.uint32, pixels, (height - 1) * row_bytes, (pixel_bytes,)
        )
        packed.channels()[-1, -1, :3] = pixels[(height - 1) * step, (width - 1) * step]
        return packed

    @classmethod
    def empty(cls, height: int, width: int) -> PackedFrame:
        """A frame whose pixels are still to be set."""
        values = np.empty(height * width + width + 1, np.uint32)
        values[height * width :] = 0
        return cls(height, width, values)

    def unpack(self) -> Pixels:
        """The frame, (H, W, 3)."""
        channels = self.channels()
        pixels = np.empty((self.height, self.width, 3), np.uint8)
        for channel in range(3):  # one by one: a third of the time that all three at once take
            pixels[..., channel] = channels[..., channel]
        return pixels

    def channels(self) -> Pixels:
        """Bytes of the pixels, (H, W, 4); not a copy."""
        return self.rows(slice(0, self.height)).reshape(self.height, self.width, 4)

    def rows(self, rows: slice) -> Pixels:
        """Bytes of some rows, (rows, 4 W); not a copy."""
        values = self.values[rows.start * self.width : rows.stop * self.width]
        return values.view(np.uint8).reshape(-1, 4 * self.width)


def move(last: PackedFrame, vectors: Vectors, cell: int) -> PackedFrame:
    """Fetch each cell of a frame from where it was in the last one.

    Pixels between pixels are interpolated bilinearly. A vector that leads out of the frame is
    shortened, so that its cell is fetched from inside.

    Args:
        last: The last frame.
        vectors: In 1 / FRACTION pixels.
        cell: Side of a cell in pixels.
    """
    result = PackedFrame.empty(last.height, last.width)
    for rows, moved, _ in _moved_bands(last, vectors, cell):
        result.rows(rows)[...] = moved
    return result


def blend(frame: PackedFrame, last: PackedFrame, weights: NDArray[np.uint16]) -> PackedFrame:
    """frame + weights / 256 (last - frame), rounded.

    Args:
        frame: The present frame.
        last: The last frame, same size.
        weights: In 1/256, (H, W).
    """
    result = PackedFrame.empty(frame.height, frame.width)
    step = max(1, _BAND_PIXELS // frame.width)
    for top in range(0, frame.height, step):
        rows = slice(top, min(top + step, frame.height))
        share = weights[rows].repeat(4, axis=1)
        result.rows(rows)[...] = _mix(frame.rows(rows), last.rows(rows), share)
    return result


def blend_moved(
    frame: PackedFrame,
    last: PackedFrame,
    vectors: Vectors,
    cell: int,
    weights: NDArray[np.uint16],
) -> PackedFrame:
    """frame + weights / 256 (moved - frame), rounded, where moved is the last frame as in `move`.

    Where a cell or one beside it moves, what the last frame shows there is brought into the range
    of the colors that the present frame has around a pixel (Karis, 2014, does so against ghosts in
    games): a line that moves with the wrong cell would be seen where there is none.

    Args:
        frame: The present frame.
        last: The last frame, same size.
        vectors: In 1 / FRACTION pixels.
        cell: Side of a cell in pixels, even.
        weights: In 1/256, for squares of 2 x 2 pixels, (ceil(H / 2), ceil(W / 2)).
    """
    result = PackedFrame.empty(frame.height, frame.width)
    for rows, moved, near_motion in _moved_bands(last, vectors, cell):
        count = rows.stop - rows.start
        share = weights[rows.start // 2 : -(-rows.stop // 2)].repeat(8, axis=1)
        share = share[:, : 4 * frame.width]
        if near_motion is not None:
            moved = _clip_to_near_colors(moved, frame, rows, cell, near_motion)
        pairs = (count // 2, 2, 4 * frame.width) if count % 2 == 0 else (count, 1, 4 * frame.width)
        share = share[:, None] if count % 2 == 0 else share.repeat(2, axis=0)[:count, None]
        mixed = _mix(frame.rows(rows).reshape(pairs), moved.reshape(pairs), share)
        result.rows(rows)[...] = mixed.reshape(count, -1)
    return result


def _mix(frame: Pixels, last: Pixels, share: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """frame + share / 256 (last - frame), rounded."""
    mixed = last * share
    mixed += frame * (_WHOLE - share)
    mixed += _WHOLE // 2
    mixed >>= 8
    return mixed


def _moved_bands(
    last: PackedFrame, vectors: Vectors, cell: int
) -> Iterator[tuple[slice, Pixels, NDArray[np.bool_] | None]]:
    """Yields the moved frame by bands, from the top to the bottom.

    Yields:
        Which rows they are; their bytes, (rows, 4 W), not to be changed; and which cells move or
        are beside one that does, (rows of cells, columns), or None where there is none.
    """
    height, width = last.height, last.width
    vectors = keep_inside(vectors, cell, (height, width), FRACTION)
    offsets = cell_offsets(vectors >> _FRACTION_BITS, cell, width)
    fractions = (vectors & (FRACTION - 1)).astype(np.uint16)
    near_motion = _beside((vectors != 0).any(axis=2))
    bytes_of_cells = 4 * column_repeats(vectors.shape[1], cell, width)
    # The last row of cells may be higher than the others, and is a band of its own.
    regular = len(vectors) - 1
    group = max(1, _BAND_PIXELS // (cell * width))
    starts = [*range(0, regular, group), regular]
    for start, stop in zip(starts, [*starts[1:], len(vectors)], strict=True):
        rows = slice(start * cell, height if stop > regular else stop * cell)
        if not vectors[start:stop].any():
            is_near = near_motion[start:stop].any()
            yield rows, last.rows(rows), near_motion[start:stop] if is_near else None
            continue
        # Each row of cells with the row below it, to which its last pixels may be interpolated.
        cell_rows = (rows.stop - rows.start) // (stop - start) + 1
        first = np.arange(start, stop)[:, None] * (cell * width) + np.arange(cell_rows) * width
        index = (offsets[start:stop, None] + np.arange(width)) + first[:, :, None]
        across, down = (
            fractions[start:stop, None, :, axis].repeat(bytes_of_cells, axis=2) for axis in (0, 1)
        )
        moved = _interpolate(last.values, index, across, down)
        yield rows, moved.reshape(-1, 4 * width), near_motion[start:stop]


def _beside(moving: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Cells that are set, and the eight around each."""
    padded = np.pad(moving, 1)
    rows = padded[:-2] | padded[1:-1] | padded[2:]
    beside: NDArray[np.bool_] = rows[:, :-2] | rows[:, 1:-1] | rows[:, 2:]
    return beside


def _interpolate(
    values: NDArray[np.uint32],
    index: NDArray[np.intp],
    across: NDArray[np.uint16],
    down: NDArray[np.uint16],
) -> Pixels:
    """Fetch pixels and interpolate them, to the right first and then down.

    Args:
        values: Those of a packed frame.
        index: Where pixels are fetched, (rows of cells, cell + 1, W).
        across, down: In 1 / FRACTION pixels, for each byte, (rows of cells, 1, 4 W).

    Returns:
        Bytes, (rows of cells, cell, 4 W).
    """
    row: Pixels = values.take(index, mode="clip").view(np.uint8)
    wide = row * (FRACTION - across)
    if across.any():
        wide += values[1:].take(index, mode="clip").view(np.uint8) * across
    moved = wide[:, :-1] * (FRACTION - down)
    if down.any():
        moved += wide[:, 1:] * down
    moved += _WHOLE // 2
    moved >>= 8
    return moved.astype(np.uint8)


def _clip_to_near_colors(
    moved: Pixels, frame: PackedFrame, rows: slice, cell: int, near_motion: NDArray[np.bool_]
) -> Pixels:
    """Bring moved bytes, (rows, 4 W), between those near them in the present frame, channel by
    channel, in the cells that move and those beside them.

    Near are 6 rows, and every second one of 5 columns: the lines of a cartoon are wider than one.
    """
    count = rows.stop - rows.start
    wanted = np.arange(rows.start - _NEAR_PIXELS, rows.stop + count % 2 + _NEAR_PIXELS)
    pixels = frame.values[: frame.height * frame.width].reshape(frame.height, -1)
    near = pixels.take(wanted, axis=0, mode="clip").view(np.uint8)
    lowest, highest = _extremes(near, np.minimum), _extremes(near, np.maximum)
    # Arrays, because NumPy compares bytes with a scalar one by one.
    margin = np.full_like(lowest, _NEAR_LEVELS)
    np.maximum(lowest, margin, out=lowest)
    lowest -= margin
    np.minimum(highest, ~margin, out=highest)
    highest += margin
    if not near_motion.all():
        repeats = 4 * column_repeats(near_motion.shape[1], cell, frame.width)
        still = np.uint8(255) * ~near_motion.repeat(repeats, axis=1)[:, None]
        for_cells = (len(near_motion), -1, 4 * frame.width)
        lowest.reshape(for_cells)[...] &= ~still
        highest.reshape(for_cells)[...] |= still
    if count % 2 == 0:
        pairs = moved.reshape(count // 2, 2, -1)
        clipped = np.minimum(np.maximum(pairs, lowest[:, None]), highest[:, None])
        return clipped.reshape(count, -1)
    lowest, highest = (each.repeat(2, axis=0)[:count] for each in (lowest, highest))
    return np.minimum(np.maximum(moved, lowest), highest)


def _extremes(near: Pixels, extreme: np.ufunc) -> Pixels:
    """Lowest or highest bytes around each pair of rows, (rows / 2 - 2, 4 W)."""
    pairs: Pixels = extreme(near[::2], near[1::2])
    high: Pixels = extreme(pairs[:-2], pairs[1:-1])
    extreme(high, pairs[2:], out=high)
    wide = high.copy()
    reach = 4 * _NEAR_PIXELS
    extreme(wide[:, reach:], high[:, :-reach], out=wide[:, reach:])
    extreme(wide[:, :-reach], high[:, reach:], out=wide[:, :-reach])
    return wide
