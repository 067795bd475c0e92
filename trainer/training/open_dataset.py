"""Dataset of a run: crops of photos and cartoons as the config asks for them.

In: a config and the folders of images. Out: a `Dataset`, after checks that everything is there that
the config needs. Left out: batches and crops themselves (`trainer.data`).
"""

from __future__ import annotations

from pathlib import Path

import torch

from toonvid.errors import TrainingError
from trainer.config import TrainConfig
from trainer.data.cartoons import CartoonCrops
from trainer.data.dataset import Dataset
from trainer.data.photos import FLAT_DRAWING, LAYERED_DRAWING, DrawingMethod, PhotoCrops
from trainer.training.distill import open_teacher
from trainer.training.run_folder import Sources


def open_dataset(
    config: TrainConfig, sources: Sources, cache: Path, run: Path, device: torch.device
) -> Dataset:
    """Open the images of a run.

    Args:
        config: Config of the run.
        sources: Folders of the images.
        cache: Folder for cached drawings.
        run: Folder of the run, whose own contact sheets are not trained on.
        device: Device on which a teacher draws.

    Raises:
        TrainingError: There are no photos, no teacher although the config needs one, or no cartoons
            although there is an adversarial phase.
    """
    drawing = choose_drawing(config, sources, device)
    photos = PhotoCrops(
        folder=sources.photos,
        cache=cache,
        drawing=drawing,
        frame_heights=config.frame_heights,
        crop=config.crop,
        seed=config.seed,
        leave_out=(run,),
    )
    cartoons = None
    if config.adversarial.steps:
        if sources.cartoons is None:
            raise TrainingError("the adversarial phase needs cartoons: give --cartoons DIR")
        cartoons = CartoonCrops(sources.cartoons, config.cartoon_scales, config.crop, config.seed)
    return Dataset(
        photos=photos,
        cartoons=cartoons,
        batch_size=config.batch_size,
        adversarial=config.initialization.steps,
        cartoon_colors=config.cartoon_colors,
    )


def choose_drawing(
    config: TrainConfig, sources: Sources, device: torch.device
) -> DrawingMethod | None:
    """Choose how photos are drawn as content targets; None if the photos themselves are the target.

    Raises:
        EngineError, TrainingError: The config needs a teacher, and there is none.
    """
    if config.content_target == "photo":
        return None
    if config.content_target == "drawing":
        return FLAT_DRAWING
    if config.content_target == "layers":
        return LAYERED_DRAWING
    if sources.teacher is None:
        raise TrainingError("the preset learns from a trained generator: give --teacher RUN|STYLE")
    return open_teacher(sources.teacher, device)
