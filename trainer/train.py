"""The training run: the initialization phase on abstractions.

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
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from toonvid.errors import TrainingError
from trainer.config import TrainConfig
from trainer.dataset import PhotoDataset
from trainer.features import ContentFeatures, load_content_features
from trainer.files import write_atomically
from trainer.losses import Disturbance, content_loss, pixel_loss, stability_loss
from trainer.networks import LiteGenerator
from trainer.run import Run, RunLog, Sources
from trainer.sheet import draw_contact_sheet, read_heldout
from trainer.training_state import TrainingState, load_newest_state, save_state

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Progress:
    """How far a run is; handed to the caller at the start and after every step."""

    step: int
    """Steps done."""
    steps: int
    """Steps in all."""
    pictures_per_second: float
    """Over the steps since the run was started or resumed."""
    losses: dict[str, float]
    """By name, weighted, as last written to `stats.jsonl`; empty before that."""
    skipped: dict[Path, str]
    """Photos that were left out so far, and why."""


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
        on_progress: Called at the start and after every step.
        should_stop: Asked after every step; True writes a training state and returns.

    Returns:
        The progress at the end: `step` is below `steps` if the run was stopped.

    Raises:
        TrainingError: It cannot go on; what was done until the last training state is kept.
    """
    # What the rest of the run depends on, and nothing else does.
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(config.seed)
    generator = LiteGenerator(config.width, config.blocks).to(device)
    generator = generator.to(memory_format=torch.channels_last)
    mean = AveragedModel(generator, multi_avg_fn=get_ema_multi_avg_fn(config.ema_decay))
    optimizer = torch.optim.Adam(generator.parameters(), betas=(config.beta1, 0.999))
    random = torch.Generator().manual_seed(config.seed)
    step = 0

    def capture() -> TrainingState:
        values = {
            "generator": generator.state_dict(),
            "mean": mean.state_dict(),
            "optimizer": optimizer.state_dict(),
            "random": random.get_state(),
        }
        return TrainingState(step, values)

    # Resuming is the normal start.
    if state := load_newest_state(run.states):
        step = state.step
        generator.load_state_dict(state.values["generator"])
        mean.load_state_dict(state.values["mean"])
        optimizer.load_state_dict(state.values["optimizer"])
        random.set_state(state.values["random"])
        log.info("going on after step %d of %d", step, config.steps)

    # Pictures and content network. The order of the photos needs no saving: the step decides it.
    features = _open_features(config, sources, device)
    heldout = read_heldout(sources.heldout) if sources.heldout else []
    photos = PhotoDataset(
        sources.photos,
        sources.cache or run.cache,
        config.frame_heights,
        config.crop,
        config.seed,
        leave_out=run.folder,
    )
    cv2.setNumThreads(1)  # each worker prepares a batch of its own
    batches = photos.batches(config.batch_size, first=step, workers=sources.workers)
    started, first_step = time.monotonic(), step
    losses: dict[str, float] = {}
    progress = Progress(step, config.steps, 0.0, losses, photos.skipped)
    on_progress(progress)

    with closing(batches), closing(RunLog(run, step)) as run_log:
        while step < config.steps:
            batch = next(batches)
            photo, abstraction = batch.photos.to(device), batch.abstractions.to(device)

            # One step: the losses, the weights, their running mean.
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(config, step)
            with torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bf16"):
                terms = compute_losses(
                    config, step, generator, features, photo, abstraction, random
                )
            optimizer.zero_grad(set_to_none=True)
            torch.stack(list(terms.values())).sum().backward()
            optimizer.step()
            mean.update_parameters(generator)
            step += 1

            # What the run leaves behind.
            stopping = step == config.steps or should_stop()
            rate = (step - first_step) * config.batch_size / (time.monotonic() - started)
            if step % config.log_every == 0 or stopping:
                losses = {name: term.item() for name, term in terms.items()}
                _check_finite(losses, step)
                run_log.write(step, losses, learning_rate(config, step), rate)
            if heldout and (step % config.sheet_every == 0 or stopping):
                sheet = draw_contact_sheet(mean.module, heldout)
                write_atomically(run.sheets / f"step-{step:09d}.jpg", sheet)
            if step % config.save_every == 0 or stopping:
                _check_finite({name: term.item() for name, term in terms.items()}, step)
                save_state(run.states, capture())
            progress = Progress(step, config.steps, rate, losses, photos.skipped)
            on_progress(progress)
            if stopping:
                break
    return progress


def compute_losses(
    config: TrainConfig,
    step: int,
    generator: nn.Module,
    features: ContentFeatures | None,
    photos: Tensor,
    abstractions: Tensor,
    random: torch.Generator,
) -> dict[str, Tensor]:
    """The weighted losses of a batch in the initialization phase, by name.

    Args:
        config: The weights.
        step: Steps done before; the first ones take the l1 alone.
        generator: G.
        features: The content network; None leaves the content loss out.
        photos: p, (N, 3, H, W) in [-1, 1].
        abstractions: What G(p) shall be, same shape and range.
        random: Where the stability loss draws its disturbances from.
    """
    cartoons = generator(photos)
    pixel = pixel_loss(cartoons, abstractions, photos, config.ink_weight)
    losses = {"pixel": config.pixel_weight * pixel}
    if step < config.pixel_only_steps:
        return losses
    if features:
        some = slice(config.content_pictures)
        content = content_loss(features, cartoons[some], abstractions[some])
        losses["content"] = config.content_weight * content
    if config.stability_weight:
        some = slice(config.stability_pictures)
        disturbance = Disturbance.draw(photos[some], random)
        stability = stability_loss(generator, photos[some], cartoons[some], disturbance)
        losses["stability"] = config.stability_weight * stability
    return losses


def learning_rate(config: TrainConfig, step: int) -> float:
    """The learning rate for the step after `step` steps: a short rise, half a cosine down to 0."""
    rise = min(1.0, (step + 1) / config.warm_up)
    return config.learning_rate * rise * (1 + math.cos(math.pi * step / config.steps)) / 2


def load_trained_generator(run: Run, config: TrainConfig) -> tuple[nn.Module, int]:
    """The running mean of a run's generator, and the steps behind it.

    Raises:
        TrainingError: The run has no training state yet.
    """
    state = load_newest_state(run.states)
    if state is None:
        raise TrainingError(f"{run.folder} has no training state yet: train it first")
    generator = LiteGenerator(config.width, config.blocks)
    mean = AveragedModel(generator)
    mean.load_state_dict(state.values["mean"])
    return mean.module.eval(), state.step


def _open_features(
    config: TrainConfig, sources: Sources, device: torch.device
) -> ContentFeatures | None:
    """The content network; None if the config has no content loss."""
    if not config.content_weight:
        return None
    if sources.content_weights is None:
        raise TrainingError(
            "the content loss needs a pretrained ResNet-50: give --content-weights FILE, "
            "or go without it by --content-weight 0"
        )
    return load_content_features(sources.content_weights).to(device)


def _check_finite(losses: dict[str, float], step: int) -> None:
    """Stop before a training state is overwritten by numbers that lead nowhere."""
    for name, value in losses.items():
        if not math.isfinite(value):
            raise TrainingError(
                f"the {name} loss is {value} at step {step}: lower --learning-rate in a new folder"
            )
