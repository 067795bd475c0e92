"""What generator and discriminator learn in one step: the losses of a phase, and their gradients.

A step works through its batch in parts of a micro-batch and adds their gradients up, so that what
it learns does not depend on how much memory there is (but for BatchNorm and the style loss, whose
statistics are a part's).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from trainer.cel_network import CelGenerator, Layers
from trainer.config import PhaseConfig, TrainConfig
from trainer.dataset import Batch, cut_middle
from trainer.game import Game
from trainer.losses import (
    SQUARE,
    Disturbance,
    adversarial_loss,
    colour_loss,
    content_loss,
    discriminator_loss,
    equivariance_loss,
    gradient_difference,
    pixel_loss,
    stability_loss,
    style_loss,
    total_variation,
)
from trainer.training.layer_losses import (
    color_gradient_loss,
    color_loss,
    ink_loss,
    layer_stability_loss,
)

Terms = dict[str, Tensor]
"""Losses by name, weighted."""


@dataclass(frozen=True)
class Lesson:
    """What one step learns from."""

    phase: PhaseConfig
    pixels_only: bool
    """Whether only the losses of pixels count."""
    batch: Batch
    disturbance: Disturbance | None
    """Of the batch's first pictures; None without a stability loss."""
    shift: tuple[int, int]
    """Of the equivariance loss: how far up and left, in pixels."""
    noise: Tensor | None = None
    """(N, 3, H, W), added to what the generator sees; None adds none."""
    generated: Tensor | None = None
    """G(p), (N, 3, H, W), for the discriminator; None in the generator's own step."""

    def middle(self, side: int) -> Lesson:
        """The same lesson on the middle of each picture, `side` pixels square."""
        batch = self.batch.middle(side)
        generated, disturbance, noise = self.generated, self.disturbance, self.noise
        if noise is not None:
            noise = cut_middle(noise, side)
        if generated is not None:
            generated = cut_middle(generated, side)
        if disturbance:
            like = batch.photos[: len(disturbance.gain)]
            disturbance = Disturbance.draw(like, torch.Generator().manual_seed(0))
        return replace(self, batch=batch, disturbance=disturbance, generated=generated, noise=noise)


def generator_gradients(game: Game, lesson: Lesson, micro_batch: int) -> tuple[Terms, Tensor]:
    """Compute the gradients of the generator's losses.

    Args:
        game: Its generator gets the gradients.
        lesson: What to learn from.
        micro_batch: Pictures at a time.

    Returns:
        The losses, and G(p) for the discriminator: (N, 3, H, W), detached.
    """
    game.generator.clear_gradients()
    sums: Counter[str] = Counter()
    generated = []
    # Frozen through the backward pass as well: gradient checkpointing runs parts again in it.
    with game.discriminator.frozen() if game.discriminator else nullcontext():
        for part in _parts(lesson, micro_batch, game.config.content_pictures):
            with game.precision.autocast():
                seen = part.batch.photos if part.noise is None else part.batch.photos + part.noise
                layers, cartoons = _generate(game.generator.network, seen.clamp(-1, 1))
                terms = generator_terms(game, lesson, part, cartoons, layers)
            generated.append(cartoons.detach())
            if terms:
                game.generator.add_gradients(torch.stack(list(terms.values())).sum())
                sums.update({name: term.detach() for name, term in terms.items()})
    return dict(sums), torch.cat(generated)


def discriminator_gradients(game: Game, lesson: Lesson, micro_batch: int) -> Terms:
    """Compute the gradients of the discriminator's loss.

    Args:
        game: Its discriminator gets the gradients.
        lesson: What to learn from, with cartoons and generated pictures.
        micro_batch: Pictures at a time.
    """
    player, batch, generated = game.discriminator, lesson.batch, lesson.generated
    assert player and generated is not None
    assert batch.cartoons is not None and batch.smoothed is not None
    player.clear_gradients()
    total = torch.zeros((), device=generated.device)
    for first in range(0, len(generated), micro_batch):
        some = slice(first, first + micro_batch)
        with game.precision.autocast():
            loss = discriminator_loss(
                player.network(generated[some]),
                player.network(batch.cartoons[some]),
                player.network(batch.smoothed[some]),
                game.config.objective,
                lesson.phase.smoothed_weight,
            )
        loss = loss * (len(generated[some]) / len(generated))
        player.add_gradients(loss)
        total += loss.detach()
    return {"discriminator": total}


@dataclass(frozen=True)
class Part:
    """A micro-batch, and how much of the whole batch's losses it stands for."""

    batch: Batch
    share: float
    """Of the batch's pictures."""
    few: int
    """Pictures at its start that the costly losses look at."""
    few_share: float
    """Of the batch's pictures that they look at."""
    disturbance: Disturbance | None
    noise: Tensor | None


