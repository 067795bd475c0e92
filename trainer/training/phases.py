"""Losses and gradients of one training step, for each phase.

In: a `TrainingState` and `StepInputs`. Out: gradients in the networks, and the loss values by name.
The weights in the phase's config decide which losses are computed: with the preset `paper`, the
initialization phase has the content loss alone (section 3.3 of the paper), and the adversarial
phase has equation 2, L_adv + omega * L_con.

Left out: the losses themselves (`trainer.training.losses`), and the update of the weights
(`trainer.training.train`).
"""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext

import torch
from torch import Tensor, nn

from trainer.config import PhaseConfig, TrainConfig
from trainer.networks.cel import CelGenerator, Layers
from trainer.training import layer_losses
from trainer.training.losses import (
    adversarial_loss,
    color_loss,
    content_loss,
    discriminator_loss,
    equivariance_loss,
    gradient_difference,
    pixel_loss,
    stability_loss,
    style_loss,
    total_variation,
)
from trainer.training.state import TrainingState
from trainer.training.step_inputs import MicroBatch, StepInputs, split

Losses = dict[str, Tensor]
"""Weighted losses by name, each a scalar."""


def generator_gradients(
    state: TrainingState, inputs: StepInputs, micro_batch: int
) -> tuple[Losses, Tensor]:
    """Compute the gradients of the generator's losses.

    Args:
        state: State of the run; its generator receives the gradients.
        inputs: Inputs of the step.
        micro_batch: Maximum number of images processed at a time.

    Returns:
        The losses of these images, as parts of those of the whole batch, and G(p) for the
        discriminator, (N, 3, H, W), detached.
    """
    state.generator.clear_gradients()
    sums: Counter[str] = Counter()
    generated = []
    # The discriminator stays frozen during the backward pass too, because gradient checkpointing
    # runs parts of it again then.
    with state.discriminator.frozen() if state.discriminator else nullcontext():
        for part in split(inputs, micro_batch, state.config.content_images):
            with state.precision.autocast():
                layers, cartoons = _generate(state.generator.network, part)
                losses = generator_losses(state, inputs, part, cartoons, layers)
            generated.append(cartoons.detach())
            if losses:
                state.generator.add_gradients(torch.stack(list(losses.values())).sum())
                sums.update({name: loss.detach() for name, loss in losses.items()})
    return dict(sums), torch.cat(generated)


def _generate(network: nn.Module, part: MicroBatch) -> tuple[Layers | None, Tensor]:
    """Run the generator on a micro-batch, on photos with noise where the step adds some.

    Returns:
        The layers, None for a generator without, and G(p), (n, 3, H, W), float32.
    """
    photos = part.batch.photos
    if part.noise is not None:
        photos = (photos + part.noise).clamp(-1, 1)
    if not isinstance(network, CelGenerator):
        return None, network(photos).float()
    layers = Layers(*(layer.float() for layer in network.layers(photos)))
    return layers, network.compose_layers(layers)


def discriminator_gradients(state: TrainingState, inputs: StepInputs, micro_batch: int) -> Losses:
    """Compute the gradients of the discriminator's loss.

    Args:
        state: State of the run; its discriminator receives the gradients.
        inputs: Inputs of the step, with cartoons, smoothed cartoons and generated images; or with
            line art, the art and generated images.
        micro_batch: Maximum number of images processed at a time.

    Returns:
        The loss of these images, as part of that of the whole batch, by the name `discriminator`.
    """
    discriminator, batch, generated = state.discriminator, inputs.batch, inputs.generated
    assert discriminator and generated is not None
    real = find_real_images(state.config, inputs)
    assert real is not None
    smoothed = batch.smoothed if real is batch.cartoons else None
    discriminator.clear_gradients()
    total = torch.zeros((), device=generated.device)
    for first in range(0, len(generated), micro_batch):
        part = slice(first, first + micro_batch)
        lines = batch.photos[part]
        with state.precision.autocast():
            # Three passes and not one over a concatenated batch: BatchNorm shall not mix them.
            loss = discriminator_loss(
                discriminator.network(pair_with_lines(state.config, lines, generated[part])),
                discriminator.network(pair_with_lines(state.config, lines, real[part])),
                None if smoothed is None else discriminator.network(smoothed[part]),
                state.config.objective,
                inputs.phase.smoothed_weight,
            )
        loss = loss * (len(generated[part]) / inputs.whole_size)
        discriminator.add_gradients(loss)
        total += loss.detach()
    return {"discriminator": total}


def find_real_images(config: TrainConfig, inputs: StepInputs) -> Tensor | None:
    """Return what the discriminator takes for real, (N, 3, H, W); None where it does not learn."""
    if config.content_target == "art":
        return inputs.batch.drawings if inputs.phase.adversarial_weight else None
    return inputs.batch.cartoons


