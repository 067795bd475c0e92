"""Dataset: photos, drawings, cartoons and smoothed cartoons as batches of tensors.

In: `PhotoCrops` and `CartoonCrops`. Out: `Batch`. The content of a batch depends on its number and
the seed only, so that a resumed run sees the batches of an undisturbed one.
"""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from toonvid.video import Pixels
from trainer.data.cartoons import CartoonCrops
from trainer.data.images import to_tensor
from trainer.data.line_art import LineArtCrops
from trainer.data.photos import PhotoCrops
from trainer.data.share import WHOLE, Share

ColorMatching = Callable[[Tensor, Tensor], Callable[[Tensor], Tensor]]
"""From drawings and cartoons, (N, 3, H, W) each, to the map of the drawings' colors."""

BATCHES_AHEAD = 4
"""Smallest number of batches that are prepared before they are needed."""

Prepared = TypeVar("Prepared")

COLOR_CROPS = 256
"""Number of crops of each kind on which color statistics are measured."""


@dataclass(frozen=True)
class Batch:
    """Input of one training step: tensors (N, 3, H, W) float32 in [-1, 1]."""

    photos: Tensor
    """Photos, p in the paper; or line art, whose `drawings` are the art that it was drawn from."""
    drawings: Tensor | None = None
    """The same crops of the drawings of the photos; None where no phase uses drawings."""
    cartoons: Tensor | None = None
    """Cartoons, c in the paper, not paired with the photos; None in the initialization phase."""
    smoothed: Tensor | None = None
    """The same crops of the cartoons with smoothed edges, e in the paper; None without cartoons."""
    ink: Tensor | None = None
    """Ink layer of the drawings, (N, 1, H, W) in [0, 1]; `drawings` then holds their flat color.
    None where drawings have no layers."""

    def to(self, device: torch.device) -> Batch:
        """Return the batch on a device."""
        return self._map(lambda images: images.to(device, non_blocking=True))

    def pinned(self) -> Batch:
        """Return the batch in memory that a GPU reads without waiting; it needs CUDA."""
        return self._map(lambda images: images.pin_memory())

    def part(self, first: int, last: int) -> Batch:
        """Return the images from index `first` up to, but not including, `last`."""
        return self._map(lambda images: images[first:last])

    def middle(self, side: int) -> Batch:
        """Return the central square of each image, `side` pixels wide."""
        return self._map(lambda images: cut_middle(images, side))

    def _map(self, change: Callable[[Tensor], Tensor]) -> Batch:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{k: change(v) for k, v in values.items() if v is not None})


