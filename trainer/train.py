"""The training run: the initialization phase, then the adversarial phase.

Leaves out the command line (`toonvid.commands.train`) and the export after it (`trainer.export`).
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from toonvid.errors import TrainingError
from trainer.cartoons import CartoonCrops
from trainer.config import PhaseName, TrainConfig
from trainer.dataset import Batch, Dataset
from trainer.features import load_content_features
from trainer.files import write_atomically
from trainer.lite_networks import follow_weights
from trainer.losses import Disturbance
from trainer.networks import make_discriminator, make_generator
from trainer.phases import Game, Lesson, discriminator_gradients, generator_gradients
from trainer.photos import PhotoCrops
from trainer.players import Player, learning_rate
from trainer.precision import choose_precision
from trainer.run import Run, RunLog, Sources
from trainer.sheet import draw_contact_sheet, read_heldout
from trainer.stages import set_gradient_checkpointing
from trainer.training_state import (
    TrainingState,
    find_state,
    load_newest_state,
    load_state,
    save_state,
)

log = logging.getLogger(__name__)

INITIALIZED = "initialization.pt"
"""State at the end of the initialization phase: what other runs may start from."""


@dataclass(frozen=True)
class Progress:
    """How far a run is; handed to the caller after every step."""

    phase: PhaseName
    step: int
    """Steps done."""
    steps: int
    """Steps in all."""
    pictures_per_second: float
    """Over the steps since the run was started or resumed."""
    losses: dict[str, float]
    """By name, weighted, as last written to `stats.jsonl`; empty before that."""
    skipped: dict[Path, str]
    """Pictures that were left out so far, and why."""


def train(
    run: Run,
    config: TrainConfig,
    sources: Sources,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Progress:
    """Train a generator, or go on where the run was left.

    Args:
        run: The run's folder, claimed for this config.
        config: The numbers.
        sources: The pictures.
        on_progress: Called after every step.
        should_stop: Asked after every step; True writes a training state and returns.

    Returns:
        The progress at the end: `step` is below `steps` if the run was stopped.

    Raises:
        TrainingError: It cannot go on; what was done until the last training state is kept.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    game = open_game(config, sources, device)
    mean = AveragedModel(
        game.generator.network, multi_avg_fn=get_ema_multi_avg_fn(config.ema_decay)
    )
    mean.eval()
    step = 0

    # Resuming is the normal start.
    if state := load_newest_state(run.states):
        step = restore(state, config, game, mean)
        log.info("going on after step %d of %d", step, config.steps)
    elif sources.start_from:
        start_from(sources.start_from, game.generator.network)
        mean.update_parameters(game.generator.network)

    heldout = read_heldout(sources.heldout) if sources.heldout else []
    dataset = open_dataset(run, config, sources)
    cv2.setNumThreads(1)  # each worker prepares a batch of its own
    batches = dataset.batches(first=step, workers=sources.workers)
    started, first_step = time.monotonic(), step
    losses: dict[str, float] = {}

    with closing(batches), closing(RunLog(run, step)) as run_log:
        while step < config.steps:
            # Batch.
            name, phase, done = config.phase_after(step)
            if done == 0:
                game.begin_phase(phase)
            lesson = draw_lesson(config, step, next(batches).to(device))
            rate = learning_rate(phase, done)

            # Generator step. It is first so that the discriminator can judge the very cartoons it
            # made: making them again would cost a fifth of the step.
            terms, generated = generator_gradients(game, lesson, config.batch_size)
            game.generator.learn(rate)
            mean.update_parameters(game.generator.network)

            # Discriminator step.
            if name == "adversarial" and game.discriminator:
                terms |= discriminator_gradients(game, lesson, generated, config.batch_size)
                game.discriminator.learn(rate)
                follow_weights(game.discriminator.network)
            step += 1

            # What the run leaves behind.
            stopping = step == config.steps or should_stop()
            speed = (step - first_step) * config.batch_size / (time.monotonic() - started)
            if step % config.log_every == 0 or stopping:
                losses = {name: term.item() for name, term in terms.items()}
                _check_finite(losses, step)
                run_log.write(step, losses, rate, speed)
            if heldout and (step % config.sheet_every == 0 or stopping):
                sheet = draw_contact_sheet(mean.module, heldout)
                write_atomically(run.sheets / f"step-{step:09d}.jpg", sheet)
            if step % config.save_every == 0 or stopping:
                _check_finite({name: term.item() for name, term in terms.items()}, step)
                save_state(run.states, capture(step, game, mean))
            if step == config.initialization.steps < config.steps:
                save_state(run.states, capture(step, game, mean), INITIALIZED)
            progress = Progress(name, step, config.steps, speed, losses, dataset.skipped)
            on_progress(progress)
            if stopping:
                return progress
    name, _, _ = config.phase_after(step - 1)
    return Progress(name, step, config.steps, 0.0, losses, dataset.skipped)


