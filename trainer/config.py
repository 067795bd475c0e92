"""What decides a run: every number of the training, and the presets.

Leaves out where pictures come from (`trainer.train.Sources`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Literal, get_args

from toonvid.errors import TrainingError

TrainPrecision = Literal["bf16", "f32"]


@dataclass(frozen=True)
class TrainConfig:
    """Every number of a training run; two runs of the same config and pictures are the same run."""

    seed: int = 1
    steps: int = 8_000
    """Steps of the initialization phase; each is one batch."""
    batch_size: int = 8
    crop: int = 160
    """Side in pixels of the square crops."""
    frame_heights: tuple[int, ...] = (288, 432, 720)
    """Short sides in pixels that photos are resized to, as if they were frames of such films."""
    learning_rate: float = 2e-3
    """After the first `warm_up` steps; from there it falls to 0 along half a cosine."""
    warm_up: int = 50
    """Steps over which the learning rate rises."""
    beta1: float = 0.9
    """Adam's; the paper's 0.5 is for the adversarial phase."""
    ema_decay: float = 0.998
    """Of the running mean of the generator's weights, which is what is exported."""
    width: int = 48
    """Channels of the generator at a quarter of the picture's size."""
    blocks: int = 4
    """Residual blocks of the generator."""
    pixel_only_steps: int = 5_500
    """Steps at the start with the l1 alone, which costs a third of the whole."""
    pixel_weight: float = 6.0
    """Of the l1 against the abstraction."""
    ink_weight: float = 10.0
    """What the l1 counts more where there is full ink on white; 0 is plain l1."""
    content_weight: float = 0.25
    """Of the content loss; 0 needs no content network."""
    content_pictures: int = 2
    """Pictures of each batch that the content loss looks at: it costs four times the rest."""
    stability_weight: float = 2.0
    """Of the stability loss; 0 leaves it out."""
    stability_pictures: int = 2
    """Pictures of each batch that the stability loss looks at."""
    precision: TrainPrecision = "bf16"
    """Of the convolutions; weights and losses are float32."""
    save_every: int = 250
    """Steps from one training state to the next."""
    log_every: int = 25
    """Steps from one line of `stats.jsonl` to the next."""
    sheet_every: int = 1000
    """Steps from one contact sheet to the next."""

    def __post_init__(self) -> None:
        for name in COUNTS:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.width < 3:
            raise ValueError(f"width must be at least 3, not {self.width}")
        for name in ("seed", "pixel_only_steps", *WEIGHTS):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be at least 0, not {getattr(self, name)}")
        if not 0 < self.learning_rate < math.inf:
            raise ValueError(f"learning_rate must be above 0, not {self.learning_rate}")
        for name in ("beta1", "ema_decay"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 0 and below 1")
        if self.crop < SMALLEST_CROP or self.crop % 4:
            raise ValueError(
                f"crop must be a multiple of 4 from {SMALLEST_CROP} on, not {self.crop}"
            )
        if not self.frame_heights:
            raise ValueError("frame_heights must name at least one")
        if self.precision not in get_args(TrainPrecision):
            raise ValueError(f"precision must be one of {', '.join(get_args(TrainPrecision))}")


COUNTS = (
    *("steps", "batch_size", "warm_up", "width", "blocks"),
    *("content_pictures", "stability_pictures"),
    *("save_every", "log_every", "sheet_every"),
)

WEIGHTS = ("pixel_weight", "ink_weight", "content_weight", "stability_weight")

HOUSEKEEPING = ("save_every", "log_every", "sheet_every")
"""Options that do not change the weights: a run may go on with others."""

SMALLEST_CROP = 32
"""Smaller ones are all border."""

PRESETS = {
    "lite": TrainConfig(),
}
"""Name -> the config that `--preset` starts from."""


def change_config(config: TrainConfig, settings: Iterable[str]) -> TrainConfig:
    """A config with some values changed.

    Args:
        config: What to start from.
        settings: Each `name=value`; a list's values are separated by commas.

    Raises:
        TrainingError: There is no such option, or its value is not one.
    """
    values: dict[str, int | float | str | tuple[int, ...]] = {}
    for setting in settings:
        name, _, text = setting.partition("=")
        if name not in {field.name for field in fields(config)}:
            names = ", ".join(field.name for field in fields(config))
            raise TrainingError(f"no training option named {name!r}; there are: {names}")
        try:
            values[name] = _parse(text, getattr(config, name))
        except ValueError as error:
            raise TrainingError(f"training option {name}: {text!r} is not a value of it") from error
    try:
        return replace(config, **values)
    except ValueError as error:
        raise TrainingError(f"training option {error}") from error


def _parse(
    text: str, like: int | float | str | tuple[int, ...]
) -> int | float | str | tuple[int, ...]:
    """Text as a value of the same type as `like`."""
    if isinstance(like, tuple):
        return tuple(int(part) for part in text.split(","))
    return type(like)(text)
