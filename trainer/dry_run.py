"""One real step of each phase: what it takes, before days are spent on it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from trainer.config import PhaseConfig, PhaseName, TrainConfig
from trainer.dataset import Batch
from trainer.device import MB, Machine, cap_memory, open_device
from trainer.game import Game, open_game
from trainer.memory import MemoryKeeper, MemoryPlan, describe_plan
from trainer.phases import draw_lesson
from trainer.run import Sources
from trainer.train import learn, open_dataset


@dataclass(frozen=True)
class PhaseTrial:
    """What a step of a phase takes."""

    phase: PhaseName
    device: str
    precision: str
    seconds: float
    """Of one step, without the reading of its batch."""
    pictures: int
    """In a batch."""
    plan: MemoryPlan
    """How it had to work through the batch."""
    peak_bytes: int | None
    """Of GPU memory in PyTorch's hands; None without a GPU."""

    @property
    def pictures_per_second(self) -> float:
        return self.pictures / self.seconds

    def describe(self) -> str:
        """One line."""
        peak = "without a GPU, its memory cannot be known"
        if self.peak_bytes is not None:
            peak = f"peak {self.peak_bytes // MB} MB"
        return (
            f"{self.phase} phase: {self.seconds:.3f} s a step, "
            f"{self.pictures_per_second:.1f} pictures/s on {self.device} at {self.precision}, "
            f"{describe_plan(self.plan)}; {peak}"
        )


def dry_run(config: TrainConfig, sources: Sources, machine: Machine) -> Iterator[PhaseTrial]:
    """Try one step of each phase on real pictures, at its costliest.

    Raises:
        DeviceMissingError: A GPU was asked for, and there is none.
        TrainingError: A run of this config could not begin, or does not fit into the memory.
    """
    device = open_device(machine.device)
    cap_memory(device, machine.memory_limit)
    with tempfile.TemporaryDirectory() as folder:
        temporary = Path(folder)
        cache = sources.cache or temporary
        dataset = open_dataset(config, sources, cache, temporary, device)
        game = open_game(config, sources.content_weights, device)
        for last in last_steps(config):
            yield try_phase(game, last, dataset.batch(last))


def measure_training(
    config: TrainConfig, content_weights: Path | None, machine: Machine
) -> Iterator[PhaseTrial]:
    """Time a step of each phase on pictures of noise: a benchmark that needs no data.

    Args:
        config: Without weights for a content network, its losses that need one are left out.
        content_weights: Of the content network; None goes without.
        machine: What may be used.

    Raises:
        DeviceMissingError: A GPU was asked for, and there is none.
        TrainingError: The weights cannot be read, or the memory is too small.
    """
    if content_weights is None:
        config = without_content(config)
    device = open_device(machine.device)
    cap_memory(device, machine.memory_limit)
    game = open_game(config, content_weights, device)
    for last in last_steps(config):
        random = torch.Generator().manual_seed(config.seed)
        size = (config.batch_size, config.crop, config.crop, 3)
        noise = [torch.rand(size, generator=random).permute(0, 3, 1, 2) * 2 - 1 for _ in range(4)]
        pictures = noise if last >= config.initialization.steps else noise[:2]
        yield try_phase(game, last, Batch(*pictures, ink=(noise[0][:, :1] + 1) / 2))


def without_content(config: TrainConfig) -> TrainConfig:
    """A config without the losses that look through a content network.

    A phase that has no other loss left gets the l1, so that there is something to time.
    """

    def strip(phase: PhaseConfig) -> PhaseConfig:
        others = phase.pixel_weight or phase.adversarial_weight or phase.has_layer_losses
        pixel_weight = phase.pixel_weight if others else 1.0
        return replace(phase, content_weight=0.0, style_weight=0.0, pixel_weight=pixel_weight)

    initialization, adversarial = strip(config.initialization), strip(config.adversarial)
    return replace(config, initialization=initialization, adversarial=adversarial)


def last_steps(config: TrainConfig) -> list[int]:
    """Steps behind the last one of each phase: by then all its losses are there."""
    ends = (config.initialization.steps, config.steps)
    phases = (config.initialization, config.adversarial)
    return [end - 1 for end, phase in zip(ends, phases, strict=True) if phase.steps]


def try_phase(game: Game, step: int, batch: Batch) -> PhaseTrial:
    """Do the step after `step` steps twice, and time the second: the first one prepares."""
    config, device = game.config, game.precision.device
    name, phase, _ = config.phase_after(step)
    game.begin_phase(phase)
    plan = MemoryPlan(config.batch_size, config.gradient_checkpointing)
    memory = MemoryKeeper(plan, [player.network for player in game.players()])
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    seconds = 0.0
    for _ in range(2):
        started = time.monotonic()
        lesson = draw_lesson(config, step, batch.to(device))
        learn(game, memory, lesson, learning_rate=0.0)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds = time.monotonic() - started
    peak = torch.cuda.max_memory_reserved(device) if device.type == "cuda" else None
    precision = game.precision.name
    return PhaseTrial(name, device.type, precision, seconds, config.batch_size, memory.plan, peak)
