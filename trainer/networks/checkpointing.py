"""Gradient checkpointing: activations are recomputed in the backward pass instead of stored.

In: networks built from `Stages`. Out: the same outputs and the same gradients, with less memory and
about a third more time. `torch.utils.checkpoint` does the work; here it is made correct for
BatchNorm, whose running statistics the recomputation would update a second time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


class Stages(nn.Sequential):
    """A `Sequential` that can store only the inputs of its stages for the backward pass."""

    recompute = False
    """Whether gradient checkpointing is on; see `set_gradient_checkpointing`."""

    def forward(self, x: Tensor) -> Tensor:
        # Without gradients nothing is stored, so there is nothing to save either.
        recompute = self.recompute and torch.is_grad_enabled()
        for stage in self:
            x = _run_checkpointed(stage, x) if recompute else stage(x)
        return x


def set_gradient_checkpointing(network: nn.Module, on: bool) -> None:
    """Turn gradient checkpointing on or off in every `Stages` of a network."""
    for module in network.modules():
        if isinstance(module, Stages):
            module.recompute = on


def _run_checkpointed(stage: nn.Module, x: Tensor) -> Tensor:
    """Run a stage and store only its input."""

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _frozen_statistics(stage)  # forward pass, recomputation

    # No network here uses random numbers (dropout), so their state need not be preserved.
    return checkpoint(stage, x, use_reentrant=False, preserve_rng_state=False, context_fn=contexts)


@contextmanager
def _frozen_statistics(stage: nn.Module) -> Iterator[None]:
    """Have BatchNorm normalize by the batch without updating its running statistics.

    Works around https://github.com/pytorch/pytorch/issues/96136. Momentum 0 leaves the mean and the
    variance as they are; the counter, which has no such switch, is replaced by a copy for the time.
    """
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
