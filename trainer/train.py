"""The training run: the initialization phase, then the adversarial phase.

Leaves out the command line (`toonvid.commands.train`) and the export after it (`trainer.export`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import cv2
import torch
from torch import Tensor

from toonvid.errors import TrainingError
from trainer.cartoons import CartoonCrops
from trainer.config import PhaseName, TrainConfig
from trainer.course import Course
from trainer.dataset import Dataset
from trainer.device import Machine, cap_memory, open_device
from trainer.distill import open_teacher
from trainer.game import Game, open_game
from trainer.lite_networks import follow_weights
from trainer.memory import MemoryKeeper, keep_heap_steady
from trainer.phases import Lesson, Terms, discriminator_gradients, generator_gradients
from trainer.photos import ABSTRACTION, LAYERED_DRAWING, Drawing, PhotoCrops
from trainer.run import Run, Sources
from trainer.sheet import read_heldout


@dataclass(frozen=True)
class Progress:
    """How far a run is; handed to the caller at the start and after every step."""

    phase: PhaseName
    step: int
    """Steps done."""
    steps: int
    """Steps in all."""
    pictures_per_second: float
    """Over the steps since the run was started or resumed."""
    figures: dict[str, float]
    """As last written to `stats.jsonl`: losses, weighted, and memory in MB; empty before that."""
    skipped: dict[Path, str]
    """Pictures that were left out so far, and why."""


def train(
    run: Run,
    config: TrainConfig,
    sources: Sources,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    should_stop: Callable[[], bool] = lambda: False,
    machine: Machine | None = None,
) -> Progress:
    """Train a generator, or go on where the run was left.

    Args:
        run: The run's folder, claimed for this config.
        config: The numbers.
        sources: The pictures.
        on_progress: Called at the start and after every step.
        should_stop: Asked after every step; True writes a training state and returns.
        machine: What of this machine may be used; None is all of it.

    Returns:
        The progress at the end: `step` is below `steps` if the run was stopped.

    Raises:
        DeviceMissingError: A GPU was asked for, and there is none.
        TrainingError: It cannot go on; what was done until the last training state is kept.
    """
    # The pictures first: a wrong folder is told at once.
    machine = machine or Machine()
    keep_heap_steady()
    device = open_device(machine.device)
    heldout = read_heldout(sources.heldout) if sources.heldout else []
    dataset = open_dataset(config, sources, sources.cache or run.cache, run.folder, device)
    cv2.setNumThreads(1)  # each worker prepares a batch of its own

    # Then the players, as the last training state has them. Resuming is the normal start.
    cap_memory(device, machine.memory_limit)
    game = open_game(config, sources.content_weights, device)
    course = Course(run, game, dataset, heldout, sources.start_from, machine.workers)

    def progress() -> Progress:
        speed, figures = course.pictures_per_second, course.figures
        return Progress(course.phase, course.step, config.steps, speed, figures, dataset.skipped)

    with course:
        on_progress(progress())
        stopping = False
        while course.step < config.steps and not stopping:
            # Batch; generator step and discriminator step; log, and what else a run leaves behind.
            lesson = course.next_lesson()
            terms, generated = learn(game, course.memory, lesson, course.learning_rate)
            stopping = should_stop()
            course.finish_step(lesson, terms, generated, ending=stopping)
            on_progress(progress())
        return progress()


def learn(
    game: Game, memory: MemoryKeeper, lesson: Lesson, learning_rate: float
) -> tuple[Terms, Tensor]:
    """Let both players learn from a lesson.

    Returns:
        Their losses, and G(p), (N, 3, H, W).

    Raises:
        TrainingError: There is not memory enough.
    """
    # Generator step. It comes first so that the discriminator can judge the very cartoons that it
    # made: making them again would cost a fifth of the step.
    terms, generated = memory.fit(partial(generator_gradients, game), lesson)
    game.generator.learn(learning_rate)
    game.mean.update_parameters(game.generator.network)

    # Discriminator step.
    if game.discriminator and lesson.batch.cartoons is not None:
        judging = replace(lesson, generated=generated)
        terms |= memory.fit(partial(discriminator_gradients, game), judging)
        game.discriminator.learn(learning_rate)
        follow_weights(game.discriminator.network)
    return terms, generated


def open_dataset(
    config: TrainConfig, sources: Sources, cache: Path, run: Path, device: torch.device
) -> Dataset:
    """The pictures of a run.

    Args:
        config: The run's.
        sources: Its folders.
        cache: Folder for the drawings, if the config has some.
        run: The run's folder, whose own pictures are none to learn from.
        device: Where a teacher draws.

    Raises:
        TrainingError: There are no photos, no teacher where the config has one, or no cartoons for
            an adversarial phase.
    """
    drawing = open_drawing(config, sources, device)
    photos = PhotoCrops(
        sources.photos,
        cache,
        drawing,
        config.frame_heights,
        config.crop,
        config.seed,
        leave_out=(run,),
    )
    cartoons = None
    if config.adversarial.steps:
        if sources.cartoons is None:
            raise TrainingError("the adversarial phase needs cartoons: give --cartoons DIR")
        cartoons = CartoonCrops(sources.cartoons, config.cartoon_scales, config.crop, config.seed)
    return Dataset(
        photos,
        cartoons,
        config.batch_size,
        config.initialization.steps,
        config.cartoon_colours,
    )


def open_drawing(config: TrainConfig, sources: Sources, device: torch.device) -> Drawing | None:
    """How the photos are drawn for this config; None where it holds the generator to the photos.

    Raises:
        EngineError, TrainingError: The config has a teacher, and there is none.
    """
    if config.content_target == "photo":
        return None
    if config.content_target == "abstraction":
        return ABSTRACTION
    if config.content_target == "drawing":
        return LAYERED_DRAWING
    if sources.teacher is None:
        raise TrainingError("the preset learns from a trained generator: give --teacher RUN|STYLE")
    return open_teacher(sources.teacher, device)
