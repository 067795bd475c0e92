"""The training loop: initialization phase, then adversarial phase.

In: a run's folder, a config, and the folders of photos and cartoons. Out: training states in the
run's folder, from which `trainer.exporting.export` makes an engine; losses, contact sheets and
events on the way. Entry point: `train`.

Several processes that `torchrun` started run this loop in step, each on its share of every batch;
only the first of them writes (`trainer.training.processes`).

Left out: the command line (`toonvid.commands.train`), the losses (`trainer.training.losses`), and
which of them a phase computes (`trainer.training.phases`).
"""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import cv2
import torch
from torch import Tensor

from toonvid.errors import TrainingError
from trainer.config import PhaseName, TrainConfig
from trainer.data.dataset import Batch
from trainer.data.share import Share
from trainer.device import Machine, cap_memory, open_device
from trainer.networks.cyclegan import GeneratorPair
from trainer.networks.lite import update_spectral_norms
from trainer.training.cycle import cycle_discriminator_gradients, cycle_generator_gradients
from trainer.training.distill import read_layered_generator
from trainer.training.image_pool import ImagePool
from trainer.training.memory import limit_heap_growth, measure_memory
from trainer.training.monitors import CollapseMonitor, find_divergence
from trainer.training.open_dataset import open_dataset
from trainer.training.phases import (
    Losses,
    discriminator_gradients,
    find_real_images,
    generator_gradients,
)
from trainer.training.processes import ALONE, Processes
from trainer.training.run_folder import Run, Sources
from trainer.training.run_log import RunLog
from trainer.training.sample_sheet import draw_contact_sheet, read_heldout
from trainer.training.schedule import ROLLBACK_FACTOR, due_after, learning_rate
from trainer.training.state import TrainingState, create_state
from trainer.training.state_file import SavedState, load_newest_state, save_state
from trainer.training.step_inputs import StepInputs, prepare_step

log = logging.getLogger(__name__)

INITIALIZED = "initialization.pt"
"""File of the state at the end of the initialization phase, from which other runs may start."""

MAX_ROLLBACKS = 3
"""Number of rollbacks after which a divergence ends the run."""


@dataclass(frozen=True)
class TrainingProgress:
    """Progress of a run, passed to the caller at the start and after every step."""

    phase: PhaseName
    """Phase of the last step; of the first one before it."""
    step: int
    """Number of steps done."""
    steps: int
    """Number of steps of the whole run."""
    images_per_second: float
    """Photos per second since the run was started, resumed or rolled back."""
    figures: dict[str, float]
    """Figures as last written to `stats.jsonl`: weighted losses, learning rate, speed in images per
    second, memory in MB. Empty before the first entry."""
    skipped: dict[Path, str]
    """Image files that could not be used so far -> why. Of a run of several processes: those that
    this one met; at the end those of all."""


