"""Inputs of a step are determined by seed and step, and split into micro-batches."""

from __future__ import annotations

from itertools import product

import pytest
import torch

from trainer.config import TrainConfig, change_config
from trainer.data.dataset import Batch
from trainer.training.step_inputs import StepInputs, prepare_step, split


@pytest.fixture
def batch() -> Batch:
    random = torch.Generator().manual_seed(1)
    return Batch(*(torch.rand(6, 3, 48, 48, generator=random) * 2 - 1 for _ in range(4)))


@pytest.fixture
def inputs(both_phases: TrainConfig, batch: Batch) -> StepInputs:
    config = change_config(both_phases, ["content_images=5"])
    return prepare_step(config, both_phases.initialization.steps, batch)


def test_seed_and_step_determine_the_samples(both_phases: TrainConfig, batch: Batch) -> None:
    first, again, other = (prepare_step(both_phases, step, batch) for step in (3, 3, 4))
    assert first.perturbation and again.perturbation and other.perturbation
    assert torch.equal(first.perturbation.noise, again.perturbation.noise)
    assert not torch.equal(first.perturbation.noise, other.perturbation.noise)


def test_all_shifts_are_cycled_through(both_phases: TrainConfig, batch: Batch) -> None:
    shifts = {prepare_step(both_phases, step, batch).shift for step in range(40, 55)}
    assert shifts == set(product(range(4), repeat=2)) - {(0, 0)}


@pytest.mark.parametrize("micro_batch", [1, 2, 4, 6])
def test_micro_batches_share_the_batch_and_its_subset(inputs: StepInputs, micro_batch: int) -> None:
    parts = list(split(inputs, micro_batch, content_images=5))
    assert torch.equal(torch.cat([part.batch.photos for part in parts]), inputs.batch.photos)
    assert sum(part.fraction for part in parts) == pytest.approx(1)
    assert sum(part.subset_size for part in parts) == 5
    assert sum(part.subset_fraction for part in parts) == pytest.approx(1)
    noise = torch.cat([part.perturbation.noise for part in parts if part.perturbation])
    assert inputs.perturbation
    assert torch.equal(noise, inputs.perturbation.noise)


def test_a_center_crop_has_a_perturbation_of_its_size(inputs: StepInputs) -> None:
    cropped = inputs.center_crop(32)
    assert torch.equal(cropped.batch.photos, inputs.batch.photos[..., 8:40, 8:40])
    assert cropped.perturbation
    assert cropped.perturbation.noise.shape == (5, 3, 32, 32)
