"""Photos, cartoons and smoothed cartoons as batches; seed and step alone decide their order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from toonvid.video import Pixels
from trainer.cartoons import CartoonCrops
from trainer.palette import Palette, Regrading
from trainer.photos import PhotoCrops
from trainer.pictures import to_tensor

BATCHES_AHEAD = 4

PALETTE_CROPS = 256
"""Crops of each kind that a palette is measured on."""


@dataclass(frozen=True)
class Batch:
    """What one step learns from: (N, 3, H, W) float32 in [-1, 1], each."""

    photos: Tensor
    """p."""
    drawings: Tensor | None = None
    """The same crops of the photos' abstractions, or of what a teacher made of them; None where no
    phase looks at them."""
    cartoons: Tensor | None = None
    """c, unrelated to the photos; None in the initialization phase."""
    smoothed: Tensor | None = None
    """e, the same crops of the cartoons with their edges smoothed."""
    ink: Tensor | None = None
    """Ink of the photos' crops, (N, 1, H, W) float32 in [0, 1], where drawings have layers:
    `drawings` is then their flat color."""

    def to(self, device: torch.device) -> Batch:
        """The same batch on a device."""
        return self._map(lambda pictures: pictures.to(device))

    def part(self, first: int, last: int) -> Batch:
        """Its pictures from number `first` up to `last`, without it."""
        return self._map(lambda pictures: pictures[first:last])

    def middle(self, side: int) -> Batch:
        """The middle of each picture, `side` pixels square."""
        return self._map(lambda pictures: cut_middle(pictures, side))

    def _map(self, change: Callable[[Tensor], Tensor]) -> Batch:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{k: change(v) for k, v in values.items() if v is not None})


class Dataset:
    """The batches of a run."""

    def __init__(
        self,
        photos: PhotoCrops,
        cartoons: CartoonCrops | None,
        batch_size: int,
        adversarial: int,
        cartoon_colours: float = 0.0,
    ) -> None:
        """Put batches together.

        Args:
            photos: Crops for every batch.
            cartoons: Crops for the batches of the adversarial phase; None if there is none.
            batch_size: Crops of each kind in a batch.
            adversarial: Number of the first batch with cartoons.
            cartoon_colours: How far the drawings of those batches are moved to the cartoons'
                palette, 0 to 1.
        """
        self._photos = photos
        self._cartoons = cartoons
        self._batch_size = batch_size
        self._adversarial = adversarial
        self._cartoon_colours = cartoon_colours

    @property
    def skipped(self) -> dict[Path, str]:
        """Pictures that were left out so far, and why."""
        cartoons = self._cartoons.pictures.skipped if self._cartoons else {}
        return self._photos.pictures.skipped | cartoons

    def batches(self, first: int, workers: int) -> Generator[Batch, None, None]:
        """Yield batches without end, prepared ahead on `workers` threads.

        Args:
            first: Number of the first batch, from 0.
            workers: Threads; they only decide how soon a batch is there, never what is in it.

        Yields:
            Batch number `first`, and all after it in order.

        Raises:
            TrainingError: No picture can be used, or the cache cannot be written.
        """
        self._regrading  # noqa: B018  # measured once, before the threads ask for it
        with ThreadPoolExecutor(workers, thread_name_prefix="batches") as pool:
            ahead: deque[Future[Batch]] = deque()
            try:
                for number in range(first, first + BATCHES_AHEAD):
                    ahead.append(pool.submit(self.batch, number))
                while True:
                    number += 1
                    ahead.append(pool.submit(self.batch, number))
                    yield ahead.popleft().result()
            finally:
                pool.shutdown(cancel_futures=True)

    def batch(self, number: int) -> Batch:
        """Batch number `number` (from 0): always the same for the same pictures and seed."""
        photos = _stack(self._photos.crop, number * self._batch_size, self._batch_size)
        drawings = photos[1] if len(photos) > 1 else None
        ink = (photos[2][:, :1] + 1) / 2 if len(photos) > 2 else None
        if number < self._adversarial or not self._cartoons:
            return Batch(photos[0], drawings, ink=ink)
        first = (number - self._adversarial) * self._batch_size
        cartoons, smoothed = _stack(self._cartoons.crop, first, self._batch_size)
        if drawings is not None and self._regrading:
            drawings = self._regrading(drawings)
        return Batch(photos[0], drawings, cartoons, smoothed, ink)

    @cached_property
    def _regrading(self) -> Regrading | None:
        """What moves drawings to the cartoons' palette; None where they keep their own colours."""
        if not self._cartoon_colours or not self._cartoons:
            return None
        drawings = _stack(self._photos.crop, 0, PALETTE_CROPS)[1]
        cartoons = _stack(self._cartoons.crop, 0, PALETTE_CROPS)[0]
        return Regrading.between(Palette.of(drawings), Palette.of(cartoons), self._cartoon_colours)


def cut_middle(pictures: Tensor, side: int) -> Tensor:
    """The middle of square pictures (..., S, S): (..., side, side)."""
    margin = (pictures.shape[-1] - side) // 2
    inner = slice(margin, margin + side)
    return pictures[..., inner, inner]


def _stack(crop: Callable[[int], list[Pixels]], first: int, count: int) -> list[Tensor]:
    """So many crops from number `first` on: a tensor (N, 3, H, W) for each picture of a crop."""
    crops = [crop(index) for index in range(first, first + count)]
    return [to_tensor(np.stack(pictures)) for pictures in zip(*crops, strict=True)]
