"""Losses and gradients of one training step of CycleGAN.

In: a `TrainingState` whose networks are pairs, and `StepInputs`. Out: gradients in both pairs, and
the loss values by name. With photos p, cartoons c, the generators G (photo to cartoon) and F
(cartoon to photo), and a discriminator for each kind of image (Zhu et al., "Unpaired
Image-to-Image Translation using Cycle-Consistent Adversarial Networks", 2017):

    cycle     || F(G(p)) - p ||_1 + || G(F(c)) - c ||_1
    identity  || G(c) - c ||_1 + || F(p) - p ||_1

Left out: the image pools, which `trainer.training.train` fills between the two parts of a step.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.config import Objective, PhaseConfig
from trainer.networks.cyclegan import DiscriminatorPair, GeneratorPair
from trainer.training.losses import adversarial_loss, discriminator_loss
from trainer.training.state import TrainingState
from trainer.training.step_inputs import StepInputs

Losses = dict[str, Tensor]
"""Weighted losses by name, each a scalar."""


@dataclass(frozen=True)
class Translated:
    """What both generators made of a batch, detached."""

    cartoons: Tensor
    """G(p), (N, 3, H, W)."""
    photos: Tensor
    """F(c), (N, 3, H, W)."""


def cycle_generator_gradients(
    state: TrainingState, inputs: StepInputs, micro_batch: int
) -> tuple[Losses, Translated]:
    """Compute the gradients of both generators.

    Args:
        state: State of the run; its generators receive the gradients.
        inputs: Inputs of the step, with cartoons.
        micro_batch: Maximum number of images of each kind processed at a time.

    Returns:
        The losses of these images, as parts of those of the whole batch, and what the generators
        made of them.
    """
    pair, discriminators = state.generator.network, state.discriminator
    photos, cartoons = inputs.batch.photos, inputs.batch.cartoons
    assert isinstance(pair, GeneratorPair) and discriminators and cartoons is not None
    state.generator.clear_gradients()
    sums: Counter[str] = Counter()
    made: list[tuple[Tensor, Tensor]] = []
    # Frozen during the backward pass too, because gradient checkpointing runs parts again then.
    with discriminators.frozen():
        for first in range(0, len(photos), micro_batch):
            part = slice(first, first + micro_batch)
            with state.precision.autocast():
                both = _translate(pair, photos[part], cartoons[part])
                losses = _generator_losses(
                    pair=pair,
                    discriminators=discriminators.network,
                    made=both,
                    photos=photos[part],
                    cartoons=cartoons[part],
                    phase=inputs.phase,
                    objective=state.config.objective,
                )
            fraction = len(photos[part]) / inputs.whole_size
            losses = {name: fraction * loss for name, loss in losses.items()}
            state.generator.add_gradients(torch.stack(list(losses.values())).sum())
            sums.update({name: loss.detach() for name, loss in losses.items()})
            made.append((both.cartoons.detach(), both.photos.detach()))
    made_cartoons, made_photos = (torch.cat(images) for images in zip(*made, strict=True))
    return dict(sums), Translated(made_cartoons, made_photos)


def cycle_discriminator_gradients(
    state: TrainingState, inputs: StepInputs, micro_batch: int
) -> Losses:
    """Compute the gradients of both discriminators.

    Args:
        state: State of the run; its discriminators receive the gradients.
        inputs: Inputs of the step, with cartoons, smoothed cartoons and images of both pools.
        micro_batch: Maximum number of images of each kind processed at a time.

    Returns:
        The losses of these images, as parts of those of the whole batch: `discriminator` and
        `discriminator_photos`. Each is halved, as by Zhu et al., so that the discriminators learn
        slower than the generators.
    """
    discriminators, batch = state.discriminator, inputs.batch
    made_cartoons, made_photos = inputs.generated, inputs.generated_photos
    assert discriminators and isinstance(discriminators.network, DiscriminatorPair)
    assert batch.cartoons is not None and batch.smoothed is not None
    assert made_cartoons is not None and made_photos is not None
    pair, objective = discriminators.network, state.config.objective
    discriminators.clear_gradients()
    sums: Counter[str] = Counter()
    for first in range(0, len(made_photos), micro_batch):
        part = slice(first, first + micro_batch)
        with state.precision.autocast():
            of_cartoons = discriminator_loss(
                pair.of_cartoons(made_cartoons[part]),
                pair.of_cartoons(batch.cartoons[part]),
                pair.of_cartoons(batch.smoothed[part]) if inputs.phase.smoothed_weight else None,
                objective,
                inputs.phase.smoothed_weight,
            )
            of_photos = discriminator_loss(
                pair.of_photos(made_photos[part]),
                pair.of_photos(batch.photos[part]),
                None,
                objective,
            )
        half = len(made_photos[part]) / inputs.whole_size / 2
        discriminators.add_gradients(half * (of_cartoons + of_photos))
        sums["discriminator"] += half * of_cartoons.detach()
        sums["discriminator_photos"] += half * of_photos.detach()
    return dict(sums)


def _translate(pair: GeneratorPair, photos: Tensor, cartoons: Tensor) -> Translated:
    return Translated(pair.to_cartoons(photos).float(), pair.to_photos(cartoons).float())


def _generator_losses(
    pair: GeneratorPair,
    discriminators: DiscriminatorPair,
    made: Translated,
    photos: Tensor,
    cartoons: Tensor,
    phase: PhaseConfig,
    objective: Objective,
) -> Losses:
    """Compute the weighted losses of both generators on a micro-batch."""
    losses: Losses = {}
    if phase.adversarial_weight:
        logits = {
            "adversarial": discriminators.of_cartoons(made.cartoons),
            "adversarial_photos": discriminators.of_photos(made.photos),
        }
        for name, maps in logits.items():
            losses[name] = phase.adversarial_weight * adversarial_loss(maps, objective)
    if phase.cycle_weight:
        losses["cycle"] = phase.cycle_weight * (
            F.l1_loss(pair.to_photos(made.cartoons).float(), photos)
            + F.l1_loss(pair.to_cartoons(made.photos).float(), cartoons)
        )
    if phase.identity_weight:
        losses["identity"] = phase.identity_weight * (
            F.l1_loss(pair.to_cartoons(cartoons).float(), cartoons)
            + F.l1_loss(pair.to_photos(photos).float(), photos)
        )
    return losses
