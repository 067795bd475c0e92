"""Gradient checkpointing: recomputing activations in the backward pass to save memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


class Stages(nn.Sequential):
    """A `Sequential` that can forget what its parts computed inside, and compute it again."""

    recompute = False
    """Whether gradient checkpointing is on; see `set_gradient_checkpointing`."""

    def forward(self, x: Tensor) -> Tensor:
        for stage in self:
            x = _run_and_forget(stage, x) if self.recompute and _records() else stage(x)
        return x


def set_gradient_checkpointing(network: nn.Module, on: bool) -> None:
    """Turn gradient checkpointing on or off in every `Stages` of a network."""
    for module in network.modules():
        if isinstance(module, Stages):
            module.recompute = on


def _records() -> bool:
    return torch.is_grad_enabled()


def _run_and_forget(stage: nn.Module, x: Tensor) -> Tensor:
    """Run a stage; only its input is kept for the backward pass.

    No network here draws random numbers, so none are put back.
    """

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _statistics_kept(stage)

    return checkpoint(stage, x, use_reentrant=False, preserve_rng_state=False, context_fn=contexts)


@contextmanager
def _statistics_kept(stage: nn.Module) -> Iterator[None]:
    """Let BatchNorm normalise without counting the batch a second time (pytorch#96136)."""
    norms = [module for module in stage.modules() if isinstance(module, _BatchNorm)]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
        if norm.num_batches_tracked is not None:
            norm.num_batches_tracked = norm.num_batches_tracked.clone()
    try:
        yield
    finally:
        for norm, (momentum, counter) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, counter
