"""A network with its optimizer and its gradient scaler.

In: a network, and the config of each phase. Out: its update, step by step, and its values for a
training state. Left out: losses (`trainer.training.phases`) and files.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from trainer.config import PhaseConfig
from trainer.training.precision import Precision
from trainer.training.processes import ALONE, Processes


class OptimizedNetwork:
    """A network with its optimizer and its gradient scaler."""

    def __init__(
        self, network: nn.Module, precision: Precision, processes: Processes = ALONE
    ) -> None:
        """Wrap a network; `begin_phase` creates the optimizer.

        Args:
            network: Generator or discriminator, on its device.
            precision: Precision of the run.
            processes: Processes of the run, whose gradients an update sums.
        """
        self.network = network
        self._processes = processes
        # One scaler for each network: with a common one, an overflow in the discriminator's
        # gradients would also skip the generator's step.
        self._scaler = precision.make_scaler()
        self._optimizer: torch.optim.Adam | None = None
        self._gradient_clip = 0.0

    def begin_phase(self, phase: PhaseConfig) -> None:
        """Replace the optimizer by a new one for the phase."""
        betas = (phase.beta1, phase.beta2)
        self._gradient_clip = phase.gradient_clip
        self._optimizer = torch.optim.Adam(self.network.parameters(), lr=0.0, betas=betas)

    def clear_gradients(self) -> None:
        """Drop all gradients."""
        self.network.zero_grad(set_to_none=True)

    def add_gradients(self, loss: Tensor) -> None:
        """Add the gradients of a loss to those of the micro-batches before."""
        self._scaler.scale(loss).backward()

    def step(self, learning_rate: float) -> None:
        """Update the weights with the gradients; at float16, skip the update if they overflowed.

        The gradients are summed over all processes first, and with them what overflowed: so all
        processes have the same norm to clip, and skip the same updates.
        """
        assert self._optimizer, "begin_phase comes first"
        self._processes.sum_gradients(self.network)
        if self._scaler.is_enabled():
            # Creates the scale in a process whose images are in no loss; otherwise nothing.
            self._scaler.scale(torch.zeros((), device=next(self.network.parameters()).device))
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate
        if self._gradient_clip:
            self._scaler.unscale_(self._optimizer)
            nn.utils.clip_grad_norm_(self.network.parameters(), self._gradient_clip)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self._processes.average_statistics(self.network)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Pass gradients through the network to its input without accumulating its own."""
        self.network.requires_grad_(False)
        try:
            yield
        finally:
            self.network.requires_grad_(True)

    def capture(self) -> dict[str, object]:
        """Collect the weights and the states of scaler and optimizer."""
        return {
            "network": self.network.state_dict(),
            "scaler": self._scaler.state_dict(),
            "optimizer": self._optimizer.state_dict() if self._optimizer else None,
        }

    def restore(self, values: dict[str, object], with_optimizer: bool) -> None:
        """Continue from what `capture` returned; False leaves the optimizer new."""
        self.network.load_state_dict(values["network"])
        if values["scaler"]:  # empty where float16 is not used
            self._scaler.load_state_dict(values["scaler"])
        if with_optimizer and self._optimizer:
            self._optimizer.load_state_dict(values["optimizer"])
