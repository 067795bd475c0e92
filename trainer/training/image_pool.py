"""Pool of generated images, from which the discriminator also sees older ones.

In: the images that the generator made in a step. Out: as many images, about half of them from
earlier steps, so that the discriminator does not forget what the generator did before.

Source: Shrivastava et al., "Learning from Simulated and Unsupervised Images through Adversarial
Training", 2017, section 2.3, in the form of CycleGAN (Zhu et al., 2017).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


class ImagePool:
    """Keeps up to a number of images, as float16: 0.06 levels of 255 apart from what they were."""

    def __init__(self, size: int, seed: tuple[int, ...], device: torch.device) -> None:
        """Begin empty.

        Args:
            size: Largest number of images kept; 0 keeps none and gives the new ones back.
            seed: Seed of the choices. With a step's number it determines them, so that a resumed
                run makes the same ones.
            device: Device of the images.
        """
        self._size, self._seed, self._device = size, seed, device
        self._images: Tensor | None = None

    def exchange(self, images: Tensor, step: int) -> Tensor:
        """Put new images into the pool, and take older ones out for some of them.

        While the pool is not full, every new image is kept and given back. Then, with probability
        1/2, it takes the place of a random image of the pool, which is given back instead.

        Args:
            images: (N, 3, H, W) in [-1, 1], detached.
            step: Number of the step.

        Returns:
            (N, 3, H, W), float32.
        """
        if not self._size:
            return images
        random = np.random.default_rng((*self._seed, step))
        pool = list(self._images) if self._images is not None else []
        given = []
        for image in images.float():
            kept = image.half()
            if len(pool) < self._size:
                pool.append(kept)
                given.append(image)
            elif random.random() < 0.5:
                place = int(random.integers(self._size))
                given.append(pool[place].float())
                pool[place] = kept
            else:
                given.append(image)
        self._images = torch.stack(pool)
        return torch.stack(given)

    def capture(self) -> Tensor | None:
        """Return the images, (n, 3, H, W) float16, for a training state; None for an empty pool."""
        return self._images

    def restore(self, images: Tensor | None) -> None:
        """Continue with what `capture` returned."""
        self._images = None if images is None else images.to(self._device)