def pair_with_lines(config: TrainConfig, lines: Tensor, images: Tensor) -> Tensor:
    """Put line art before images, (N, 6, H, W), where the discriminator judges such pairs."""
    return torch.cat([lines, images], dim=1) if config.content_target == "art" else images


def generator_losses(
    state: TrainingState,
    inputs: StepInputs,
    part: MicroBatch,
    cartoons: Tensor,
    layers: Layers | None = None,
) -> Losses:
    """Compute the generator's losses of a micro-batch.

    Args:
        state: State of the run.
        inputs: Inputs of the whole step.
        part: The micro-batch.
        cartoons: G(p) of the micro-batch, (n, 3, H, W).
        layers: The layers that they were composed of; None for a generator without layers.

    Returns:
        Weighted losses whose sums over all micro-batches are those of the whole batch.
    """
    config, phase, batch = state.config, inputs.phase, part.batch
    targets = batch.photos if config.content_target == "photo" else batch.drawings
    assert targets is not None, "the content target needs drawings"
    losses: Losses = {}
    if layers and batch.drawings is not None and batch.ink is not None:
        losses = _layer_losses(phase, layers, batch.drawings, batch.ink)
        targets = state.generator.network.compose_drawing(batch.drawings, batch.ink)
    losses |= _paired_losses(state, inputs, part, cartoons, targets)
    if inputs.pixel_losses_only:
        return _weigh(losses, phase, part.fraction)
    if phase.adversarial_weight and state.discriminator:
        logits = state.discriminator.network(pair_with_lines(state.config, batch.photos, cartoons))
        losses["adversarial"] = adversarial_loss(logits, config.objective)  # equation 3
    if phase.color_weight:
        losses["color"] = color_loss(cartoons, batch.photos)
    if phase.total_variation_weight:
        losses["total_variation"] = total_variation(cartoons)
    subset: Losses = {}
    if part.subset_size:
        subset = _subset_losses(state, phase, part, cartoons, targets, layers)
    return _weigh(losses, phase, part.fraction) | _weigh(subset, phase, part.subset_fraction)


def _paired_losses(
    state: TrainingState, inputs: StepInputs, part: MicroBatch, cartoons: Tensor, targets: Tensor
) -> Losses:
    """Compute the losses that compare pixels with the target; they need no other network."""
    phase, photos = inputs.phase, part.batch.photos
    losses: Losses = {}
    if phase.pixel_weight:
        losses["pixel"] = pixel_loss(cartoons, targets, photos, phase.ink_weight)
    if phase.gradient_difference_weight:
        losses["gradient_difference"] = gradient_difference(
            cartoons, targets, photos, phase.ink_weight
        )
    if phase.equivariance_weight:
        losses["equivariance"] = equivariance_loss(
            state.generator.network, photos, cartoons, inputs.shift
        )
    return losses


def _subset_losses(
    state: TrainingState,
    phase: PhaseConfig,
    part: MicroBatch,
    cartoons: Tensor,
    targets: Tensor,
    layers: Layers | None,
) -> Losses:
    """Compute the expensive losses, on the leading images of a batch only."""
    batch, subset = part.batch, slice(part.subset_size)
    losses: Losses = {}
    if phase.content_weight and state.features:
        losses["content"] = content_loss(  # equation 4
            state.features, cartoons[subset], targets[subset], state.config.content_norm
        )
    if phase.style_weight and state.features and batch.cartoons is not None:
        losses["style"] = style_loss(state.features, cartoons[subset], batch.cartoons[subset])
    if phase.stability_weight and part.perturbation:
        losses["stability"] = stability_loss(
            state.generator.network, batch.photos[subset], cartoons[subset], part.perturbation
        )
    if phase.layer_stability_weight and part.perturbation and layers:
        few = Layers(layers.color[subset], layers.ink_logits[subset])
        losses["layer_stability"] = layer_losses.layer_stability_loss(
            state.generator.network, batch.photos[subset], few, part.perturbation
        )
    return losses


def _layer_losses(phase: PhaseConfig, layers: Layers, color: Tensor, ink: Tensor) -> Losses:
    """Compute the losses between the generator's layers and the drawing's, for `cel`."""
    losses: Losses = {}
    if phase.layer_color_weight:
        losses["layer_color"] = layer_losses.color_loss(layers, color, ink)
    if phase.layer_gradient_weight:
        losses["layer_gradient"] = layer_losses.color_gradient_loss(layers, color, ink)
    if phase.layer_ink_weight:
        losses["layer_ink"] = layer_losses.ink_loss(layers, color, ink)
    return losses


def _weigh(losses: Losses, phase: PhaseConfig, fraction: float) -> Losses:
    """Multiply each loss by its weight in the phase and by the part's share of the batch."""
    weights = {name: getattr(phase, f"{name}_weight") for name in losses}
    return {name: weights[name] * fraction * loss for name, loss in losses.items()}
