"""Inputs of one training step, whole or as micro-batches.

In: a batch of images and the index of the step. Out: `StepInputs`, with everything that the step
samples at random, and its parts for micro-batches.

A step processes its batch, or this process's share of it, in micro-batches and accumulates their
gradients, so that what it learns does not depend on the memory of the machine (except for BatchNorm
and the style loss, whose statistics are those of a micro-batch).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from trainer.config import PhaseConfig, TrainConfig
from trainer.data.dataset import Batch, cut_middle
from trainer.data.share import WHOLE, Share
from trainer.training.losses import GENERATOR_STRIDE
from trainer.training.perturbation import Perturbation


@dataclass(frozen=True)
class StepInputs:
    """What one training step is computed from."""

    phase: PhaseConfig
    """Config of the phase that the step belongs to."""
    pixel_losses_only: bool
    """Whether the step is one of the phase's `pixel_only_steps`."""
    batch: Batch
    """Photos, drawings, cartoons and smoothed cartoons of the share, on the device."""
    perturbation: Perturbation | None
    """Perturbation of those of the leading images that are in the share, for the stability loss;
    None without that loss."""
    shift: tuple[int, int]
    """Shift of the equivariance loss, up and left in pixels, each in [0, 3]."""
    noise: Tensor | None = None
    """Addend to the photos that the generator sees, (N, 3, H, W); None adds none."""
    generated: Tensor | None = None
    """G(p), (N, 3, H, W), for the discriminator's step; None in the generator's."""
    generated_photos: Tensor | None = None
    """F(c) of CycleGAN, (N, 3, H, W), for the discriminators' step; None elsewhere."""
    share: Share = WHOLE
    """Share of the whole batch that these N images are; default all of it."""

    @property
    def whole_size(self) -> int:
        """Number of images of the whole batch, of which all losses are means."""
        return len(self.batch.photos) * self.share.count

    def to(self, device: torch.device) -> StepInputs:
        """Return the same inputs on a device."""
        perturbation, noise = self.perturbation, self.noise
        return replace(
            self,
            batch=self.batch.to(device),
            perturbation=perturbation.to(device) if perturbation else None,
            noise=None if noise is None else noise.to(device, non_blocking=True),
        )

    def pinned(self) -> StepInputs:
        """Return the same inputs in memory that a GPU reads without waiting; it needs CUDA."""
        noise = None if self.noise is None else self.noise.pin_memory()
        return replace(self, batch=self.batch.pinned(), noise=noise)

    def center_crop(self, side: int) -> StepInputs:
        """Return the same inputs for the center of each image, `side` pixels square.

        The perturbation is another one: the result serves to try how much memory a step takes.
        """
        batch = self.batch.middle(side)
        generated, perturbation, noise = self.generated, self.perturbation, self.noise
        photos = self.generated_photos
        if photos is not None:
            photos = cut_middle(photos, side)
        if noise is not None:
            noise = cut_middle(noise, side)
        if generated is not None:
            generated = cut_middle(generated, side)
        if perturbation:
            images = batch.photos[: len(perturbation.gain)]
            perturbation = Perturbation.sample(images, torch.Generator().manual_seed(0))
        return replace(
            self,
            batch=batch,
            perturbation=perturbation,
            noise=noise,
            generated=generated,
            generated_photos=photos,
        )


@dataclass(frozen=True)
class MicroBatch:
    """Part of a batch, and its share of the batch's losses."""

    batch: Batch
    """The images, (n, 3, H, W) of each kind."""
    fraction: float
    """Part of the whole batch's images that are in this part, in (0, 1]."""
    subset_size: int
    """Number of leading images that the content, style and stability losses use, from 0."""
    subset_fraction: float
    """Part of the whole batch's subset that is in this part, in [0, 1]."""
    perturbation: Perturbation | None
    """Perturbation of the subset; None without a stability loss."""
    noise: Tensor | None = None
    """Addend to the photos of this part, (n, 3, H, W); None adds none."""


def prepare_step(config: TrainConfig, step: int, batch: Batch, share: Share = WHOLE) -> StepInputs:
    """Sample what a step needs besides its batch.

    Seed and step alone determine the samples, so that a resumed run has no state to restore. They
    are drawn for the whole batch, so that an image has the same ones in whichever share it is.

    Args:
        config: Config of the run.
        step: Index of the step in the run, from 0.
        batch: Share of the step's batch, on the CPU.
        share: Which share of the whole batch it is.
    """
    _, phase, step_of_phase = config.phase_at(step)
    pixel_losses_only = step_of_phase < phase.pixel_only_steps
    seed = np.random.SeedSequence((config.seed, step)).generate_state(1)
    random = torch.Generator().manual_seed(int(seed[0]))
    perturbation = noise = None
    # Stands for the whole batch: samples depend on its shape and device alone.
    whole = batch.photos[:1].expand(len(batch.photos) * share.count, -1, -1, -1)
    if (phase.stability_weight or phase.layer_stability_weight) and not pixel_losses_only:
        subset = Perturbation.sample(whole[: config.content_images], random)
        perturbation = subset.part(share.slice)
    if config.noisy_share:
        noise = Perturbation.sample(whole, random).noise
        chosen = torch.rand(len(noise), 1, 1, 1, generator=random) < config.noisy_share
        noise = (noise * chosen.to(noise.device))[share.slice]
    # Cycle through all shifts except (0, 0), which would compare the output with itself.
    shift = divmod(1 + step % (GENERATOR_STRIDE**2 - 1), GENERATOR_STRIDE)
    return StepInputs(
        phase=phase,
        pixel_losses_only=pixel_losses_only,
        batch=batch,
        perturbation=perturbation,
        shift=shift,
        noise=noise,
        share=share,
    )


def split(inputs: StepInputs, micro_batch: int, content_images: int) -> Iterator[MicroBatch]:
    """Split the inputs of a step.

    Args:
        inputs: Inputs of the whole step.
        micro_batch: Maximum number of images of a part, from 1.
        content_images: Maximum number of images of the whole batch in the subset; see
            `TrainConfig`.

    Yields:
        The parts in order. Their fractions sum to 1, over all shares of the batch.
    """
    count = len(inputs.batch.photos)
    whole_subset = min(content_images, inputs.whole_size)
    subset = len(inputs.share.indices(0, whole_subset))  # its images are this share's leading ones
    for first in range(0, count, micro_batch):
        batch = inputs.batch.part(first, first + micro_batch)
        size = len(batch.photos)
        subset_size = min(max(subset - first, 0), size)
        perturbation = None
        if inputs.perturbation:
            perturbation = inputs.perturbation.part(slice(first, first + subset_size))
        yield MicroBatch(
            batch=batch,
            fraction=size / inputs.whole_size,
            subset_size=subset_size,
            subset_fraction=subset_size / whole_subset,
            perturbation=perturbation,
            noise=None if inputs.noise is None else inputs.noise[first : first + size],
        )
