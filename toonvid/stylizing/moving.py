"""Frames of which each cell is fetched from where it was in the last one.

The bytes of a last frame and vectors go in; the bytes of the moved frame come out: the first rows
of all cells, then their second rows, and so on. Where vectors come from
(`toonvid.stylizing.motion`) and how much of a moved frame is kept (`toonvid.stylizing.steady`) is
left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from toonvid.ffmpeg.masked_merge import WHOLE, MaskedMerge
from toonvid.stylizing.motion import Vectors
from toonvid.video import Pixels

FRACTION = 15  # steps of a pixel in vectors; weights are 255ths, and 255 is a multiple of it

Bytes: TypeAlias = NDArray[np.uint8]
_Index: TypeAlias = NDArray[np.intp]


class KeptFrame:
    """Pixels of a frame, with memory behind them that may be read where weights are 0."""

    def __init__(self, height: int, width: int, channels: int, tail_rows: int) -> None:
        """Reserve memory for a frame whose pixels are still to be set.

        Args:
            height: In pixels.
            width: In pixels.
            channels: Bytes of a pixel.
            tail_rows: Rows of zeros behind the last one.
        """
        row_bytes = width * channels
        self.memory = np.empty((height + tail_rows) * row_bytes, np.uint8)
        self.memory[height * row_bytes :] = 0
        self.rows: Bytes = self.memory[: height * row_bytes].reshape(height, row_bytes)
        self.pixels: Pixels = self.rows.reshape(height, width, channels)


class Mover:
    """Moves frames of one size. Used by one thread at a time."""

    def __init__(
        self, height: int, width: int, channels: int, cell: int, is_bilinear: bool
    ) -> None:
        """Reserve memory.

        Args:
            height: In pixels.
            width: In pixels.
            channels: Bytes of a pixel.
            cell: Side of a cell in pixels.
            is_bilinear: Whether a place between pixels is interpolated from the four around it.
                Else from two of them, which takes a third of the time and is up to a fifth of a
                pixel off.
        """
        self.height, self.width, self.channels, self.cell = height, width, channels, cell
        self.grid = (-(-height // cell), -(-width // cell))
        """Rows and columns of cells that cover the frame."""
        self._row_bytes = self.grid[1] * cell * channels
        self._merge = MaskedMerge(self.grid[0], self._row_bytes)
        self._lines = None if is_bilinear else _nearest_lines(width)

    def empty(self) -> KeptFrame:
        """A frame of this size whose pixels are still to be set."""
        # Cells reach below the frame, and interpolation a row and a pixel further.
        tail_rows = self.cell + 1 + -(-self.cell // self.width)
        return KeptFrame(self.height, self.width, self.channels, tail_rows)

    def fit(self, vectors: Vectors) -> Vectors:
        """Give all cells that cover the frame vectors that lead to places inside of it.

        Args:
            vectors: In 1 / FRACTION pixels. The last ones are repeated where some are missing.
        """
        vectors = vectors[: self.grid[0], : self.grid[1]]
        rows, columns = (n - m for n, m in zip(self.grid, vectors.shape[:2], strict=True))
        if rows or columns:
            vectors = np.pad(vectors, ((0, rows), (0, columns), (0, 0)), mode="edge")
        inside = np.empty(vectors.shape, vectors.dtype)  # rows of cells one behind the other
        for axis, side in ((0, self.width), (1, self.height)):
            first = np.arange(0, side, self.cell, dtype=np.int32)
            last = np.minimum(first + self.cell, side).astype(np.int32) - 1
            lowest, highest = -first * FRACTION, (side - 1 - last) * FRACTION
            if axis == 1:
                lowest, highest = lowest[:, None], highest[:, None]
            np.clip(vectors[..., axis], lowest, highest, out=inside[..., axis])
        return inside

    def rows(self, last: KeptFrame, vectors: Vectors) -> Iterator[Bytes]:
        """Yields rows 0, cell, 2 cell and so on of the moved frame, then rows 1, cell + 1, ...

        Args:
            last: The last frame.
            vectors: As `fit` gives them.

        Yields:
            As many times as a cell has rows: (rows of cells, bytes), at least as wide as the frame.
            Rows below the frame are included. It may be the last frame's own memory.
        """
        if not vectors.any():
            whole = last.memory[: self.grid[0] * self.cell * last.rows.shape[1]]
            yield from whole.reshape(self.grid[0], self.cell, -1).transpose(1, 0, 2)
            return
        first, second, across, below = self._pairs(vectors)
        across, below = (self.spread(each) for each in (across, below))
        has_below = below.any()
        mixed = self._mix(last, first, second, across)
        for row in range(1, self.cell + 1):
            if not has_below and row == self.cell:
                yield mixed
                return
            offset = row * self.width
            under = self._mix(last, first + offset, second + offset, across)
            yield self._merge(mixed, under, below) if has_below else mixed
            mixed = under

    def spread(self, cells: Bytes) -> Bytes:
        """Each value of cells for all bytes in a row of the cell, at least as wide as the frame."""
        return repeat_bytes(cells, self.cell * self.channels)

    def _pairs(self, vectors: Vectors) -> tuple[_Index, _Index, Bytes, Bytes]:
        """For each cell: two pixels at which fetching begins, the weight of what the second one
        gives, and the weight of the same one row further down."""
        right, down = vectors[..., 0], vectors[..., 1]
        whole_right, whole_down = right // FRACTION, down // FRACTION
        part_right, part_down = right - whole_right * FRACTION, down - whole_down * FRACTION
        start = (whole_down * self.width + whole_right).astype(np.intp)
        start += np.arange(self.grid[1]) * self.cell
        start += np.arange(self.grid[0])[:, None] * (self.cell * self.width)
        if self._lines is None:
            across, below = (
                (part * (WHOLE // FRACTION)).astype(np.uint8) for part in (part_right, part_down)
            )
            return start, start + 1, across, below
        first, second, weight = (
            line.take(part_down * FRACTION + part_right) for line in self._lines
        )
        across = weight.astype(np.uint8)
        return start + first, start + second, across, np.zeros_like(across)

    def _mix(self, last: KeptFrame, first: _Index, second: _Index, weights: Bytes) -> Bytes:
        """One row of each cell: weighted means of what begins at the first and second pixels."""
        return self._merge(self._fetch(last, first), self._fetch(last, second), weights)

    def _fetch(self, last: KeptFrame, start: _Index) -> Bytes:
        # A row of a cell is fetched as one item, which is several times faster than pixel by pixel.
        item_bytes = self.cell * self.channels
        count = (last.memory.size - item_bytes) // self.channels + 1
        items = np.ndarray((count,), f"V{item_bytes}", last.memory, strides=(self.channels,))
        fetched: Bytes = items[start].view(np.uint8)
        return fetched


def repeat_bytes(values: Bytes, count: int) -> Bytes:
    """Each byte `count` times along the last axis: several at once, as one number."""
    at_once = next(size for size in (8, 4, 2, 1) if count % size == 0)
    number = np.dtype(f"u{at_once}").type
    numbers = values.astype(number) * number(int("01" * at_once, 16))
    repeated: Bytes = numbers.repeat(count // at_once, axis=-1).view(np.uint8)
    return repeated


def _nearest_lines(width: int) -> tuple[_Index, _Index, _Index]:
    """For each place between four pixels, the two of them on whose line it is, or nearly so.

    The line is a side of the square or one of its diagonals.

    Args:
        width: Of the frame, in pixels.

    Returns:
        For FRACTION places in a row, and as many rows: the ways from the upper left pixel to the
        two, in a frame stored row by row, and the weight of the second.
    """
    down, right = np.divmod(np.arange(FRACTION**2), FRACTION)
    far_down, far_right = (2 * part > FRACTION for part in (down, right))
    nothing, one = np.zeros_like(down), np.ones_like(down)
    # Squared distances to lines, in halves of squared steps; then the two pixels, and the weight
    # of the second one in 1 / (2 FRACTION).
    lines = [
        (2 * (down - far_down * FRACTION) ** 2, (far_down, nothing), (far_down, one), 2 * right),
        (2 * (right - far_right * FRACTION) ** 2, (nothing, far_right), (one, far_right), 2 * down),
        ((right - down) ** 2, (nothing, nothing), (one, one), right + down),
        ((right + down - FRACTION) ** 2, (nothing, one), (one, nothing), FRACTION - right + down),
    ]
    nearest = np.argmin([distance for distance, *_ in lines], axis=0)
    first, second = (
        np.choose(nearest, [line[end][0] * width + line[end][1] for line in lines])
        for end in (1, 2)
    )
    weight = np.choose(nearest, [line[3] for line in lines]) * WHOLE // (2 * FRACTION)
    return first.astype(np.intp), second.astype(np.intp), weight.astype(np.intp)
