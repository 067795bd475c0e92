"""Frames become cartoon frames, through a backend.

Frames of a source go in, in order; the same frames with a cartoon's pixels come out, at the same
times. This stage forms batches, brings them to the size at which they are drawn and to the sides
that the engine takes, undoes both, and mixes the cartoon with its source. How an engine is run
(`toonvid.backends`) and how flicker is removed (`toonvid.stylizing.steady`) are left out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from typing import TypeAlias

import numpy as np

from toonvid.backends import Backend
from toonvid.stylizing.compare import compose_comparison
from toonvid.stylizing.drawing_size import drawing_size
from toonvid.stylizing.options import StylizeOptions
from toonvid.stylizing.resize import resize
from toonvid.stylizing.steady import SteadyStage
from toonvid.video import Frame, Pixels

_BatchesInFlight: TypeAlias = deque[tuple[list[Frame], Pixels]]
"""Batches that the backend has not returned yet: their frames, and the pixels, (N, H, W, 3)."""

_LUMA_WEIGHTS = (77, 150, 29)  # of red, green and blue: BT.601's 0.299, 0.587, 0.114, in 1/256
_LEVELS = 256  # steps of `strength`: integers of 16 bits hold the products


class Stylizer:
    """Turns the frames of one video into cartoon frames. Used by one thread at a time."""

    def __init__(self, backend: Backend, options: StylizeOptions | None = None) -> None:
        """Uses an open backend, which stays the caller's to close.

        Args:
            backend: Open backend with the engine of the style.
            options: How the style draws, and how the cartoon is mixed with its source; None for
                the cartoon alone.

        Raises:
            ControlError: The style does not have a control of the options, or not such a value.
        """
        self.backend = backend
        self.options = options or StylizeOptions()
        self._controls = backend.engine.card.control_values(self.options.controls)
        self._steady = SteadyStage(self.options.steady)

    def prepare(self, width: int, height: int) -> None:
        """Let the backend begin to get ready for frames of a size in pixels, and return at once."""
        drawn_height, drawn_width = drawing_size(height, width, self.options.quality)
        multiple_of = self.backend.engine.card.multiple_of
        sides = (side + -side % multiple_of for side in (drawn_height, drawn_width))
        self.backend.prepare((self.backend.batch_size, *sides, 3))

    def begin_segment(self, before: Iterable[Frame] = ()) -> None:
        """Begin a part of the video whose cartoons depend on no more than the end of the last part.

        Args:
            before: The last frames of the part before, `steady.warm_up_frames` of them if it had so
                many, where this stylizer has not seen them itself.
        """
        if self.options.steady > 0:
            for _ in self.stylize(before):
                pass
        self._steady.begin_segment()

    def stylize(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """Yields one cartoon frame for each frame, in order.

        Args:
            frames: Frames of one size, (H, W, 3); any H and W. Some are read ahead: as many as the
                backend works on at the same time.

        Yields:
            Frames with the source's pts, time base, duration and opacity. With `options.compare`
            they are wider or higher, because they show both.

        Raises:
            BackendError: The backend fails.
        """
        in_flight: _BatchesInFlight = deque()
        batches = self._batches(iter(frames), in_flight)
        for padded_cartoons in self.backend.stream(batches, self._controls):
            batch, sources = in_flight.popleft()
            cartoons = self._at_source_size(sources, padded_cartoons)
            for source, drawn in zip(batch, cartoons, strict=True):
                # Before the source is mixed in, which is as it is now and must not lag.
                steady = self._steady.apply(source.pixels, drawn)
                cartoon = replace(source, pixels=self._mix(source.pixels, steady))
                yield compose_comparison(source, cartoon, self.options.compare)

    def _batches(self, frames: Iterator[Frame], in_flight: _BatchesInFlight) -> Iterator[Pixels]:
        """Yields padded batches (N, H, W, 3) for the engine, and notes which frames are in them."""
        while batch := list(islice(frames, self.backend.batch_size)):
            sources = _stack(batch)
            in_flight.append((batch, sources))
            drawn = _resize_all(sources, *self._drawing_size(sources))
            yield pad_to_multiple(drawn, self.backend.engine.card.multiple_of)

    def _at_source_size(self, sources: Pixels, padded_cartoons: Pixels) -> Pixels:
        """Cuts the padding off and resizes; returns (N, H, W, 3)."""
        height, width = self._drawing_size(sources)
        cartoons = _resize_all(padded_cartoons[:, :height, :width], *sources.shape[1:3])
        return np.ascontiguousarray(cartoons)

    def _mix(self, source: Pixels, cartoon: Pixels) -> Pixels:
        """Mixes a cartoon with its source as the options ask; (H, W, 3) each."""
        if self.options.keep_color:
            cartoon = _keep_source_color(source, cartoon)
        if self.options.strength < 1:
            cartoon = _blend(source, cartoon, self.options.strength)
        return cartoon

    def _drawing_size(self, sources: Pixels) -> tuple[int, int]:
        height, width = sources.shape[1:3]
        return drawing_size(height, width, self.options.quality)


def _resize_all(frames: Pixels, height: int, width: int) -> Pixels:
    """A batch in another size, (N, height, width, 3); the same array where it has that size."""
    if frames.shape[1:3] == (height, width):
        return frames
    return np.stack([resize(frame, width, height) for frame in frames])


def pad_to_multiple(frames: Pixels, multiple_of: int) -> Pixels:
    """Reflects the right and lower edges until both sides are multiples of a number.

    Reflection, because black or repeated edge pixels would be edges that the generator draws.

    Args:
        frames: Shape (N, H, W, 3), uint8.
        multiple_of: What H and W must be multiples of.

    Returns:
        Shape (N, H', W', 3); the same array where nothing is missing.
    """
    height, width = frames.shape[1:3]
    below, right = -height % multiple_of, -width % multiple_of
    if not below and not right:
        return frames
    return np.pad(frames, ((0, 0), (0, below), (0, right), (0, 0)), mode="reflect")


def _stack(batch: list[Frame]) -> Pixels:
    """The pixels of a batch, (N, H, W, 3); those of a single frame are not copied."""
    if len(batch) == 1:
        return batch[0].pixels[None]
    return np.stack([frame.pixels for frame in batch])


def _keep_source_color(source: Pixels, cartoon: Pixels) -> Pixels:
    """Moves each source pixel by the cartoon's luma less its own; (H, W, 3) each.

    All channels move by the same amount, so that the color differences R - Y and B - Y stay, which
    a conversion to YCbCr and back would do in two roundings.
    """
    luma_change = _luma(cartoon) - _luma(source)
    return np.clip(source + luma_change[..., None], 0, 255).astype(np.uint8)


def _luma(pixels: Pixels) -> np.ndarray[tuple[int, ...], np.dtype[np.int16]]:
    """Y of BT.601, (H, W), 0..255, rounded down."""
    weighted = sum(
        pixels[..., channel].astype(np.uint16) * np.uint16(weight)
        for channel, weight in enumerate(_LUMA_WEIGHTS)
    )
    return (np.asarray(weighted, np.uint16) >> 8).astype(np.int16)


def _blend(source: Pixels, cartoon: Pixels, strength: float) -> Pixels:
    """Weighted mean of source and cartoon, in 16-bit integers: half the memory of float32."""
    share = round(strength * _LEVELS)
    mixed = source * np.uint16(_LEVELS - share) + cartoon * np.uint16(share)
    return ((mixed + np.uint16(128)) >> 8).astype(np.uint8)
