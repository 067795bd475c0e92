"""Weighted means of two images by FFmpeg's filter `maskedmerge`, with a weight for each byte.

NumPy has no product of bytes that keeps its upper half, so that a mean takes it a dozen passes over
numbers of 16 bits. The filter takes one, in vector code where the CPU has some, with the same
result everywhere.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from av.filter.graph import Graph
from av.video.frame import VideoFrame
from numpy.typing import NDArray

WHOLE = 255
"""Weight that gives the other image alone."""


class MaskedMerge:
    """A filter graph for images of one size. Used by one thread at a time."""

    def __init__(self, height: int, width: int) -> None:
        """Build the graph, which takes a third of a millisecond.

        Args:
            height: In rows.
            width: In bytes.
        """
        self._width = width
        self._graph = graph = Graph()
        graph.threads = 1  # splitting a tenth of a millisecond costs more than it gains
        size = f"video_size={width}x{height}:pix_fmt=gray:time_base=1/1"
        self._sources = [graph.add("buffer", size) for _ in range(3)]
        merge, self._sink = graph.add("maskedmerge"), graph.add("buffersink")
        for position, source in enumerate(self._sources):
            source.link_to(merge, 0, position)
        merge.link_to(self._sink)
        graph.configure()
        self._pts = 0

    def __call__(
        self, base: NDArray[np.uint8], other: NDArray[np.uint8], weights: NDArray[np.uint8]
    ) -> NDArray[np.uint8]:
        """(base (255 - weights) + other weights + 127) / 255, rounded down.

        Args:
            base: Shape (height, width); rows may be apart, or all the same one.
            other: Likewise.
            weights: Those of `other`, in 1/255, likewise.

        Returns:
            Shape (height, width), in memory of its own, rows apart.
        """
        time_base = Fraction(1)
        for source, image in zip(self._sources, (base, other, weights), strict=True):
            frame = VideoFrame.from_numpy_buffer(image, format="gray")
            frame.pts, frame.time_base = self._pts, time_base
            source.push(frame)
        self._pts += 1
        merged = self._sink.pull()
        assert isinstance(merged, VideoFrame)
        plane = merged.planes[0]
        memory: NDArray[np.uint8] = np.frombuffer(memoryview(plane), np.uint8)
        merged_rows = memory.reshape(plane.height, plane.line_size)[:, : self._width]
        return merged_rows
