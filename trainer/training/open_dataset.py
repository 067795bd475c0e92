"""Dataset of a run: crops of photos and cartoons as the config asks for them.

In: a config and the folders of images. Out: a `Dataset`, after checks that everything is there that
the config needs. Left out: batches and crops themselves (`trainer.data`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from toonvid.errors import TrainingError
from trainer.config import TrainConfig
from trainer.data.cartoons import CartoonCrops
from trainer.data.color_transfer import ColorStatistics, ColorTransfer
from trainer.data.dataset import ColorMatching, Dataset
from trainer.data.line_art import LineArtCrops
from trainer.data.palette import PaletteTransfer
from trainer.data.photos import (
    FLAT_DRAWING,
    LAYERED_DRAWING,
    CropSampling,
    DrawingMethod,
    PhotoCrops,
)
from trainer.data.share import WHOLE, Share
from trainer.networks.build import make_look
from trainer.networks.cel import grade, ungrade
from trainer.training.distill import open_layer_teacher, open_teacher
from trainer.training.run_folder import Sources

log = logging.getLogger(__name__)

FEW_CARTOONS = 100
"""Number of cartoons below which a run warns: our choice, not measured."""


def open_dataset(
    config: TrainConfig,
    sources: Sources,
    cache: Path,
    run: Path,
    device: torch.device,
    share: Share = WHOLE,
) -> Dataset:
    """Open the images of a run.

    Args:
        config: Config of the run.
        sources: Folders of the images.
        cache: Folder for cached drawings.
        run: Folder of the run, whose own contact sheets are not trained on.
        device: Device on which a teacher draws.
        share: Share of each batch that is prepared.

    Raises:
        TrainingError: There are no photos, no teacher although the config needs one, or no cartoons
            although there is an adversarial phase.
    """
    left_out = (run, cache, *_heldout_inside(sources))
    if config.content_target == "art":
        art = LineArtCrops(sources.photos, config.frame_heights, config.crop, config.seed, left_out)
        _warn_of_few(len(art.images.paths))
        return Dataset(
            art, None, config.batch_size, adversarial=config.initialization.steps, share=share
        )
    drawing = choose_drawing(config, sources, device)
    photos = PhotoCrops(
        folder=sources.photos,
        cache=cache,
        drawing=drawing,
        frame_heights=config.frame_heights,
        crop=config.crop,
        seed=config.seed,
        leave_out=left_out,
        sampling=CropSampling(
            max_enlargement=config.max_enlargement,
            skin_share=config.skin_share,
            ink_growth=config.ink_growth,
            color_rounding=config.color_rounding,
        ),
    )
    cartoons = None
    if config.adversarial.steps:
        if sources.cartoons is None:
            raise TrainingError("the adversarial phase needs cartoons: give --cartoons DIR")
        cartoons = CartoonCrops(
            sources.cartoons, config.cartoon_scales, config.crop, config.seed, left_out
        )
        _warn_of_few(len(cartoons.images.paths))
    return Dataset(
        photos=photos,
        cartoons=cartoons,
        batch_size=config.batch_size,
        adversarial=config.initialization.steps,
        match_colors=choose_color_matching(config),
        # `cel` has all losses against the layers from the start, and the palette belongs to them.
        first_matched=0 if config.content_target == "layers" else None,
        share=share,
    )


def _heldout_inside(sources: Sources) -> list[Path]:
    """Return the folder of held-out photos, which may lie in a folder that is trained on.

    It is not left out where it holds all photos: there would be none left.
    """
    if sources.heldout is None:
        return []
    if sources.photos.resolve().is_relative_to(sources.heldout.resolve()):
        log.warning(
            "the held-out photos are trained on as well: %s holds all photos", sources.heldout
        )
        return []
    return [sources.heldout]


def _warn_of_few(cartoons: int) -> None:
    if cartoons < FEW_CARTOONS:
        log.warning(
            "%d cartoons are few (below %d): a style learned from them may repeat their motifs;"
            " a longer video, or several, have more",
            cartoons,
            FEW_CARTOONS,
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
        return open_layer_teacher(sources.teacher, device) if sources.teacher else LAYERED_DRAWING
    if sources.teacher is None:
        raise TrainingError("the preset learns from a trained generator: give --teacher RUN|STYLE")
    return open_teacher(sources.teacher, device)


def choose_color_matching(config: TrainConfig) -> ColorMatching | None:
    """Choose how drawings get the cartoons' colors; None if they keep their own.

    Drawings of one layer get mean and contrast. Of drawings with layers it is the composed picture
    that gets the palette, without tonal steps, ink and tint.
    """
    share = config.cartoon_colors
    if not share:
        return None
    if config.content_target != "layers":
        return lambda drawings, cartoons: ColorTransfer.between(
            ColorStatistics.measure(drawings), ColorStatistics.measure(cartoons), share
        )
    look = make_look(config)

    def match(drawings: Tensor, cartoons: Tensor) -> Callable[[Tensor], Tensor]:
        transfer = PaletteTransfer.between(grade(drawings, look), cartoons, share)
        return lambda colors: ungrade(transfer(grade(colors, look)), look)

    return match
