"""State of a training run: networks, optimizers, EMA, step. Created, restored, warm-started.

In: a config, and possibly a saved state or another run. Out: a `TrainingState`, which the training
loop changes step by step, and its values for a file.

Left out: files (`trainer.training.state_file`) and the losses (`trainer.training.phases`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from toonvid.backends.contract import one_line
from toonvid.errors import TrainingError
from trainer.config import PhaseConfig, TrainConfig
from trainer.networks.build import make_content_features, make_discriminator, make_generator
from trainer.networks.content_features import ContentFeatures
from trainer.training.memory import MemoryManager, describe_plan, initial_plan
from trainer.training.precision import Precision, choose_precision
from trainer.training.state_file import SavedState, find_state, load_newest_state, load_state

log = logging.getLogger(__name__)

# What PyTorch raises for values that are not those of a network or an optimizer.
_MISFITS = (RuntimeError, KeyError, TypeError, ValueError, AttributeError, IndexError)


@dataclass
class TrainingState:
    """Everything that a training step reads and changes."""

    config: TrainConfig
    """Config of the run."""
    precision: Precision
    """Device, and arithmetic of the convolutions."""
    generator: OptimizedNetwork
    """G."""
    discriminator: OptimizedNetwork | None
    """D; None if the run has no adversarial phase."""
    ema: AveragedModel
    """Exponential moving average of the generator's weights, which is what is exported."""
    features: ContentFeatures | None
    """Content network; None if no loss needs one."""
    memory: MemoryManager
    """Division of a batch into micro-batches."""
    step: int = 0
    """Number of steps done."""
    rollbacks: int = 0
    """Number of rollbacks after a divergence so far; each halves the learning rate."""

    def begin_phase(self, phase: PhaseConfig) -> None:
        """Replace the optimizers, so that no momentum is carried over from the phase before."""
        for network in self._optimized_networks():
            network.begin_phase(phase)

    def has_finite_weights(self) -> bool:
        """Whether no weight of either network is NaN or infinite."""
        return all(network.is_finite() for network in self._optimized_networks())

    def capture(self) -> SavedState:
        """Collect everything that the rest of the run depends on.

        The order of the images, and all that is sampled, follow from the seed and the step, and
        need no saving. PyTorch's generator is saved nevertheless, in case a network uses it.
        """
        values = {"generator": self.generator.capture(), "ema": self.ema.state_dict()}
        if self.discriminator:
            values["discriminator"] = self.discriminator.capture()
        values["memory"] = self.memory.capture()
        values["rollbacks"] = self.rollbacks
        values["random"] = torch.get_rng_state()
        return SavedState(self.step, values)

    def restore(self, saved: SavedState) -> None:
        """Continue from what `capture` returned.

        Raises:
            TrainingError: The values are not those of a run with this config.
        """
        try:
            self._restore(saved)
        except torch.OutOfMemoryError:
            raise
        except _MISFITS as error:
            raise TrainingError(
                f"the training state of step {saved.step} does not fit the run's config"
                f" ({one_line(error)}): remove it to go on from the state before it"
            ) from error

    def _restore(self, saved: SavedState) -> None:
        values = saved.values
        _, phase, step_of_phase = self.config.phase_at(saved.step)
        # At the start of a phase the saved optimizers are those of the phase before.
        with_optimizer = step_of_phase > 0
        self.begin_phase(phase)
        self.generator.restore(values["generator"], with_optimizer)
        self.ema.load_state_dict(values["ema"])
        if self.discriminator:
            self.discriminator.restore(values["discriminator"], with_optimizer)
        self.memory.restore(values["memory"])
        torch.set_rng_state(values["random"])
        self.rollbacks = values["rollbacks"]
        self.step = saved.step
        if self.memory.plan.micro_batch < self.config.batch_size:
            log.info("memory: %s", describe_plan(self.memory.plan))

    def warm_start(self, place: Path) -> None:
        """Take over the generator of another run, from its EMA.

        Args:
            place: Folder of the run, or file of one of its training states.

        Raises:
            TrainingError: There is no training state, or it has a generator of another config.
        """
        path = find_state(place)
        try:
            self.ema.load_state_dict(load_state(path).values["ema"])
        except _MISFITS as error:
            raise TrainingError(f"{path} holds another generator than this run's config") from error
        self.generator.network.load_state_dict(self.ema.module.state_dict())

    def _optimized_networks(self) -> Iterator[OptimizedNetwork]:
        yield self.generator
        if self.discriminator:
            yield self.discriminator


class OptimizedNetwork:
    """A network with its optimizer and its gradient scaler."""

    def __init__(self, network: nn.Module, precision: Precision) -> None:
        """Wrap a network; `begin_phase` creates the optimizer.

        Args:
            network: Generator or discriminator, on its device.
            precision: Precision of the run.
        """
        self.network = network
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
        """Update the weights with the gradients; at float16, skip the update if they overflowed."""
        assert self._optimizer, "begin_phase comes first"
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate
        if self._gradient_clip:
            self._scaler.unscale_(self._optimizer)
            nn.utils.clip_grad_norm_(self.network.parameters(), self._gradient_clip)
        self._scaler.step(self._optimizer)
        self._scaler.update()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Pass gradients through the network to its input without accumulating its own."""
        self.network.requires_grad_(False)
        try:
            yield
        finally:
            self.network.requires_grad_(True)

    def is_finite(self) -> bool:
        """Whether no weight is NaN or infinite."""
        return all(bool(p.isfinite().all()) for p in self.network.parameters())

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


def create_state(
    config: TrainConfig, content_weights: Path | None, device: torch.device
) -> TrainingState:
    """Create the state before the first step: random weights, which the seed determines.

    Args:
        config: Config of the run.
        content_weights: File of the content network's weights; None downloads them if needed.
        device: Device of all networks.

    Raises:
        TrainingError: The content network's weights are missing, or belong to another network.
    """
    torch.manual_seed(config.seed)
    precision = choose_precision(config.precision, device)
    generator = make_generator(config).to(device)
    ema = AveragedModel(generator, multi_avg_fn=get_ema_multi_avg_fn(config.ema_decay))
    discriminator = make_discriminator(config).to(device) if config.adversarial.steps else None
    features = make_content_features(config, content_weights)
    if features:
        features = features.to(device, memory_format=torch.channels_last)
    networks = [generator, *([discriminator] if discriminator else [])]
    return TrainingState(
        config=config,
        precision=precision,
        generator=OptimizedNetwork(generator, precision),
        discriminator=OptimizedNetwork(discriminator, precision) if discriminator else None,
        ema=ema.eval(),
        features=features,
        memory=MemoryManager(initial_plan(config), networks),
    )


def load_trained_generator(states: Path, config: TrainConfig) -> tuple[nn.Module, int]:
    """Load the generator that a run exports: the EMA of its newest training state.

    Args:
        states: Folder of the run's training states.
        config: Config of the run.

    Returns:
        The generator on the CPU in evaluation mode, and the number of steps done.

    Raises:
        TrainingError: The run has no training state yet, or it does not fit the config.
    """
    saved = load_newest_state(states)
    if saved is None:
        raise TrainingError(f"{states.parent} has no training state yet: train it first")
    ema = AveragedModel(make_generator(config))
    try:
        ema.load_state_dict(saved.values["ema"])
    except _MISFITS as error:
        raise TrainingError(
            f"the newest training state in {states} is one of another generator than the run's"
        ) from error
    return ema.module.eval(), saved.step
