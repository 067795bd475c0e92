"""What a step learns depends neither on the micro-batch nor on the other player's weights."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
import torch
from torch import Tensor

from trainer.config import TrainConfig, change_config
from trainer.dataset import Batch
from trainer.game import Game, open_game
from trainer.phases import (
    Lesson,
    discriminator_gradients,
    draw_lesson,
    generator_gradients,
)

CPU = torch.device("cpu")


class Colours:
    """Stands in for the content network: pictures at a quarter of the size."""

    layer_weights = (1.0,)

    def __call__(self, pictures: Tensor) -> list[Tensor]:
        return [torch.nn.functional.avg_pool2d(pictures, 4)]


@pytest.fixture
def rules(both_phases: TrainConfig) -> TrainConfig:
    """All losses that can be added up over parts; five of six pictures in the costly ones."""
    weights = ("content", "total_variation", "colour", "pixel", "stability")
    asked = [f"adversarial.{name}_weight=1" for name in weights]
    return change_config(
        both_phases, [*asked, "batch_size=6", "content_pictures=5", "precision=f32"]
    )


@pytest.fixture
def game(rules: TrainConfig) -> Game:
    without = change_config(rules, ["adversarial.content_weight=0"])
    game = open_game(without, None, CPU)
    game = Game(rules, game.precision, game.generator, game.mean, game.discriminator, Colours())
    game.begin_phase(rules.adversarial)
    return game


@pytest.fixture
def lesson(rules: TrainConfig) -> Lesson:
    random = torch.Generator().manual_seed(1)
    pictures = [torch.rand(6, 3, 32, 32, generator=random) * 2 - 1 for _ in range(4)]
    return draw_lesson(rules, rules.initialization.steps, Batch(*pictures))


def gradients(network: torch.nn.Module) -> list[Tensor]:
    return [p.grad.clone() for p in network.parameters() if p.grad is not None]


def test_parts_of_a_batch_of_layers_add_up_to_the_whole(both_phases: TrainConfig) -> None:
    settings = ("generator=cel", "content_target=drawing", "width=8", "blocks=1", "precision=f32")
    losses = ("color", "gradient", "ink", "stability")
    weights = [f"initialization.layer_{name}_weight=1" for name in losses]
    others = ("pixel", "gradient_difference", "stability", "equivariance")
    none = [f"initialization.{name}_weight=0" for name in others]
    rules = change_config(
        both_phases,
        [
            *(*settings, *weights, *none, "initialization.pixel_only_steps=0", "noisy_share=0.5"),
            *("batch_size=6", "content_pictures=5", "adversarial.steps=0"),
        ],
    )
    game = open_game(rules, None, CPU)
    game.begin_phase(rules.initialization)
    random = torch.Generator().manual_seed(1)
    pictures = [torch.rand(6, 3, 32, 32, generator=random) * 2 - 1 for _ in range(2)]
    ink = (torch.rand(6, 1, 32, 32, generator=random) > 0.8).float()
    lesson = draw_lesson(rules, 0, Batch(*pictures, ink=ink))
    assert lesson.noise is not None
    noisy = lesson.noise.flatten(1).abs().amax(dim=1) > 0
    assert 0 < noisy.sum() < 6, "half of the photos get noise"
    terms, _ = generator_gradients(game, lesson, 6)
    whole = gradients(game.generator.network)
    assert terms.keys() == {f"layer_{name}" for name in losses}
    parts, _ = generator_gradients(game, lesson, 4)
    for ours, theirs in zip(gradients(game.generator.network), whole, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-3)
    for name, term in terms.items():
        torch.testing.assert_close(parts[name], term, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("micro_batch", [1, 2, 4, 5])
def test_parts_of_a_batch_add_up_to_the_whole(game: Game, lesson: Lesson, micro_batch: int) -> None:
    terms, generated = generator_gradients(game, lesson, 6)
    whole = gradients(game.generator.network)
    terms_of_parts, generated_in_parts = generator_gradients(game, lesson, micro_batch)
    assert len(whole) == len(list(game.generator.network.parameters()))
    for ours, theirs in zip(gradients(game.generator.network), whole, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-3)
    torch.testing.assert_close(generated_in_parts, generated, atol=1e-5, rtol=1e-4)
    assert terms.keys() == terms_of_parts.keys() >= {"content", "stability", "adversarial"}
    for name, term in terms.items():
        torch.testing.assert_close(terms_of_parts[name], term, atol=1e-5, rtol=1e-4)

    judging = replace(lesson, generated=generated)
    assert game.discriminator
    total = discriminator_gradients(game, judging, 6)["discriminator"]
    whole = gradients(game.discriminator.network)
    in_parts = discriminator_gradients(game, judging, micro_batch)["discriminator"]
    torch.testing.assert_close(in_parts, total, atol=1e-5, rtol=1e-4)
    for ours, theirs in zip(gradients(game.discriminator.network), whole, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-3)


def test_the_generator_s_step_leaves_no_gradients_in_the_discriminator(
    game: Game, lesson: Lesson
) -> None:
    generator_gradients(game, lesson, 6)
    assert game.discriminator
    assert not gradients(game.discriminator.network)
    assert all(p.requires_grad for p in game.discriminator.network.parameters())


def test_the_discriminator_s_step_leaves_the_generator_alone(game: Game, lesson: Lesson) -> None:
    _, generated = generator_gradients(game, lesson, 6)
    assert not generated.requires_grad
    before = gradients(game.generator.network)
    judging = replace(lesson, generated=generated)
    discriminator_gradients(game, judging, 6)
    for ours, theirs in zip(gradients(game.generator.network), before, strict=True):
        assert torch.equal(ours, theirs)


def test_pixels_alone_come_first(game: Game, rules: TrainConfig, lesson: Lesson) -> None:
    rules = change_config(rules, ["adversarial.pixel_only_steps=2"])
    first = rules.initialization.steps
    alone = draw_lesson(rules, first + 1, lesson.batch)
    assert alone.disturbance is None
    pixels = {"pixel", "gradient_difference", "equivariance"}
    assert generator_gradients(game, alone, 6)[0].keys() == pixels
    later = draw_lesson(rules, first + 2, lesson.batch)
    assert generator_gradients(game, later, 6)[0].keys() > pixels


def test_the_step_decides_what_is_drawn(rules: TrainConfig, lesson: Lesson) -> None:
    first, again, other = (draw_lesson(rules, step, lesson.batch) for step in (3, 3, 4))
    assert first.disturbance and again.disturbance and other.disturbance
    assert torch.equal(first.disturbance.noise, again.disturbance.noise)
    assert not torch.equal(first.disturbance.noise, other.disturbance.noise)


def test_each_shift_comes_in_turn(rules: TrainConfig, lesson: Lesson) -> None:
    shifts = {draw_lesson(rules, step, lesson.batch).shift for step in range(40, 55)}
    assert shifts == set(product(range(4), repeat=2)) - {(0, 0)}


def test_a_loss_of_weight_0_is_left_out(game: Game, rules: TrainConfig, lesson: Lesson) -> None:
    losses = ["adversarial", "content", "colour", "total_variation", "stability", "equivariance"]
    for name in losses:
        without = change_config(rules, [f"adversarial.{name}_weight=0"])
        terms, _ = generator_gradients(game, draw_lesson(without, 3, lesson.batch), 6)
        assert name not in terms


def test_style_compares_with_the_cartoons(game: Game, rules: TrainConfig, lesson: Lesson) -> None:
    asked = change_config(rules, ["adversarial.style_weight=1"])
    terms, _ = generator_gradients(game, draw_lesson(asked, 3, lesson.batch), 6)
    assert terms["style"] > 0