class Dataset:
    """The batches of a training run."""

    def __init__(
        self,
        photos: PhotoCrops | LineArtCrops,
        cartoons: CartoonCrops | None,
        batch_size: int,
        adversarial: int,
        match_colors: ColorMatching | None = None,
        first_matched: int | None = None,
        share: Share = WHOLE,
    ) -> None:
        """Set up the batches; nothing is read yet.

        Args:
            photos: Crops for every batch.
            cartoons: Crops for the batches of the adversarial phase; None without one.
            batch_size: Number of crops of each kind in a whole batch.
            adversarial: Number of the first batch with cartoons.
            match_colors: How drawings get the colors of the cartoons; None for their own.
            first_matched: Number of the first batch with these colors; None for `adversarial`.
            share: The crops of each batch that are prepared; default all.
        """
        self._photos = photos
        self._cartoons = cartoons
        self._batch_size = batch_size
        self._adversarial = adversarial
        self._match_colors = match_colors
        self._first_matched = adversarial if first_matched is None else first_matched
        self._share = share

    @property
    def skipped(self) -> dict[Path, str]:
        """Reason for each image that could not be used so far, by its path."""
        cartoons = self._cartoons.images.skipped if self._cartoons else {}
        return self._photos.images.skipped | cartoons

    def names_hash(self) -> str:
        """SHA-256 of the names of all images, in their order, without the folders' own paths."""
        digest = hashlib.sha256()
        for images in (self._photos.images, *([self._cartoons.images] if self._cartoons else [])):
            for path in images.paths:
                digest.update(os.fsencode(path.relative_to(images.folder).as_posix()) + b"\0")
            digest.update(b"\0")
        return digest.hexdigest()

    def batches(
        self, first: int, workers: int, prepare: Callable[[int, Batch], Prepared]
    ) -> Generator[Prepared, None, None]:
        """Yield batches without end, prepared ahead on threads.

        Args:
            first: Number of the first batch, from 0.
            workers: Number of threads; it has no influence on the content of a batch.
            prepare: Function of a batch's number and the batch, run on these threads too.

        Yields:
            What `prepare` returns for batch number `first`, then for all later ones in order.

        Raises:
            TrainingError: No image can be used, or the cache cannot be written.
        """
        self._color_transfer  # noqa: B018  # computed once, before several threads would do it

        def make(number: int) -> Prepared:
            return prepare(number, self.batch(number))

        # Threads, not PyTorch's DataLoader: OpenCV releases the GIL, so no processes are needed.
        with ThreadPoolExecutor(workers, thread_name_prefix="batches") as pool:
            ahead: deque[Future[Prepared]] = deque()
            try:
                for number in range(first, first + max(BATCHES_AHEAD, workers)):
                    ahead.append(pool.submit(make, number))
                while True:
                    number += 1
                    ahead.append(pool.submit(make, number))
                    yield ahead.popleft().result()
            finally:
                pool.shutdown(cancel_futures=True)

    def draw_color_crops(self) -> None:
        """Put this share's part of the crops that color statistics need into the cache.

        All processes of a run measure the same statistics; so none draws all the crops for them.
        """
        if self._match_colors and self._cartoons:
            for index in self._share.indices(0, COLOR_CROPS):
                self._photos.crop(index)

    def batch(self, number: int) -> Batch:
        """Return batch number `number`, from 0; the same images and seed give the same batch.

        Of a run of several processes, it is this one's share of the batch.
        """
        photos = _stack(self._photos.crop, self._indices(number))
        drawings = photos[1] if len(photos) > 1 else None
        ink = (photos[2][:, :1] + 1) / 2 if len(photos) > 2 else None
        if drawings is not None and number >= self._first_matched and self._color_transfer:
            drawings = self._color_transfer(drawings)
        if number < self._adversarial or not self._cartoons:
            return Batch(photos[0], drawings, ink=ink)
        indices = self._indices(number - self._adversarial)
        cartoons, smoothed = _stack(self._cartoons.crop, indices)
        return Batch(photos[0], drawings, cartoons, smoothed, ink)

    @cached_property
    def _color_transfer(self) -> Callable[[Tensor], Tensor] | None:
        """Map of the drawings' colors to the cartoons'; None where drawings keep their colors."""
        if not self._match_colors or not self._cartoons:
            return None
        drawings = _stack(self._photos.crop, range(COLOR_CROPS))[1]
        cartoons = _stack(self._cartoons.crop, range(COLOR_CROPS))[0]
        return self._match_colors(drawings, cartoons)

    def _indices(self, number: int) -> range:
        """Numbers of the crops that belong to a batch and to the share."""
        return self._share.indices(number * self._batch_size, self._batch_size)


def cut_middle(images: Tensor, side: int) -> Tensor:
    """Return the central square of images (..., S, S), as (..., side, side)."""
    margin = (images.shape[-1] - side) // 2
    inner = slice(margin, margin + side)
    return images[..., inner, inner]


def _stack(crop: Callable[[int], list[Pixels]], indices: Iterable[int]) -> list[Tensor]:
    """Stack crops by their numbers: one tensor (N, 3, H, W) for each image of a crop."""
    crops = [crop(index) for index in indices]
    return [to_tensor(np.stack(images)) for images in zip(*crops, strict=True)]
