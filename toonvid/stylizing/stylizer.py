"""Stylize: frames become cartoon frames, through a backend."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from typing import TypeAlias

import numpy as np

from toonvid.backends import Backend
from toonvid.stylizing.compare import compose_comparison
from toonvid.stylizing.options import StylizeOptions
from toonvid.video import Frame, Pixels

_Batches: TypeAlias = deque[tuple[list[Frame], Pixels]]
"""Batches that a backend has not given back yet, each with its pixels, (N, H, W, 3)."""

_LUMA_WEIGHTS = (77, 150, 29)  # BT.601, of 256


class Stylizer:
    """Turns frames into cartoons: batches them, pads them to what the engine takes, blends."""

    def __init__(self, backend: Backend, options: StylizeOptions | None = None) -> None:
        """Remember what runs.

        Args:
            backend: Open.
            options: None for the whole cartoon alone.
        """
        self.backend = backend
        self.options = options or StylizeOptions()

    def stylize(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """Yield a cartoon for each frame, in order, at the same time and with the same opacity."""
        under_way: _Batches = deque()  # a backend may have several in flight
        for whole in self.backend.stream(self._batches(iter(frames), under_way)):
            batch, sources = under_way.popleft()
            cartoons = self._finished(sources, whole)
            for source, pixels in zip(batch, cartoons, strict=True):
                yield compose_comparison(
                    source, replace(source, pixels=pixels), self.options.compare
                )

    def _batches(self, frames: Iterator[Frame], under_way: _Batches) -> Iterator[Pixels]:
        """Yield what the engine takes, (N, H, W, 3), and remember of which frames it is made."""
        while batch := list(islice(frames, self.backend.batch_size)):
            sources = _stacked(batch)
            under_way.append((batch, sources))
            yield pad_to_multiple(sources, self.backend.engine.card.multiple_of)

    def _finished(self, sources: Pixels, whole: Pixels) -> Pixels:
        """Cut the padding off the cartoons and blend; shape (N, H, W, 3) in and out."""
        height, width = sources.shape[1:3]
        cartoons = whole[:, :height, :width]
        if self.options.keep_color:
            cartoons = _with_color_of(sources, cartoons)
        if self.options.strength < 1:
            cartoons = _blended(sources, cartoons, self.options.strength)
        return np.ascontiguousarray(cartoons)


def _stacked(batch: list[Frame]) -> Pixels:
    """Shape (N, H, W, 3); a batch of one is looked at, not copied."""
    if len(batch) == 1:
        return batch[0].pixels[None]
    return np.stack([frame.pixels for frame in batch])


def pad_to_multiple(frames: Pixels, multiple_of: int) -> Pixels:
    """Frames (N, H, W, 3), their right and lower edges reflected until both sides are multiples."""
    height, width = frames.shape[1:3]
    below, right = -height % multiple_of, -width % multiple_of
    if not below and not right:
        return frames
    return np.pad(frames, ((0, 0), (0, below), (0, right), (0, 0)), mode="reflect")


def _with_color_of(sources: Pixels, cartoons: Pixels) -> Pixels:
    """Light and dark of the cartoons, colour differences of the sources."""
    darker = _luma(cartoons) - _luma(sources)
    return np.clip(sources + darker[..., None], 0, 255).astype(np.uint8)


def _luma(frames: Pixels) -> np.ndarray[tuple[int, ...], np.dtype[np.int16]]:
    weighted = sum(
        frames[..., channel].astype(np.uint16) * np.uint16(weight)
        for channel, weight in enumerate(_LUMA_WEIGHTS)
    )
    return (np.asarray(weighted, np.uint16) >> 8).astype(np.int16)


def _blended(sources: Pixels, cartoons: Pixels, strength: float) -> Pixels:
    share = round(strength * 256)
    mixed = sources * np.uint16(256 - share) + cartoons * np.uint16(share)
    return ((mixed + np.uint16(128)) >> 8).astype(np.uint8)