def train(
    run: Run,
    config: TrainConfig,
    sources: Sources,
    on_progress: Callable[[TrainingProgress], None] = lambda progress: None,
    should_stop: Callable[[], bool] = lambda: False,
    machine: Machine | None = None,
    processes: Processes = ALONE,
) -> TrainingProgress:
    """Train a generator, or resume where the run was stopped.

    Args:
        run: Folder of the run, claimed for this config.
        config: Values of the run.
        sources: Where the images come from.
        on_progress: Called at the start and after every step.
        should_stop: Asked after every step; True, in any process, saves a training state and ends
            the loop of all.
        machine: Device, memory and threads that may be used by this process; None means all.
        processes: Processes of the run; default this one alone.

    Returns:
        The progress at the end; its `step` is below its `steps` if the run was stopped.

    Raises:
        DeviceMissingError: A GPU was asked for, and there is none.
        TrainingError: The run cannot go on; the newest training state is kept.
    """
    # Images come first, so that a wrong folder is reported before anything slow happens.
    processes.check_batch(config.batch_size)
    machine = machine or Machine()
    device = open_device(machine.device)
    limit_heap_growth(device)
    cap_memory(device, machine.memory_limit)
    if processes.share.count > 1 and device.type == "cuda" and machine.memory_limit:
        raise TrainingError("--memory-limit is for one process: it measures the first GPU alone")
    processes.check_equal("options", config)
    processes.check_equal("devices", device.type)
    of_lines = config.content_target == "art"
    heldout = read_heldout(sources.heldout, of_lines) if sources.heldout else []
    cache = sources.cache or run.cache
    dataset = open_dataset(config, sources, cache, run.folder, device, processes.share)
    cv2.setNumThreads(1)  # each worker thread of the dataset prepares a batch of its own
    if processes.share.count > 1:
        processes.check_equal("images", dataset.names_hash())
        dataset.draw_color_crops()
        processes.wait()

    # Networks, optimizers and EMA: from the newest training state, else random or warm-started.
    # Resuming is the normal start, so that a crash costs at most `save_every` steps.
    state = create_state(config, sources.content_weights, device, processes)
    first_state = restore_or_start(state, run, sources)

    run_log = RunLog(run, state.step) if processes.is_first else None
    prepare = partial(prepare_inputs, config, device, processes.share)
    batches = dataset.batches(state.step, machine.workers, prepare)
    speed = Speedometer(state.step, config.batch_size)
    monitor: CollapseMonitor | None = None
    figures: dict[str, float] = {}

    def progress() -> TrainingProgress:
        phase = config.phase_at(max(state.step - 1, 0))[0]
        rate = speed.images_per_second(state.step)
        return TrainingProgress(phase, state.step, config.steps, rate, figures, dataset.skipped)

    try:
        on_progress(progress())
        stopping = False
        while state.step < config.steps and not stopping:
            # A phase begins with new optimizers: its objective is another one, and momentum of
            # the phase before would point elsewhere.
            phase_name, phase, step_of_phase = config.phase_at(state.step)
            if step_of_phase == 0:
                state.begin_phase(phase)
            if step_of_phase == 0 or monitor is None:
                photo_is_aim = config.content_target == "photo"
                keeping = {"cyclegan": "cycle", "unet": "pixel"}.get(config.generator, "content")
                may_equal = photo_is_aim and phase_name == "initialization"
                monitor = CollapseMonitor(may_equal, keeping, processes.mean)

            # Batch: photos p and their drawings; in the adversarial phase also cartoons c and
            # edge-smoothed cartoons e. (N, 3, H, W) each, in [-1, 1]; N is this process's share.
            inputs = next(batches).to(device)

            # Generator step, EMA, discriminator step.
            rate = learning_rate(phase, step_of_phase, state.rollbacks)
            losses, generated = train_step(state, inputs, rate)
            state.step += 1
            stopping = processes.any(should_stop())
            due = due_after(config, state.step, stopping)

            # Divergence. Losses are looked at only where they are needed anyway, since reading
            # them waits for the GPU; weights before each state, so that every state is good.
            saving = due.save or due.save_initialized
            values = {}
            if due.log or saving:
                values = processes.sum_values({n: x.item() for n, x in losses.items()})
            problem = find_divergence(values)
            if not problem and saving and not state.has_finite_weights():
                problem = "a weight is no longer finite"
            if problem:
                # Rollback to the last good state, at a lower learning rate.
                batches.close()
                event = roll_back(state, run, first_state, problem)
                if run_log:
                    run_log.rewind(state.step)
                batches = dataset.batches(state.step, machine.workers, prepare)
                speed = Speedometer(state.step, config.batch_size)
                monitor = None
                record_event(run_log, state.step, event)
                if not first_state and processes.is_first:
                    save_state(run.states, state.capture())  # a resumed run keeps the rate
                on_progress(progress())
                continue

            # Log: losses, learning rate, speed, memory, and warnings of a collapse.
            if due.log:
                seen, warnings = monitor.check(inputs.batch.photos, generated)
                images_per_second = round(speed.images_per_second(state.step), 2)
                figures = {**values, "learning_rate": rate}
                figures |= {"images_per_second": images_per_second} | seen
                figures |= measure_memory(device)
                if run_log:
                    run_log.write(state.step, phase_name, figures)
                for warning in warnings:
                    record_event(run_log, state.step, warning)

            # Contact sheet of photos that are never trained on, by the EMA.
            if due.draw_sheet and heldout and run_log:
                run_log.draw(state.step, draw_contact_sheet(state.ema.module, heldout))

            # Training state on disk.
            if due.save:
                first_state = None
                if processes.is_first:
                    save_state(run.states, state.capture())
            if due.save_initialized and processes.is_first:
                save_state(run.states, state.capture(), INITIALIZED)
            on_progress(progress())
        return replace(progress(), skipped=processes.merge(dataset.skipped))
    finally:
        batches.close()
        if run_log:
            run_log.close()


def train_step(
    state: TrainingState, inputs: StepInputs, learning_rate: float
) -> tuple[Losses, Tensor]:
    """Update the generator, its EMA and the discriminator once.

    Args:
        state: State of the run.
        inputs: Inputs of the step.
        learning_rate: Learning rate of both optimizers.

    Returns:
        The weighted losses, and G(p) before the update, (N, 3, H, W).

    Raises:
        TrainingError: The memory does not suffice.
    """
    if isinstance(state.generator.network, GeneratorPair):
        return _cycle_step(state, inputs, learning_rate)

    # Generator step. It comes before the discriminator's, which then uses the same G(p): generating
    # the images again would take a fifth of the time of a step.
    losses, generated = state.memory.run(partial(generator_gradients, state), inputs)
    state.generator.step(learning_rate)
    state.ema.update_parameters(state.exported)

    # Discriminator step; there is none in the initialization phase.
    if state.discriminator and find_real_images(state.config, inputs) is not None:
        with_generated = replace(inputs, generated=generated)
        losses |= state.memory.run(partial(discriminator_gradients, state), with_generated)
        state.discriminator.step(learning_rate)
        update_spectral_norms(state.discriminator.network)
    return losses, generated


