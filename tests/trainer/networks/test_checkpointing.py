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


def total(made: Tensor | list[Tensor]) -> Tensor:
    maps = made if isinstance(made, list) else [made]
    return torch.stack([judged.float().square().mean() for judged in maps]).sum()


def run(network: nn.Module, pictures: Tensor, on: bool, precision: torch.dtype) -> nn.Module:
    network = copy.deepcopy(network)
    set_gradient_checkpointing(network, on)
    with torch.autocast("cpu", precision, enabled=precision != torch.float32):
        loss = total(network(pictures))
    loss.backward()
    return network


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("make", [make_generator, make_discriminator])
def test_checkpointed_equals_plain_in_gradients_and_in_statistics(
    make: object, preset: str, precision: torch.dtype
) -> None:
    torch.manual_seed(0)
    network = make(tiny(preset))
    pictures = torch.rand(2, 3, 32, 32) * 2 - 1
    plain = run(network, pictures, on=False, precision=precision)
    checkpointed = run(network, pictures, on=True, precision=precision)
    for (name, ours), theirs in zip(
        checkpointed.named_parameters(), plain.parameters(), strict=True
    ):
        assert torch.equal(ours.grad, theirs.grad), name
    for (name, ours), theirs in zip(checkpointed.named_buffers(), plain.buffers(), strict=True):
        assert torch.equal(ours, theirs), name


def test_statistics_count_a_batch_once() -> None:
    generator = make_generator(tiny("paper"))
    checkpointed = run(generator, torch.rand(2, 3, 32, 32), on=True, precision=torch.float32)
    norms = [m for m in checkpointed.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms
    assert {int(norm.num_batches_tracked) for norm in norms} == {1}
    assert {norm.momentum for norm in norms} == {0.1}


def test_checkpointing_keeps_less_for_the_backward_pass() -> None:
    generator = make_generator(tiny("paper"))
    pictures = torch.rand(1, 3, 64, 64)

    def kept(on: bool) -> int:
        set_gradient_checkpointing(generator, on)
        sizes: dict[int, int] = {}

        def note(value: Tensor) -> Tensor:
            sizes[value.data_ptr()] = value.numel()
            return value

        with torch.autograd.graph.saved_tensors_hooks(note, lambda value: value):
            loss = total(generator(pictures))
        del loss
        return sum(sizes.values())

    assert kept(True) < 0.5 * kept(False)


def test_a_frozen_discriminator_can_be_checkpointed() -> None:
    discriminator = make_discriminator(tiny("paper")).requires_grad_(False)
    set_gradient_checkpointing(discriminator, True)
    pictures = torch.rand(1, 3, 32, 32, requires_grad=True)
    total(discriminator(pictures)).backward()
    assert pictures.grad is not None and pictures.grad.abs().sum() > 0
