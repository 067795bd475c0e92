"""The gradients of a step do not depend on the size of its micro-batches."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from trainer.config import TrainConfig, change_config
from trainer.data.dataset import Batch
from trainer.training.phases import discriminator_gradients, generator_gradients
from trainer.training.state import TrainingState, create_state
from trainer.training.step_inputs import StepInputs, prepare_step

CPU = torch.device("cpu")


class DownscaledImages:
    """A content network whose features are images at 1/4 of the resolution."""

    layer_weights = (1.0,)

    def __call__(self, images: Tensor) -> list[Tensor]:
        return [torch.nn.functional.avg_pool2d(images, 4)]


@pytest.fixture
def all_losses(both_phases: TrainConfig) -> TrainConfig:
    """All losses that can be summed over micro-batches; five of six images in the subset."""
    weights = ("content", "total_variation", "color", "pixel", "stability")
    settings = [f"adversarial.{name}_weight=1" for name in weights]
    return change_config(
        both_phases, [*settings, "batch_size=6", "content_images=5", "precision=f32"]
    )


@pytest.fixture
def state(all_losses: TrainConfig) -> TrainingState:
    without = change_config(all_losses, ["adversarial.content_weight=0"])
    state = create_state(without, None, CPU)
    state.config, state.features = all_losses, DownscaledImages()
    state.begin_phase(all_losses.adversarial)
    return state


@pytest.fixture
def inputs(all_losses: TrainConfig) -> StepInputs:
    random = torch.Generator().manual_seed(1)
    images = [torch.rand(6, 3, 32, 32, generator=random) * 2 - 1 for _ in range(4)]
    return prepare_step(all_losses, all_losses.initialization.steps, Batch(*images))


def gradients(network: torch.nn.Module) -> list[Tensor]:
    return [p.grad.clone() for p in network.parameters() if p.grad is not None]


def test_micro_batches_of_layers_add_up_to_the_batch(both_phases: TrainConfig) -> None:
    settings = ("generator=cel", "content_target=layers", "width=8", "blocks=1", "precision=f32")
    losses = ("color", "gradient", "ink", "stability")
    weights = [f"initialization.layer_{name}_weight=1" for name in losses]
    others = ("pixel", "gradient_difference", "stability", "equivariance")
    none = [f"initialization.{name}_weight=0" for name in others]
    config = change_config(
        both_phases,
        [
            *(*settings, *weights, *none, "initialization.pixel_only_steps=0", "noisy_share=0.5"),
            *("batch_size=6", "content_images=5", "adversarial.steps=0"),
        ],
    )
    state = create_state(config, None, CPU)
    state.begin_phase(config.initialization)
    random = torch.Generator().manual_seed(1)
    images = [torch.rand(6, 3, 32, 32, generator=random) * 2 - 1 for _ in range(2)]
    ink = (torch.rand(6, 1, 32, 32, generator=random) > 0.8).float()
    inputs = prepare_step(config, 0, Batch(*images, ink=ink))
    assert inputs.noise is not None
    noisy = inputs.noise.flatten(1).abs().amax(dim=1) > 0
    assert 0 < noisy.sum() < 6, "half of the photos get noise"
    values, _ = generator_gradients(state, inputs, 6)
    whole = gradients(state.generator.network)
    assert values.keys() == {f"layer_{name}" for name in losses}
    parts, _ = generator_gradients(state, inputs, 4)
    for ours, theirs in zip(gradients(state.generator.network), whole, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-3)
    for name, value in values.items():
        torch.testing.assert_close(parts[name], value, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("micro_batch", [1, 2, 4, 5])
def test_micro_batches_add_up_to_the_batch(
    state: TrainingState, inputs: StepInputs, micro_batch: int
) -> None:
    losses, generated = generator_gradients(state, inputs, 6)
    whole = gradients(state.generator.network)
    losses_of_parts, generated_in_parts = generator_gradients(state, inputs, micro_batch)
    assert len(whole) == len(list(state.generator.network.parameters()))
    for ours, theirs in zip(gradients(state.generator.network), whole, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-3)
    torch.testing.assert_close(generated_in_parts, generated, atol=1e-5, rtol=1e-4)
    assert losses.keys() == losses_of_parts.keys() >= {"content", "stability", "adversarial"}
    for name, loss in losses.items():
        torch.testing.assert_close(losses_of_parts[name], loss, atol=1e-5, rtol=1e-4)

    with_generated = replace(inputs, generated=generated)
    assert state.discriminator
    total = discriminator_gradients(state, with_generated, 6)["discriminator"]
    whole = gradients(state.discriminator.network)
    in_parts = discriminator_gradients(state, with_generated, micro_batch)["discriminator"]
    torch.testing.assert_close(in_parts, total, atol=1e-5, rtol=1e-4)
    for ours, theirs in zip(gradients(state.discriminator.network), whole, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-3)


def test_the_generators_step_leaves_no_gradients_in_the_discriminator(
    state: TrainingState, inputs: StepInputs
) -> None:
    generator_gradients(state, inputs, 6)
    assert state.discriminator
    assert not gradients(state.discriminator.network)
    assert all(p.requires_grad for p in state.discriminator.network.parameters())


def test_the_discriminators_step_does_not_change_the_generators_gradients(
    state: TrainingState, inputs: StepInputs
) -> None:
    _, generated = generator_gradients(state, inputs, 6)
    assert not generated.requires_grad
    before = gradients(state.generator.network)
    with_generated = replace(inputs, generated=generated)
    discriminator_gradients(state, with_generated, 6)
    for ours, theirs in zip(gradients(state.generator.network), before, strict=True):
        assert torch.equal(ours, theirs)


def test_the_first_steps_have_pixel_losses_only(
    state: TrainingState, all_losses: TrainConfig, inputs: StepInputs
) -> None:
    all_losses = change_config(all_losses, ["adversarial.pixel_only_steps=2"])
    first = all_losses.initialization.steps
    first_inputs = prepare_step(all_losses, first + 1, inputs.batch)
    assert first_inputs.perturbation is None
    pixel_losses = {"pixel", "gradient_difference", "equivariance"}
    assert generator_gradients(state, first_inputs, 6)[0].keys() == pixel_losses
    later = prepare_step(all_losses, first + 2, inputs.batch)
    assert generator_gradients(state, later, 6)[0].keys() > pixel_losses


def test_a_loss_of_weight_0_is_not_computed(
    state: TrainingState, all_losses: TrainConfig, inputs: StepInputs
) -> None:
    losses = ["adversarial", "content", "color", "total_variation", "stability", "equivariance"]
    for name in losses:
        without = change_config(all_losses, [f"adversarial.{name}_weight=0"])
        losses, _ = generator_gradients(state, prepare_step(without, 3, inputs.batch), 6)
        assert name not in losses


def test_the_style_loss_compares_with_cartoons(
    state: TrainingState, all_losses: TrainConfig, inputs: StepInputs
) -> None:
    settings = change_config(all_losses, ["adversarial.style_weight=1"])
    losses, _ = generator_gradients(state, prepare_step(settings, 3, inputs.batch), 6)
    assert losses["style"] > 0