def _cycle_step(
    state: TrainingState, inputs: StepInputs, learning_rate: float
) -> tuple[Losses, Tensor]:
    """Update both generators of CycleGAN, the EMA and both discriminators once: `train_step`."""
    losses, made = state.memory.run(partial(cycle_generator_gradients, state), inputs)
    state.generator.step(learning_rate)
    state.ema.update_parameters(state.exported)

    # Outside of `memory.run`, which may compute gradients twice: each image enters its pool once.
    assert state.discriminator
    from_pools = replace(
        inputs,
        generated=_exchange(state, state.cartoon_pool, made.cartoons),
        generated_photos=_exchange(state, state.photo_pool, made.photos),
    )
    losses |= state.memory.run(partial(cycle_discriminator_gradients, state), from_pools)
    state.discriminator.step(learning_rate)
    return losses, made.cartoons


def _exchange(state: TrainingState, pool: ImagePool, images: Tensor) -> Tensor:
    """Exchange images with a pool, (n, 3, H, W) for the same number of them.

    All processes have the same pool: each puts the images of the whole batch into it, and takes its
    share of what comes out. So a pool does not depend on the number of processes either.
    """
    if not state.config.image_pool:
        return images
    whole = pool.exchange(state.processes.gather(images), state.step)
    return whole[state.processes.share.slice]


def prepare_inputs(
    config: TrainConfig, device: torch.device, share: Share, step: int, batch: Batch
) -> StepInputs:
    """Prepare the inputs of a step on one of the dataset's threads, for a device."""
    inputs = prepare_step(config, step, batch, share)
    return inputs.pinned() if device.type == "cuda" else inputs


def restore_or_start(state: TrainingState, run: Run, sources: Sources) -> SavedState | None:
    """Restore a run's newest training state, or start a new run.

    Of several processes, the first reads the state and the others get it from there.

    Args:
        state: State as created from the config; it is changed in place.
        run: Folder of the run.
        sources: `start_from` names the generator that a new run starts with. Without it, the
            layers that a layered teacher has alike have its weights, and all others random ones.

    Returns:
        The state of a new run, for rollbacks before its first file; None for a resumed one.

    Raises:
        EngineError, TrainingError: All training states are damaged, or there is nothing to start
            from.
    """
    if saved := state.processes.from_first(lambda: load_newest_state(run.states)):
        state.restore(saved)
        log.info("going on after step %d of %d", state.step, state.config.steps)
        return None
    if sources.start_from:
        state.warm_start(sources.start_from)
    elif sources.teacher and state.config.content_target == "layers":
        state.take_fitting_weights(read_layered_generator(sources.teacher)[0])
    state.copy_from_first()
    return copy.deepcopy(state.capture())


def roll_back(state: TrainingState, run: Run, first_state: SavedState | None, problem: str) -> str:
    """Return to the last good state with a lower learning rate.

    Args:
        state: State that diverged; it is changed in place.
        run: Folder of the run.
        first_state: State of a run that has none on disk yet.
        problem: Description of the divergence.

    Returns:
        Description of the event for the log.

    Raises:
        TrainingError: The run was rolled back `MAX_ROLLBACKS` times before.
    """
    if state.rollbacks == MAX_ROLLBACKS:
        raise TrainingError(
            f"{problem} at step {state.step}, after {MAX_ROLLBACKS} rollbacks: "
            "begin a new run with a lower learning rate or other weights"
        )
    diverged_at, rollbacks = state.step, state.rollbacks + 1
    saved = state.processes.from_first(lambda: load_newest_state(run.states)) or first_state
    assert saved
    # A copy, because loading an optimizer's state shares its tensors with the source.
    state.restore(copy.deepcopy(saved))
    state.rollbacks = rollbacks
    rate = ROLLBACK_FACTOR**rollbacks
    return (
        f"{problem} at step {diverged_at}; rolled back to here with {rate:g} of the learning rate"
    )


def record_event(run_log: RunLog | None, step: int, event: str) -> None:
    """Write an event to the console, and to the run's log where this process has it."""
    log.warning("after step %d: %s", step, event)
    if run_log:
        run_log.note(step, event)


class Speedometer:
    """Mean speed since a step."""

    def __init__(self, step: int, batch_size: int) -> None:
        """Start the clock at a step."""
        self._first_step, self._batch_size = step, batch_size
        # Not `monotonic`, which on Windows stands still for 16 ms at a time.
        self._started = time.perf_counter()

    def images_per_second(self, step: int) -> float:
        """Photos per second from the first step to this one."""
        seconds = time.perf_counter() - self._started
        return (step - self._first_step) * self._batch_size / seconds if seconds else 0.0
