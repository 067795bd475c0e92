"""What generator and discriminator learn in one step: the losses of a phase, and their gradients.

A step works through its batch in parts of a micro-batch and adds their gradients up, so that what
it learns does not depend on how much memory there is (but for BatchNorm and the style loss, whose
statistics are a part's).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from trainer.config import PhaseConfig, TrainConfig
from trainer.dataset import Batch
from trainer.features import ContentFeatures
from trainer.losses import (
    Disturbance,
    adversarial_loss,
    colour_loss,
    content_loss,
    discriminator_loss,
    pixel_loss,
    stability_loss,
    style_loss,
    total_variation,
)
from trainer.players import Player
from trainer.precision import Precision

Terms = dict[str, Tensor]
"""Losses by name, weighted."""


@dataclass(frozen=True)
class Game:
    """Who plays, and by which rules."""

    config: TrainConfig
    precision: Precision
    generator: Player
    discriminator: Player | None
    """None where there is no adversarial phase."""
    features: ContentFeatures | None
    """None where no loss asks for a content network."""

    def begin_phase(self, phase: PhaseConfig) -> None:
        """Let both players forget the momentum of the phase before."""
        self.generator.begin_phase(phase)
        if self.discriminator:
            self.discriminator.begin_phase(phase)


@dataclass(frozen=True)
class Lesson:
    """What one step learns from."""

    phase: PhaseConfig
    pixels_only: bool
    """Whether the l1 is the only loss."""
    batch: Batch
    disturbance: Disturbance | None
    """Of the batch's first pictures; None without a stability loss."""


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
                cartoons = game.generator.network(part.batch.photos)
                terms = generator_terms(game, lesson, part, cartoons)
            generated.append(cartoons.detach())
            if terms:
                game.generator.add_gradients(torch.stack(list(terms.values())).sum())
                sums.update({name: term.detach() for name, term in terms.items()})
    return dict(sums), torch.cat(generated)


def discriminator_gradients(
    game: Game, lesson: Lesson, generated: Tensor, micro_batch: int
) -> Terms:
    """Compute the gradients of the discriminator's loss.

    Args:
        game: Its discriminator gets the gradients.
        lesson: What to learn from; its batch has cartoons.
        generated: G(p), (N, 3, H, W), detached.
        micro_batch: Pictures at a time.
    """
    player, phase, batch = game.discriminator, lesson.phase, lesson.batch
    assert player and batch.cartoons is not None and batch.smoothed is not None
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
                phase.smoothed_weight,
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


def generator_terms(game: Game, lesson: Lesson, part: Part, cartoons: Tensor) -> Terms:
    """The generator's losses on one part.

    Args:
        game: Who plays.
        lesson: The whole step's.
        part: The part's.
        cartoons: G(p) of the part, (n, 3, H, W).

    Returns:
        Summed over all parts: the weighted losses of the batch.
    """
    config, phase, batch = game.config, lesson.phase, part.batch
    targets = batch.photos if config.content_target == "photo" else batch.abstractions
    assert targets is not None, "the phase needs abstractions"
    terms: Terms = {}

    def add(name: str, weight: float, loss: Tensor) -> None:
        terms[name] = weight * loss

    if phase.pixel_weight:
        loss = pixel_loss(cartoons, targets, batch.photos, phase.ink_weight)
        add("pixel", phase.pixel_weight * part.share, loss)
    if lesson.pixels_only:
        return terms
    if phase.adversarial_weight and game.discriminator:
        loss = adversarial_loss(game.discriminator.network(cartoons), config.objective)
        add("adversarial", phase.adversarial_weight * part.share, loss)
    if phase.colour_weight:
        add("colour", phase.colour_weight * part.share, colour_loss(cartoons, batch.photos))
    if phase.total_variation_weight:
        loss = total_variation(cartoons)
        add("total_variation", phase.total_variation_weight * part.share, loss)
    if not part.few:
        return terms
    some = slice(part.few)
    if phase.content_weight and game.features:
        loss = content_loss(game.features, cartoons[some], targets[some])
        add("content", phase.content_weight * part.few_share, loss)
    if phase.style_weight and game.features and batch.cartoons is not None:
        loss = style_loss(game.features, cartoons[some], batch.cartoons[some])
        add("style", phase.style_weight * part.few_share, loss)
    if phase.stability_weight and part.disturbance:
        network, photos = game.generator.network, batch.photos
        loss = stability_loss(network, photos[some], cartoons[some], part.disturbance)
        add("stability", phase.stability_weight * part.few_share, loss)
    return terms


def _parts(lesson: Lesson, micro_batch: int, content_pictures: int) -> Iterator[Part]:
    """A lesson in parts of `micro_batch` pictures."""
    count = len(lesson.batch.photos)
    all_few = min(content_pictures, count)
    for first in range(0, count, micro_batch):
        batch = lesson.batch.part(first, first + micro_batch)
        size = len(batch.photos)
        few = min(max(all_few - first, 0), size)
        disturbance = lesson.disturbance.part(first, first + few) if lesson.disturbance else None
        yield Part(batch, size / count, few, few / all_few, disturbance)
