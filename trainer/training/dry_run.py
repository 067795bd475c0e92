"""Real steps of each phase: how long a run takes, and how much memory, before days are spent.

In: a config, and real images or noise. Out: a `StepMeasurement` for each phase. Nothing is written
except drawings, if a cache folder is given.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from trainer.config import PhaseConfig, PhaseName, TrainConfig
from trainer.data.dataset import Batch
from trainer.device import MB, Machine, cap_memory, open_device
from trainer.training.memory import MemoryPlan, describe_plan, initial_plan
from trainer.training.open_dataset import open_dataset
from trainer.training.run_folder import Sources
from trainer.training.state import TrainingState, create_state
from trainer.training.step_inputs import prepare_step
from trainer.training.train import train_step

MEASURED_STEPS = 5
MEASURED_SECONDS = 60.0
"""Number of steps that are timed, and the time after which no further step is begun."""


@dataclass(frozen=True)
class StepMeasurement:
    """Cost of a training step of one phase."""

    phase: PhaseName
    """Name of the phase."""
    device: str
    """Type of the device, `cpu` or `cuda`."""
    precision: str
    """Precision of the convolutions: `f32`, `bf16` or `f16`."""
    seconds: float
    """Duration of one step in seconds, median of several, without the preparation of its batch."""
    images: int
    """Number of photos in a batch."""
    plan: MemoryPlan
    """How the batch had to be processed to fit into memory."""
    peak_bytes: int | None
    """Peak of the GPU memory that PyTorch reserved, in bytes; None without a GPU."""
    steps: int
    """Number of steps of the phase."""
    measured_steps: int
    """Number of steps that `seconds` is the median of."""
    phase_seconds: float
    """Duration of the whole phase in seconds: its steps times the median of their kind."""

    @property
    def images_per_second(self) -> float:
        """Photos per second."""
        return self.images / self.seconds

    def describe(self) -> str:
        """Describe the measurement in one line."""
        peak = "without a GPU, its memory cannot be known"
        if self.peak_bytes is not None:
            peak = f"peak {self.peak_bytes // MB} MB"
        return (
            f"{self.phase} phase: {self.seconds:.3f} s a step, "
            f"{self.images_per_second:.1f} images/s on {self.device} at {self.precision}, "
            f"{describe_plan(self.plan)}; {peak}"
        )

    def json_values(self) -> dict[str, object]:
        """Return the values that `toonvid bench --train --json` prints, under their stable keys."""
        renamed = {"images": "pictures"}
        return {renamed.get(name, name): value for name, value in asdict(self).items()}


def dry_run(config: TrainConfig, sources: Sources, machine: Machine) -> Iterator[StepMeasurement]:
    """Measure steps of each phase on real images, with all losses of the phase.

    Args:
        config: Config of the run.
        sources: Where the images come from.
        machine: Device and memory that may be used.

    Yields:
        A measurement for each phase that has steps. Their `phase_seconds` together are the run's.

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
        state = create_state(config, sources.content_weights, device)
        for step in last_steps(config):
            yield measure_step(state, step, dataset.batch(step))


def measure_training(
    config: TrainConfig, content_weights: Path | None, machine: Machine
) -> Iterator[StepMeasurement]:
    """Measure steps of each phase on noise: a benchmark that needs no images.

    Args:
        config: Config of the run.
        content_weights: File of the content network's weights; None leaves out the losses that need
            it.
        machine: Device and memory that may be used.

    Yields:
        A measurement for each phase that has steps.

    Raises:
        DeviceMissingError: A GPU was asked for, and there is none.
        TrainingError: The weights cannot be read, or the memory is too small.
    """
    if content_weights is None:
        config = without_content_network(config)
    device = open_device(machine.device)
    cap_memory(device, machine.memory_limit)
    state = create_state(config, content_weights, device)
    for step in last_steps(config):
        random = torch.Generator().manual_seed(config.seed)
        size = (config.batch_size, config.crop, config.crop, 3)
        # Channels last in memory, as real batches are.
        noise = [torch.rand(size, generator=random).permute(0, 3, 1, 2) * 2 - 1 for _ in range(4)]
        images = noise if step >= config.initialization.steps else noise[:2]
        ink = (noise[0][:, :1] + 1) / 2
        yield measure_step(state, step, Batch(*images, ink=ink))


def without_content_network(config: TrainConfig) -> TrainConfig:
    """Remove the losses that need a content network from a config.

    A phase that has no other loss left gets the pixel loss, so that there is something to measure.
    """

    def strip(phase: PhaseConfig) -> PhaseConfig:
        others = phase.pixel_weight or phase.adversarial_weight or phase.has_layer_losses
        pixel_weight = phase.pixel_weight if others else 1.0
        return replace(phase, content_weight=0.0, style_weight=0.0, pixel_weight=pixel_weight)

    initialization, adversarial = strip(config.initialization), strip(config.adversarial)
    return replace(config, initialization=initialization, adversarial=adversarial)


def last_steps(config: TrainConfig) -> list[int]:
    """Return the index of the last step of each phase: it has all losses of the phase."""
    ends = (config.initialization.steps, config.steps)
    phases = (config.initialization, config.adversarial)
    return [end - 1 for end, phase in zip(ends, phases, strict=True) if phase.steps]


def measure_step(state: TrainingState, step: int, batch: Batch) -> StepMeasurement:
    """Time the steps of a phase.

    A phase that begins with steps of its pixel losses alone has two kinds of steps, each timed.

    Args:
        state: State of a run; its weights stay the same, since the learning rate is 0.
        step: Index of the phase's last step.
        batch: Batch of the step.
    """
    config, device = state.config, state.precision.device
    name, phase, step_of_phase = config.phase_at(step)
    state.begin_phase(phase)
    state.memory.apply(initial_plan(config))
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    durations = time_steps(state, step, batch)
    seconds = statistics.median(durations)
    alone = min(phase.pixel_only_steps, step_of_phase)
    phase_seconds = (phase.steps - alone) * seconds
    if alone:
        phase_seconds += alone * statistics.median(time_steps(state, step - step_of_phase, batch))
    return StepMeasurement(
        phase=name,
        device=device.type,
        precision=state.precision.name,
        seconds=seconds,
        images=config.batch_size,
        plan=state.memory.plan,
        peak_bytes=torch.cuda.max_memory_reserved(device) if device.type == "cuda" else None,
        steps=phase.steps,
        measured_steps=len(durations),
        phase_seconds=phase_seconds,
    )


def time_steps(state: TrainingState, step: int, batch: Batch) -> list[float]:
    """Do a step several times, after one that warms up libraries and allocator.

    Returns:
        Durations in seconds: `MEASURED_STEPS`, or fewer where they take more than
        `MEASURED_SECONDS` together.
    """
    device = state.precision.device
    durations: list[float] = []
    for repetition in range(1 + MEASURED_STEPS):
        started = time.perf_counter()
        inputs = prepare_step(state.config, step, batch.to(device))
        train_step(state, inputs, learning_rate=0.0)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        if repetition:
            durations.append(time.perf_counter() - started)
        if sum(durations) > MEASURED_SECONDS:
            break
    return durations
