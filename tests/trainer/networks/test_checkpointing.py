"""Gradient checkpointing saves memory, and changes neither gradients nor statistics."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from trainer.config import TrainConfig, change_config
from trainer.networks.build import make_discriminator, make_generator
from trainer.networks.checkpointing import set_gradient_checkpointing
from trainer.presets import PRESETS


def tiny(name: str) -> TrainConfig:
    return change_config(PRESETS[name], ["width=16", "blocks=2", "discriminator_width=4"])


def total(output: Tensor | list[Tensor]) -> Tensor:
    maps = output if isinstance(output, list) else [output]
    return torch.stack([each.float().square().mean() for each in maps]).sum()


def run(network: nn.Module, images: Tensor, on: bool, precision: torch.dtype) -> nn.Module:
    network = copy.deepcopy(network)
    set_gradient_checkpointing(network, on)
    with torch.autocast("cpu", precision, enabled=precision != torch.float32):
        loss = total(network(images))
    loss.backward()
    return network


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("make", [make_generator, make_discriminator])
def test_gradients_and_statistics_are_the_same_with_and_without_checkpointing(
    make: object, preset: str, precision: torch.dtype
) -> None:
    torch.manual_seed(0)
    network = make(tiny(preset))
    pairs = make is make_discriminator and preset == "paint"
    images = torch.rand(2, 6 if pairs else 3, 32, 32) * 2 - 1
    plain = run(network, images, on=False, precision=precision)
    checkpointed = run(network, images, on=True, precision=precision)
    for (name, ours), theirs in zip(
        checkpointed.named_parameters(), plain.parameters(), strict=True
    ):
        assert torch.equal(ours.grad, theirs.grad), name
    for (name, ours), theirs in zip(checkpointed.named_buffers(), plain.buffers(), strict=True):
        assert torch.equal(ours, theirs), name


def test_batch_norm_counts_a_batch_once() -> None:
    generator = make_generator(tiny("paper"))
    checkpointed = run(generator, torch.rand(2, 3, 32, 32), on=True, precision=torch.float32)
    norms = [m for m in checkpointed.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms
    assert {int(norm.num_batches_tracked) for norm in norms} == {1}
    assert {norm.momentum for norm in norms} == {0.1}


@pytest.mark.parametrize(("preset", "share"), [("paper", 0.5), ("cel", 0.85)])
def test_checkpointing_stores_less_for_the_backward_pass(preset: str, share: float) -> None:
    generator = make_generator(tiny(preset))
    images = torch.rand(1, 3, 64, 64)

    def stored_elements(on: bool) -> int:
        set_gradient_checkpointing(generator, on)
        sizes: dict[int, int] = {}

        def note(value: Tensor) -> Tensor:
            sizes[value.data_ptr()] = value.numel()
            return value

        with torch.autograd.graph.saved_tensors_hooks(note, lambda value: value):
            loss = total(generator(images))
        del loss
        return sum(sizes.values())

    assert stored_elements(True) < share * stored_elements(False)


def test_a_frozen_discriminator_can_be_checkpointed() -> None:
    discriminator = make_discriminator(tiny("paper")).requires_grad_(False)
    set_gradient_checkpointing(discriminator, True)
    images = torch.rand(1, 3, 32, 32, requires_grad=True)
    total(discriminator(images)).backward()
    assert images.grad is not None and images.grad.abs().sum() > 0
