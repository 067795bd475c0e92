"""State of a training run: networks, optimizers, EMA, step. Created, restored, warm-started.

In: a config, and possibly a saved state or another run. Out: a `TrainingState`, which the training
loop changes step by step, and its values for a file.

Left out: files (`trainer.training.state_file`) and the losses (`trainer.training.phases`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from toonvid.backends.contract import one_line
from toonvid.engine import Engine
from toonvid.errors import TrainingError
from trainer.config import PhaseConfig, TrainConfig
from trainer.networks.build import (
    make_content_features,
    make_generator,
    make_trained_discriminator,
    make_trained_generator,
)
from trainer.networks.content_features import ContentFeatures
from trainer.networks.cyclegan import GeneratorPair
from trainer.networks.engine_weights import read_generator
from trainer.training.image_pool import ImagePool
from trainer.training.memory import MemoryManager, describe_plan, initial_plan
from trainer.training.optimized_network import OptimizedNetwork
from trainer.training.precision import Precision, choose_precision
from trainer.training.processes import ALONE, Processes
from trainer.training.state_file import SavedState, find_start, load_newest_state, load_state

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
    """G; for CycleGAN the pair of G and its inverse."""
    discriminator: OptimizedNetwork | None
    """D, for CycleGAN a pair; None if the run has no adversarial phase."""
    ema: AveragedModel
    """Exponential moving average of the generator's weights, which is what is exported."""
    features: ContentFeatures | None
    """Content network; None if no loss needs one."""
    memory: MemoryManager
    """Division of a batch into micro-batches."""
    cartoon_pool: ImagePool
    """Generated cartoons that the discriminator sees again; of size 0 without an `image_pool`."""
    photo_pool: ImagePool
    """Generated photos likewise, for CycleGAN."""
    step: int = 0
    """Number of steps done."""
    rollbacks: int = 0
    """Number of rollbacks after a divergence so far; each halves the learning rate."""
    processes: Processes = ALONE
    """Processes of the run. All of them have the same state."""

    @property
    def exported(self) -> nn.Module:
        """The network from photos to cartoons, whose EMA is exported."""
        network = self.generator.network
        return network.to_cartoons if isinstance(network, GeneratorPair) else network

    def begin_phase(self, phase: PhaseConfig) -> None:
        """Replace the optimizers, so that no momentum is carried over from the phase before."""
        for network in self._optimized_networks():
            network.begin_phase(phase)

    def has_finite_weights(self) -> bool:
        """Whether no weight and no statistic of the networks and of the EMA is NaN or infinite.

        At float16, one step that overflows leaves the weights as they are, but not the running
        statistics of BatchNorm.
        """
        networks = (*(each.network for each in self._optimized_networks()), self.ema)
        return all(
            bool(values.isfinite().all())
            for network in networks
            for values in (*network.parameters(), *network.buffers())
        )

    def capture(self) -> SavedState:
        """Collect everything that the rest of the run depends on.

        The order of the images, and all that is sampled, follow from the seed and the step, and
        need no saving. PyTorch's generator is saved nevertheless, in case a network uses it.
        """
        values = {"generator": self.generator.capture(), "ema": self.ema.state_dict()}
        if self.discriminator:
            values["discriminator"] = self.discriminator.capture()
        values["memory"] = self.memory.capture()
        if self.config.image_pool:
            values["cartoon_pool"] = self.cartoon_pool.capture()
            values["photo_pool"] = self.photo_pool.capture()
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
        if self.config.image_pool:
            self.cartoon_pool.restore(values["cartoon_pool"])
            self.photo_pool.restore(values["photo_pool"])
        torch.set_rng_state(values["random"])
        self.rollbacks = values["rollbacks"]
        self.step = saved.step
        if self.memory.plan.micro_batch < self.config.batch_size:
            log.info("memory: %s", describe_plan(self.memory.plan))

    def copy_from_first(self) -> None:
        """Take over weights and buffers from the first process of the run."""
        for network in (*(n.network for n in self._optimized_networks()), self.ema):
            self.processes.copy_from_first(network)

    def warm_start(self, place: Path) -> None:
        """Take over the generator of another run, from its EMA, or that of an engine.

        Args:
            place: Folder of the run, file of one of its training states, or an engine: see
                `find_start`.

        Raises:
            EngineError, TrainingError: There is none, or it has a generator of another config.
        """
        found = find_start(place)
        try:
            if isinstance(found, Engine):
                self.ema.module.load_state_dict(read_generator(found).state_dict())
            else:
                self.ema.load_state_dict(load_state(found).values["ema"])
        except _MISFITS as error:
            raise TrainingError(f"{place} has another generator than this run's config") from error
        self.exported.load_state_dict(self.ema.module.state_dict())

    def take_fitting_weights(self, other: nn.Module) -> None:
        """Take over the weights of another generator for the layers that both have alike."""
        own, others = self.ema.module.state_dict(), other.state_dict()
        fitting = {n: w for n, w in others.items() if n in own and own[n].shape == w.shape}
        self.ema.module.load_state_dict({**own, **fitting})
        self.exported.load_state_dict(self.ema.module.state_dict())

    def _optimized_networks(self) -> Iterator[OptimizedNetwork]:
        yield self.generator
        if self.discriminator:
            yield self.discriminator


def create_state(
    config: TrainConfig,
    content_weights: Path | None,
    device: torch.device,
    processes: Processes = ALONE,
) -> TrainingState:
    """Create the state before the first step: random weights, which the seed determines.

    Args:
        config: Config of the run.
        content_weights: File of the content network's weights; None downloads them if needed.
        device: Device of all networks.
        processes: Processes of the run.

    Raises:
        TrainingError: The content network's weights are missing, or belong to another network.
    """
    torch.manual_seed(config.seed)
    precision = choose_precision(config.precision, device)
    # With different GPUs the first decides: at float16 alone are gradients scaled.
    name = processes.from_first(lambda: precision.name)
    precision = replace(precision, name=name)
    generator = make_trained_generator(config).to(device)
    exported = generator.to_cartoons if isinstance(generator, GeneratorPair) else generator
    ema = AveragedModel(exported, multi_avg_fn=get_ema_multi_avg_fn(config.ema_decay))
    discriminator = None
    if config.adversarial.steps:
        discriminator = make_trained_discriminator(config).to(device)
    features = make_content_features(config, content_weights)
    if features:
        features = features.to(device, memory_format=torch.channels_last)
    networks = [generator, *([discriminator] if discriminator else [])]
    return TrainingState(
        config=config,
        precision=precision,
        generator=OptimizedNetwork(generator, precision, processes),
        discriminator=(
            OptimizedNetwork(discriminator, precision, processes) if discriminator else None
        ),
        ema=ema.eval(),
        features=features,
        memory=MemoryManager(initial_plan(config), networks, processes),
        cartoon_pool=ImagePool(config.image_pool, seed=(config.seed, 2), device=device),
        photo_pool=ImagePool(config.image_pool, seed=(config.seed, 3), device=device),
        processes=processes,
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