def open_game(config: TrainConfig, sources: Sources, device: torch.device) -> Game:
    """Both players, with random weights that the seed decides, and the content network."""
    torch.manual_seed(config.seed)
    precision = choose_precision(config.precision, device)
    generator = Player(make_generator(config).to(device), precision)
    discriminator = None
    if config.adversarial.steps:
        discriminator = Player(make_discriminator(config).to(device), precision)
    features = None
    if config.needs_content:
        features = load_content_features(config.content_network, sources.content_weights)
        features = features.to(device, memory_format=torch.channels_last)
    for player in filter(None, (generator, discriminator)):
        set_gradient_checkpointing(player.network, config.gradient_checkpointing)
    return Game(config, precision, generator, discriminator, features)


def open_dataset(run: Run, config: TrainConfig, sources: Sources) -> Dataset:
    """The pictures of a run.

    Raises:
        TrainingError: There are no photos, or no cartoons for an adversarial phase.
    """
    drawn = config.content_target == "abstraction"
    cache = (sources.cache or run.cache) if drawn else None
    photos = PhotoCrops(sources.photos, cache, config.frame_heights, config.crop, config.seed)
    cartoons = None
    if config.adversarial.steps:
        if sources.cartoons is None:
            raise TrainingError("the adversarial phase needs cartoons: give --cartoons DIR")
        cartoons = CartoonCrops(sources.cartoons, config.cartoon_scales, config.crop, config.seed)
    return Dataset(photos, cartoons, config.batch_size, config.initialization.steps)


def draw_lesson(config: TrainConfig, step: int, batch: Batch) -> Lesson:
    """What the step after `step` steps learns from. The step decides all that is drawn."""
    _, phase, done = config.phase_after(step)
    pixels_only = done < phase.pixel_only_steps
    disturbance = None
    if phase.stability_weight and not pixels_only:
        random = torch.Generator().manual_seed(draw_seed(config.seed, step))
        disturbance = Disturbance.draw(batch.photos[: config.content_pictures], random)
    return Lesson(phase, pixels_only, batch, disturbance)


def draw_seed(seed: int, step: int) -> int:
    """A number of its own for each step of each seed."""
    return int(np.random.SeedSequence((seed, step)).generate_state(1)[0])


def capture(step: int, game: Game, mean: AveragedModel) -> TrainingState:
    """Everything that the rest of a run depends on. The order of the pictures needs no saving: the
    step decides it, as it decides all that is drawn at random."""
    discriminator = game.discriminator.capture() if game.discriminator else None
    values = {
        "generator": game.generator.capture(),
        "discriminator": discriminator,
        "mean": mean.state_dict(),
    }
    return TrainingState(step, values)


def restore(state: TrainingState, config: TrainConfig, game: Game, mean: AveragedModel) -> int:
    """Go on from a state; gives its step."""
    _, phase, done = config.phase_after(state.step)
    game.begin_phase(phase)
    game.generator.restore(state.values["generator"], same_phase=done > 0)
    if game.discriminator:
        game.discriminator.restore(state.values["discriminator"], same_phase=done > 0)
    mean.load_state_dict(state.values["mean"])
    return state.step


def start_from(place: Path, generator: nn.Module) -> None:
    """Give a generator the weights of another run's running mean.

    Raises:
        TrainingError: There is no training state, or it is another network's.
    """
    path = find_state(place)
    mean = AveragedModel(generator)
    try:
        mean.load_state_dict(load_state(path).values["mean"])
    except (RuntimeError, KeyError) as error:
        raise TrainingError(f"{path} holds another generator than this run's config") from error
    generator.load_state_dict(mean.module.state_dict())


def load_trained_generator(run: Run, config: TrainConfig) -> tuple[nn.Module, int]:
    """The running mean of a run's generator, and the steps behind it.

    Raises:
        TrainingError: The run has no training state yet.
    """
    state = load_newest_state(run.states)
    if state is None:
        raise TrainingError(f"{run.folder} has no training state yet: train it first")
    mean = AveragedModel(make_generator(config))
    mean.load_state_dict(state.values["mean"])
    return mean.module.eval(), state.step


def _check_finite(losses: dict[str, float], step: int) -> None:
    """Stop before a training state is overwritten by numbers that lead nowhere."""
    for name, value in losses.items():
        if not math.isfinite(value):
            raise TrainingError(
                f"the {name} loss is {value} at step {step}: lower the learning rate"
            )
