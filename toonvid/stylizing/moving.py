"""Frames of which each cell is fetched from where it was in the last one.

The bytes of a last frame and vectors go in; the bytes of the moved frame come out, by bands of
rows. Where vectors come from (`toonvid.stylizing.motion`) and how much of a moved frame is kept
(`toonvid.stylizing.steady`) is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from toonvid.ffmpeg.masked_merge import WHOLE, MaskedMerge
from toonvid.stylizing.motion import Vectors
from toonvid.video import Pixels

FRACTION = 15  # steps of a pixel in vectors; weights are 255ths, and 255 is a multiple of it

_BAND_BYTES = 1 << 20  # moved at a time, so that intermediate values stay in the CPU's cache

Bytes: TypeAlias = NDArray[np.uint8]
_Index: TypeAlias = NDArray[np.intp]
_Pair: TypeAlias = tuple[_Index, _Index, Bytes]
"""For each cell: two pixels at which fetching begins, and the weight of what the second gives."""


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


@dataclass(frozen=True)
class MovedBand:
    """Some rows of a moved frame: whole cells, also where they reach beyond the frame."""

    cells: slice
    """Rows of cells."""
    rows: Bytes
    """(rows, bytes), at least as wide as the frame. The next band overwrites it. Where none of the
    cells moves, it is the last frame's own memory."""


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
        self._band_cells = min(self.grid[0], max(1, _BAND_BYTES // (cell * self._row_bytes)))
        self._merge = MaskedMerge(cell, self._band_cells * self._row_bytes)
        self._moved = np.empty((self._band_cells, cell, self._row_bytes), np.uint8)
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
        inside = np.empty_like(vectors)
        for axis, side in ((0, self.width), (1, self.height)):
            first = np.arange(0, side, self.cell, dtype=np.int32)
            last = np.minimum(first + self.cell, side).astype(np.int32) - 1
            lowest, highest = -first * FRACTION, (side - 1 - last) * FRACTION
            if axis == 1:
                lowest, highest = lowest[:, None], highest[:, None]
            np.clip(vectors[..., axis], lowest, highest, out=inside[..., axis])
        return inside

    def bands(self, last: KeptFrame, vectors: Vectors) -> Iterator[MovedBand]:
        """Yields the moved frame from the top to the bottom. The last two bands may overlap.

        Args:
            last: The last frame.
            vectors: As `fit` gives them.
        """
        pairs, down = self._pairs(vectors)
        moves: NDArray[np.bool_] = (vectors != 0).any(axis=(1, 2))
        # The last band is moved up instead of being smaller, because merges have one size.
        final = self.grid[0] - self._band_cells
        for start in [*range(0, final, self._band_cells), final]:
            cells = slice(start, start + self._band_cells)
            if not moves[cells].any():
                row_bytes = self.width * self.channels
                begin, end = (row * self.cell * row_bytes for row in (cells.start, cells.stop))
                yield MovedBand(cells, last.memory[begin:end].reshape(-1, row_bytes))
                continue
            moved = self._mix(last, pairs[0], cells)
            if len(pairs) > 1 and down[cells].any():
                lower = self._mix(last, pairs[1], cells)
                moved = self._merge(moved, lower, self._weights(down[cells]))
            by_cells = moved.reshape(self.cell, -1, self._row_bytes)
            self._moved[...] = by_cells.transpose(1, 0, 2)
            yield MovedBand(cells, self._moved.reshape(-1, self._row_bytes))

    def spread(self, cells: Bytes) -> Bytes:
        """Each value of cells for all bytes in a row of the cell, at least as wide as the frame."""
        return repeat_bytes(cells, self.cell * self.channels)

    def _pairs(self, vectors: Vectors) -> tuple[list[_Pair], Bytes]:
        """What is fetched for each cell: one pair, or two and the weight of the second pair."""
        right, down = vectors[..., 0], vectors[..., 1]
        whole_right, whole_down = right // FRACTION, down // FRACTION
        part_right, part_down = right - whole_right * FRACTION, down - whole_down * FRACTION
        start = (whole_down * self.width + whole_right).astype(np.intp)
        start += np.arange(self.grid[1]) * self.cell
        start += np.arange(self.grid[0])[:, None] * (self.cell * self.width)
        across, below = (
            (part * (WHOLE // FRACTION)).astype(np.uint8) for part in (part_right, part_down)
        )
        if self._lines is None:
            under = start + self.width
            return [(start, start + 1, across), (under, under + 1, across)], below
        first, second, weight = (
            line.take(part_down * FRACTION + part_right) for line in self._lines
        )
        return [(start + first, start + second, weight.astype(np.uint8))], below

    def _mix(self, last: KeptFrame, pair: _Pair, cells: slice) -> Bytes:
        """Rows of cells: the first rows of all cells, then their second rows, and so on."""
        first, second, weights = pair[0][cells], pair[1][cells], pair[2][cells]
        mixed = self._fetch(last, first)
        if weights.any():
            mixed = self._merge(mixed, self._fetch(last, second), self._weights(weights))
        return mixed

    def _fetch(self, last: KeptFrame, start: _Index) -> Bytes:
        # A row of a cell is fetched as one item, which is several times faster than pixel by pixel.
        item_bytes = self.cell * self.channels
        count = (last.memory.size - item_bytes) // self.channels + 1
        items = np.ndarray((count,), f"V{item_bytes}", last.memory, strides=(self.channels,))
        below = np.arange(self.cell)[:, None, None] * self.width
        fetched: Bytes = items[start + below].view(np.uint8).reshape(self.cell, -1)
        return fetched

    def _weights(self, cells: Bytes) -> Bytes:
        """Each value for all bytes of its cell, as `_mix` orders them: all rows are the same."""
        row = self.spread(cells).reshape(-1)
        return np.broadcast_to(row, (self.cell, row.size))


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
