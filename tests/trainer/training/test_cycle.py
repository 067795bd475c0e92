"""CycleGAN learns in the common training loop: gradients, resuming, pools, export."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from support.state_tensors import tensors
from torch import Tensor

from toonvid.backends import open_backend
from toonvid.errors import TrainingError
from trainer.config import TrainConfig, change_config
from trainer.data.dataset import Batch
from trainer.exporting.export import EngineText, export
from trainer.presets import CYCLEGAN
from trainer.training.cycle import cycle_discriminator_gradients, cycle_generator_gradients
from trainer.training.run_folder import Run, Sources
from trainer.training.state import TrainingState, create_state, load_trained_generator
from trainer.training.state_file import load_newest_state
from trainer.training.step_inputs import StepInputs, prepare_step
from trainer.training.train import train, train_step

TINY = ("batch_size=2", "crop=32", "frame_heights=36", "width=8", "blocks=1")
CPU = torch.device("cpu")


@pytest.fixture
def config() -> TrainConfig:
    short = ("precision=f32", "discriminator_width=4", "image_pool=3", "adversarial.steps=4")
    return change_config(CYCLEGAN, [*TINY, *short, "save_every=2", "log_every=1"])


@pytest.fixture
def state(config: TrainConfig) -> TrainingState:
    state = create_state(config, None, CPU)
    state.begin_phase(config.adversarial)
    return state


def make_inputs(config: TrainConfig) -> StepInputs:
    random = torch.Generator().manual_seed(3)
    images = [torch.rand(2, 3, 32, 32, generator=random) * 2 - 1 for _ in range(3)]
    return prepare_step(config, 0, Batch(images[0], None, images[1], images[2]))


def gradients(network: torch.nn.Module) -> list[Tensor]:
    return [p.grad.clone() for p in network.parameters() if p.grad is not None]


def test_the_losses_are_those_of_the_publication(config: TrainConfig, state: TrainingState) -> None:
    inputs = make_inputs(config)
    photos, cartoons = inputs.batch.photos, inputs.batch.cartoons
    assert cartoons is not None and state.discriminator
    to_cartoons = state.generator.network.to_cartoons
    to_photos = state.generator.network.to_photos
    of_cartoons = state.discriminator.network.of_cartoons
    of_photos = state.discriminator.network.of_photos
    losses, made = cycle_generator_gradients(state, inputs, micro_batch=2)
    ours = gradients(state.generator.network)

    fake_cartoons, fake_photos = to_cartoons(photos), to_photos(cartoons)
    expected = {
        "adversarial": (of_cartoons(fake_cartoons)[0] - 1).square().mean(),
        "adversarial_photos": (of_photos(fake_photos)[0] - 1).square().mean(),
        "cycle": 10 * F.l1_loss(to_photos(fake_cartoons), photos)
        + 10 * F.l1_loss(to_cartoons(fake_photos), cartoons),
        "identity": 5 * F.l1_loss(to_cartoons(cartoons), cartoons)
        + 5 * F.l1_loss(to_photos(photos), photos),
    }
    assert losses.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.allclose(losses[name], value), name
    assert torch.allclose(made.cartoons, fake_cartoons) and torch.allclose(made.photos, fake_photos)
    state.generator.clear_gradients()
    torch.stack(list(expected.values())).sum().backward()
    for mine, theirs in zip(ours, gradients(state.generator.network), strict=True):
        assert torch.allclose(mine, theirs, atol=1e-5)

    state.discriminator.clear_gradients()
    fakes = replace(inputs, generated=made.cartoons, generated_photos=made.photos)
    found = cycle_discriminator_gradients(state, fakes, micro_batch=2)
    half_cartoons = (
        (of_cartoons(cartoons)[0] - 1).square().mean()
        + of_cartoons(made.cartoons)[0].square().mean()
    ) / 2
    half_photos = (
        (of_photos(photos)[0] - 1).square().mean() + of_photos(made.photos)[0].square().mean()
    ) / 2
    assert torch.allclose(found["discriminator"], half_cartoons)
    assert torch.allclose(found["discriminator_photos"], half_photos)


def test_micro_batches_and_checkpointing_give_the_same_gradients(
    config: TrainConfig, state: TrainingState
) -> None:
    inputs, discriminators = make_inputs(config), state.discriminator
    assert discriminators
    found = []
    for plan in (state.memory.plan, replace(state.memory.plan, micro_batch=1), None):
        state.memory.apply(plan or replace(state.memory.plan, gradient_checkpointing=True))
        _, made = cycle_generator_gradients(state, inputs, state.memory.plan.micro_batch)
        fakes = replace(inputs, generated=made.cartoons, generated_photos=made.photos)
        cycle_discriminator_gradients(state, fakes, state.memory.plan.micro_batch)
        found.append(gradients(state.generator.network) + gradients(discriminators.network))
    for other in found[1:]:
        for ours, theirs in zip(found[0], other, strict=True):
            assert (ours - theirs).norm() <= 1e-4 * ours.norm() + 1e-4


def test_a_step_changes_all_four_networks_and_keeps_the_images(
    config: TrainConfig, state: TrainingState
) -> None:
    assert state.discriminator
    parts = [*state.generator.network.children(), *state.discriminator.network.children()]
    before = [part.state_dict() | {} for part in parts]
    before = [{name: value.clone() for name, value in values.items()} for values in before]
    _, made = train_step(state, make_inputs(config), learning_rate=1e-3)
    assert len(parts) == 4
    for part, old in zip(parts, before, strict=True):
        assert not all(torch.equal(v, old[n]) for n, v in part.state_dict().items())
    kept = state.cartoon_pool.capture()
    assert kept is not None and torch.allclose(kept.float(), made, atol=1e-3)
    assert state.photo_pool.capture() is not None


def run_until(
    folder: Path, config: TrainConfig, sources: Sources, stop_after: int | None = None
) -> Run:
    run, steps = Run(folder), []
    run.claim("cyclegan", config, sources)
    train(run, config, sources, lambda p: steps.append(p.step), lambda: len(steps) == stop_after)
    return run


def test_a_resumed_run_gives_the_same_weights_and_pools(
    tmp_path: Path, photos: Path, cartoons: Path, config: TrainConfig
) -> None:
    sources = Sources(photos, cartoons)
    whole = load_newest_state(run_until(tmp_path / "whole", config, sources).states)
    stopped = load_newest_state(run_until(tmp_path / "stopped", config, sources, 3).states)
    resumed = load_newest_state(run_until(tmp_path / "stopped", config, sources).states)
    assert whole and resumed and stopped
    assert stopped.step == 3
    ours, theirs = tensors(dict(whole.values)), tensors(dict(resumed.values))
    assert ours.keys() == theirs.keys() >= {"/cartoon_pool", "/photo_pool"}
    for name, value in ours.items():
        assert torch.equal(value, theirs[name]), name


def test_its_generator_from_photos_to_cartoons_becomes_an_engine(
    tmp_path: Path, photos: Path, cartoons: Path, config: TrainConfig
) -> None:
    config = replace(config, adversarial=replace(config.adversarial, steps=1))
    run = run_until(tmp_path / "run", config, Sources(photos, cartoons))
    saved = load_newest_state(run.states)
    assert saved
    generator, _ = load_trained_generator(run.states, config)
    for name, value in generator.state_dict().items():
        assert torch.equal(value, saved.values["generator"]["network"][f"to_cartoons.{name}"])
    engine = export(run, EngineText("cycle"), tmp_path / "engines")
    assert "cycle 10, identity 5" in engine.card.recipe
    assert "pools of 3 images" in engine.card.recipe
    frame = np.random.default_rng(0).integers(0, 256, (1, 40, 56, 3), dtype=np.uint8)
    with open_backend(engine, "openvino", precision="f32") as backend:
        assert backend.run(frame, {}).shape == frame.shape


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["initialization.steps=5", "initialization.pixel_weight=1"], "initialization.steps=0"),
        (["adversarial.content_weight=1"], "generator=cyclegan has no content_weight: set it to 0"),
        (["adversarial.cycle_weight=0"], "needs an adversarial_weight and a cycle_weight"),
        (["blocks=-1"], "blocks must be at least 0"),
        (["noisy_share=0.5"], "no noisy_share"),
    ],
)
def test_options_that_would_do_nothing_are_refused(settings: list[str], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        change_config(CYCLEGAN, settings)


def test_other_generators_have_no_cycle() -> None:
    with pytest.raises(TrainingError, match="need generator=cyclegan"):
        change_config(CYCLEGAN, ["generator=paper", "blocks=8"])
