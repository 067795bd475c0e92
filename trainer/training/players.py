"""The two players of the game, generator and discriminator: each a network that can learn.

Leaves out what they learn from: `trainer.training.phases`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from trainer.config import PhaseConfig
from trainer.training.precision import Precision


class Player:
    """A network with its optimizer and its gradient scaler."""

    def __init__(self, network: nn.Module, precision: Precision) -> None:
        self.network = network
        # One scaler for both players would let one's overflow spoil the other's steps.
        self._scaler = precision.make_scaler()
        self._optimizer: torch.optim.Adam | None = None

    def begin_phase(self, phase: PhaseConfig) -> None:
        """Forget the momentum of the phase before."""
        parameters = self.network.parameters()
        self._optimizer = torch.optim.Adam(parameters, lr=0.0, betas=(phase.beta1, 0.999))

    def clear_gradients(self) -> None:
        self.network.zero_grad(set_to_none=True)

    def add_gradients(self, loss: Tensor) -> None:
        """Add a loss's gradients to those of the parts of the batch before."""
        self._scaler.scale(loss).backward()

    def learn(self, learning_rate: float) -> None:
        """Change the weights by the gradients; at float16, not if they overflowed."""
        assert self._optimizer, "no phase has begun"
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate
        self._scaler.step(self._optimizer)
        self._scaler.update()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Let gradients pass through the network without being kept in it."""
        self.network.requires_grad_(False)
        try:
            yield
        finally:
            self.network.requires_grad_(True)

    def is_finite(self) -> bool:
        """Whether all weights are numbers."""
        return all(bool(p.isfinite().all()) for p in self.network.parameters())

    def capture(self) -> dict[str, object]:
        """All that the player's further way depends on."""
        return {
            "network": self.network.state_dict(),
            "scaler": self._scaler.state_dict(),
            "optimizer": self._optimizer.state_dict() if self._optimizer else None,
        }

    def restore(self, values: dict[str, object], same_phase: bool) -> None:
        """Go on from what `capture` gave.

        Args:
            values: What it gave.
            same_phase: False leaves the optimizer as it began the phase.
        """
        self.network.load_state_dict(values["network"])
        if values["scaler"]:
            self._scaler.load_state_dict(values["scaler"])
        if same_phase and self._optimizer:
            self._optimizer.load_state_dict(values["optimizer"])


def learning_rate(phase: PhaseConfig, done: int) -> float:
    """The learning rate of a phase after `done` of its steps: a short rise, then its fall."""
    rise = min(1.0, (done + 1) / phase.warm_up)
    fall = (1 + math.cos(math.pi * done / phase.steps)) / 2 if phase.fall == "cosine" else 1.0
    return phase.learning_rate * rise * fall