def generator_terms(
    game: Game, lesson: Lesson, part: Part, cartoons: Tensor, layers: Layers | None = None
) -> Terms:
    """The generator's losses on one part.

    Args:
        game: Who plays.
        lesson: The whole step's.
        part: The part's.
        cartoons: G(p) of the part, (n, 3, H, W).
        layers: What they were composed of; None for a generator without layers.

    Returns:
        Summed over all parts: the weighted losses of the batch.
    """
    config, phase, batch = game.config, lesson.phase, part.batch
    targets = batch.photos if config.content_target == "photo" else batch.drawings
    assert targets is not None, "the phase needs drawings"
    losses: Terms = {}
    if layers and batch.drawings is not None and batch.ink is not None:
        losses = _layer_losses(phase, batch.drawings, batch.ink, layers)
        targets = game.generator.network.compose_drawing(batch.drawings, batch.ink)
    if phase.pixel_weight:
        losses["pixel"] = pixel_loss(cartoons, targets, batch.photos, phase.ink_weight)
    if phase.gradient_difference_weight:
        losses["gradient_difference"] = gradient_difference(
            cartoons, targets, batch.photos, phase.ink_weight
        )
    if phase.equivariance_weight:
        losses["equivariance"] = equivariance_loss(
            game.generator.network, batch.photos, cartoons, lesson.shift
        )
    if lesson.pixels_only:
        return _weigh(losses, phase, part.share)
    if phase.adversarial_weight and game.discriminator:
        judged = game.discriminator.network(cartoons)
        losses["adversarial"] = adversarial_loss(judged, config.objective)
    if phase.colour_weight:
        losses["colour"] = colour_loss(cartoons, batch.photos)
    if phase.total_variation_weight:
        losses["total_variation"] = total_variation(cartoons)
    costly = _costly_losses(game, phase, part, cartoons, targets, layers) if part.few else {}
    return _weigh(losses, phase, part.share) | _weigh(costly, phase, part.few_share)


def _costly_losses(
    game: Game,
    phase: PhaseConfig,
    part: Part,
    cartoons: Tensor,
    targets: Tensor,
    layers: Layers | None,
) -> Terms:
    """The losses that look at a few pictures of a batch only."""
    batch, some = part.batch, slice(part.few)
    losses: Terms = {}
    if phase.content_weight and game.features:
        losses["content"] = content_loss(game.features, cartoons[some], targets[some])
    if phase.style_weight and game.features and batch.cartoons is not None:
        losses["style"] = style_loss(game.features, cartoons[some], batch.cartoons[some])
    if phase.stability_weight and part.disturbance:
        losses["stability"] = stability_loss(
            game.generator.network, batch.photos[some], cartoons[some], part.disturbance
        )
    if phase.layer_stability_weight and part.disturbance and layers:
        few = Layers(layers.color[some], layers.ink_logits[some])
        losses["layer_stability"] = layer_stability_loss(
            game.generator.network, batch.photos[some], few, part.disturbance
        )
    return losses


def _generate(network: nn.Module, photos: Tensor) -> tuple[Layers | None, Tensor]:
    """The layers, where the generator has some, and G(p): float32."""
    if not isinstance(network, CelGenerator):
        return None, network(photos).float()
    layers = Layers(*(layer.float() for layer in network.layers(photos)))
    return layers, network.compose_layers(layers)


def _layer_losses(phase: PhaseConfig, color: Tensor, ink: Tensor, layers: Layers) -> Terms:
    """The paired losses of the layers that have a weight."""
    losses: Terms = {}
    if phase.layer_color_weight:
        losses["layer_color"] = color_loss(layers, color, ink)
    if phase.layer_gradient_weight:
        losses["layer_gradient"] = color_gradient_loss(layers, color, ink)
    if phase.layer_ink_weight:
        losses["layer_ink"] = ink_loss(layers, color, ink)
    return losses


def _weigh(losses: Terms, phase: PhaseConfig, share: float) -> Terms:
    """Each loss times its weight in the phase and the part's share of the batch."""
    weights = {name: getattr(phase, f"{name}_weight") for name in losses}
    return {name: weights[name] * share * loss for name, loss in losses.items()}


def draw_lesson(config: TrainConfig, step: int, batch: Batch) -> Lesson:
    """What the step after `step` steps learns from its batch.

    The step decides all that is drawn at random, so there is no state of it to save.
    """
    _, phase, done = config.phase_after(step)
    pixels_only = done < phase.pixel_only_steps
    seed = np.random.SeedSequence((config.seed, step)).generate_state(1)
    random = torch.Generator().manual_seed(int(seed[0]))
    disturbance = noise = None
    if (phase.stability_weight or phase.layer_stability_weight) and not pixels_only:
        disturbance = Disturbance.draw(batch.photos[: config.content_pictures], random)
    if config.noisy_share:
        noise = Disturbance.draw(batch.photos, random).noise
        chosen = torch.rand(len(noise), 1, 1, 1, generator=random) < config.noisy_share
        noise = noise * chosen.to(noise.device)
    shift = divmod(1 + step % (SQUARE**2 - 1), SQUARE)  # each but (0, 0) in turn
    return Lesson(phase, pixels_only, batch, disturbance, shift, noise)


def _parts(lesson: Lesson, micro_batch: int, content_pictures: int) -> Iterator[Part]:
    """A lesson in parts of `micro_batch` pictures."""
    count = len(lesson.batch.photos)
    all_few = min(content_pictures, count)
    for first in range(0, count, micro_batch):
        batch = lesson.batch.part(first, first + micro_batch)
        size = len(batch.photos)
        few = min(max(all_few - first, 0), size)
        disturbance = lesson.disturbance.part(first, first + few) if lesson.disturbance else None
        noise = None if lesson.noise is None else lesson.noise[first : first + size]
        yield Part(batch, size / count, few, few / all_few, disturbance, noise)
