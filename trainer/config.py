"""What decides a run: every number of the training.

Leaves out where pictures come from (`trainer.run.Sources`) and the presets (`trainer.presets`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Literal, TypeAlias, get_args

from toonvid.errors import TrainingError

PhaseName = Literal["initialization", "adversarial"]
TrainPrecision = Literal["auto", "f32", "bf16", "f16"]
GeneratorName = Literal["cel", "lite", "paper", "improved"]
DiscriminatorName = Literal["lite", "paper"]
ContentNetworkName = Literal["resnet50", "vgg19"]
Objective = Literal["bce", "least-squares"]
ContentTarget = Literal["photo", "abstraction", "drawing", "teacher"]
Colours = Literal["colour", "grey"]
Fall = Literal["cosine", "none"]

Value: TypeAlias = "bool | int | float | str | tuple[int, ...] | tuple[float, ...]"

SMALLEST_CROP = 32
"""Smaller ones are all border."""

HOUSEKEEPING = ("save_every", "log_every", "sheet_every", "gradient_checkpointing")
"""Options that do not change the weights: a run may go on with others."""


@dataclass(frozen=True)
class PhaseConfig:
    """What one phase trains by. A weight of 0 leaves its loss out."""

    steps: int
    """Each is one batch; 0 leaves the phase out."""
    learning_rate: float
    """Of both networks, after the first `warm_up` steps."""
    fall: Fall = "none"
    """How the learning rate goes on: to 0 along half a cosine, or not at all."""
    warm_up: int = 1
    """Steps over which the learning rate rises."""
    beta1: float = 0.5
    """Adam's."""
    adversarial_weight: float = 0.0
    """Of the edge-promoting adversarial loss; only the adversarial phase has one."""
    smoothed_weight: float = 1.0
    """Of the smoothed cartoons in the discriminator's loss, beside the generated ones' 1."""
    content_weight: float = 0.0
    """Of the content loss; 0 in both phases needs no content network."""
    pixel_weight: float = 0.0
    """Of the l1 against what the content loss is against."""
    gradient_difference_weight: float = 0.0
    """Of the l1 between the picture's gradients and theirs."""
    ink_weight: float = 0.0
    """What both count more where there is full ink on white; 0 counts all alike."""
    pixel_only_steps: int = 0
    """Steps at the start with these two losses alone, which cost a third of the whole."""
    colour_weight: float = 0.0
    """Of the colour loss."""
    style_weight: float = 0.0
    """Of the style loss."""
    total_variation_weight: float = 0.0
    """Of the total variation."""
    stability_weight: float = 0.0
    """Of the stability loss."""
    equivariance_weight: float = 0.0
    """Of the equivariance loss."""
    layer_color_weight: float = 0.0
    """Weight of the L1 loss between the generator's flat color and the drawing's."""
    layer_gradient_weight: float = 0.0
    """Weight of the L1 loss between the gradients of the same."""
    layer_ink_weight: float = 0.0
    """Weight of the cross-entropy and Dice loss between the generator's ink and the drawing's."""
    layer_stability_weight: float = 0.0
    """Weight of the stability loss on both layers."""

    def __post_init__(self) -> None:
        _check_counts(self, "warm_up")
        weights = [f.name for f in fields(self) if f.name.endswith("_weight")]
        _check_not_negative(self, "steps", "pixel_only_steps", *weights)
        _check_shares(self, "beta1")
        _check_choices(self, fall=Fall)
        if not 0 < self.learning_rate < math.inf:
            raise ValueError(f"learning_rate must be above 0, not {self.learning_rate}")
        losses = [name for name in weights if name not in ("smoothed_weight", "ink_weight")]
        if self.steps and not any(getattr(self, name) for name in losses):
            raise ValueError(f"at least one of {', '.join(losses)} must be above 0")
        if self.pixel_only_steps and not (self.pixel_weight or self.layer_color_weight):
            raise ValueError(
                "pixel_only_steps needs a pixel_weight above 0, or a layer_color_weight"
            )

    @property
    def has_layer_losses(self) -> bool:
        """Whether any loss compares the layers of the generator `cel` with a drawing's."""
        return any(getattr(self, f.name) for f in fields(self) if f.name.startswith("layer_"))


@dataclass(frozen=True)
class TrainConfig:
    """Every number of a training run; two runs of the same config and pictures are the same run."""

    initialization: PhaseConfig
    """The phase without a discriminator."""
    adversarial: PhaseConfig
    """The phase that brings the cartoons in."""
    seed: int = 1
    batch_size: int = 8
    crop: int = 256
    """Side in pixels of the square crops."""
    frame_heights: tuple[int, ...] = (256,)
    """Short sides in pixels that photos are resized to, as if they were frames of such films."""
    cartoon_scales: tuple[float, ...] = (1.0,)
    """What cartoons are resized by."""
    generator: GeneratorName = "paper"
    width: int = 256
    """Channels of the generator at a quarter of the picture's size."""
    blocks: int = 8
    """Residual blocks of the generator."""
    discriminator: DiscriminatorName = "paper"
    discriminator_width: int = 32
    """Channels of its first convolution."""
    discriminator_sees: Colours = "colour"
    """What the finest scale of `lite`'s discriminator looks at; the coarser one sees colours."""
    objective: Objective = "bce"
    """Of the edge-promoting adversarial loss: cross-entropy as in the paper, or least squares."""
    content_network: ContentNetworkName = "vgg19"
    content_target: ContentTarget = "photo"
    """What the content loss and the plain l1 hold the generator to."""
    cartoon_colours: float = 0.0
    """How far the drawings of the adversarial phase take on the cartoons' palette: 0 to 1."""
    look_ink: float = 1.0
    """Strength of the lines of the generator `cel`: 0 has none, above 1 they get wider. This and
    the next three say how its layers are composed, and change no weight."""
    look_tones: float = 6.0
    """Its tonal steps from black to white."""
    look_saturation: float = 1.4
    """Its factor on the distance from gray; 0 is black and white."""
    look_exposure: float = 1.06
    """Its factor on the luminance before the steps."""
    noisy_share: float = 0.0
    """Share of the photos, 0 to 1, that the generator sees with noise of a camera and of video
    coding added, while it learns the drawing of the clean photo. 0 adds none."""
    content_pictures: int = 64
    """Most pictures of each batch that the content, style and stability losses look at."""
    ema_decay: float = 0.0
    """Of the running mean of the generator's weights, which is what is exported; 0 is no mean."""
    precision: TrainPrecision = "auto"
    """Of the convolutions; the rest is float32. `auto`: the best that the device is fast at."""
    gradient_checkpointing: bool = False
    """Whether it is on from the start; running out of memory turns it on as well."""
    save_every: int = 250
    """Steps from one training state to the next."""
    log_every: int = 25
    """Steps from one line of `stats.jsonl` to the next."""
    sheet_every: int = 1000
    """Steps from one contact sheet to the next."""

    def __post_init__(self) -> None:
        _check_counts(self, "batch_size", "blocks", "discriminator_width", "content_pictures")
        _check_counts(self, "save_every", "log_every", "sheet_every")
        _check_not_negative(self, "seed", "look_ink", "look_saturation")
        if self.look_tones < 1 or self.look_exposure <= 0:
            raise ValueError("look_tones must be at least 1, and look_exposure above 0")
        _check_shares(self, "ema_decay")
        _check_choices(self, generator=GeneratorName, discriminator=DiscriminatorName)
        _check_choices(self, objective=Objective, discriminator_sees=Colours)
        _check_choices(self, content_network=ContentNetworkName, content_target=ContentTarget)
        _check_choices(self, precision=TrainPrecision)
        if self.width < 4:
            raise ValueError(f"width must be at least 4, not {self.width}")
        multiple = 8 if self.generator == "cel" else 4
        if self.crop < SMALLEST_CROP or self.crop % multiple:
            raise ValueError(
                f"crop must be a multiple of {multiple} from {SMALLEST_CROP} on, not {self.crop}"
            )
        if not 0 <= self.noisy_share <= 1:
            raise ValueError(f"noisy_share must be from 0 to 1, not {self.noisy_share}")
        if (self.initialization.has_layer_losses or self.adversarial.has_layer_losses) and (
            self.generator != "cel" or self.content_target != "drawing"
        ):
            raise ValueError("layer weights need generator=cel and content_target=drawing")
        if not 0 <= self.cartoon_colours <= 1:
            raise ValueError(f"cartoon_colours must be from 0 to 1, not {self.cartoon_colours}")
        if self.cartoon_colours and self.content_target == "photo":
            raise ValueError("cartoon_colours needs drawings, and the content target is the photo")
        for name in ("frame_heights", "cartoon_scales"):
            values = getattr(self, name)
            if not values or not all(0 < value < math.inf for value in values):
                raise ValueError(f"{name} must name at least one, all above 0")
        if not self.steps:
            raise ValueError("initialization.steps and adversarial.steps must not both be 0")

    @property
    def steps(self) -> int:
        """Steps of both phases."""
        return self.initialization.steps + self.adversarial.steps

    def phase_after(self, step: int) -> tuple[PhaseName, PhaseConfig, int]:
        """The phase that the step after `step` steps belongs to, and the steps it has behind it."""
        if step < self.initialization.steps:
            return "initialization", self.initialization, step
        return "adversarial", self.adversarial, step - self.initialization.steps

    @property
    def needs_content(self) -> bool:
        """Whether any phase looks through a content network."""
        phases = [phase for phase in (self.initialization, self.adversarial) if phase.steps]
        return any(phase.content_weight or phase.style_weight for phase in phases)

    @classmethod
    def from_values(cls, values: Mapping[str, object]) -> TrainConfig:
        """The config of which `dataclasses.asdict` gave these values, by way of JSON.

        Raises:
            TypeError, ValueError, KeyError: They are not a config's.
        """
        found = dict(values)
        # Defaults may have changed since the run began: none is guessed at.
        if missing := {field.name for field in fields(cls)} - set(found):
            raise ValueError(f"no {', '.join(sorted(missing))}")
        phases = {n: PhaseConfig(**found.pop(n)) for n in get_args(PhaseName)}  # type: ignore[arg-type]
        lists = {n: tuple(v) for n, v in found.items() if isinstance(v, list)}
        return cls(**(found | lists | phases))  # type: ignore[arg-type]


def change_config(config: TrainConfig, settings: Iterable[str]) -> TrainConfig:
    """A config with some values changed.

    Args:
        config: What to start from.
        settings: Each `name=value`; a phase's are named `adversarial.steps`; a list's values are
            separated by commas.

    Raises:
        TrainingError: There is no such option, or its value is not one.
    """
    changed: dict[str, dict[str, Value]] = {"": {}} | {name: {} for name in get_args(PhaseName)}
    for setting in settings:
        name, _, text = setting.partition("=")
        if name not in (known := option_names(config)):
            raise TrainingError(f"no training option named {name!r}; there are: {', '.join(known)}")
        place, _, field = name.rpartition(".")
        owner = getattr(config, place) if place else config
        try:
            changed[place][field] = _parse(text, getattr(owner, field))
        except ValueError as error:
            raise TrainingError(f"training option {name}: {text!r} is not a value of it") from error
    try:
        phases = {n: replace(getattr(config, n), **changed[n]) for n in get_args(PhaseName)}
        return replace(config, **changed[""], **phases)
    except ValueError as error:
        raise TrainingError(f"training option {error}") from error


def option_names(config: TrainConfig) -> list[str]:
    """Every option as `change_config` takes it."""
    names = []
    for field in fields(config):
        value = getattr(config, field.name)
        inner = [f"{field.name}.{f.name}" for f in fields(value)] if is_dataclass(value) else []
        names += inner or [field.name]
    return names


def _parse(text: str, like: Value) -> Value:
    """Text as a value of the same type as `like`."""
    if isinstance(like, bool):
        if text not in ("true", "false"):
            raise ValueError(text)
        return text == "true"
    if isinstance(like, tuple):
        return tuple(type(like[0])(part) for part in text.split(","))
    return type(like)(text)


def _check_counts(config: PhaseConfig | TrainConfig, *names: str) -> None:
    for name in names:
        if getattr(config, name) < 1:
            raise ValueError(f"{name} must be at least 1, not {getattr(config, name)}")


def _check_not_negative(config: PhaseConfig | TrainConfig, *names: str) -> None:
    for name in names:
        if not 0 <= getattr(config, name) < math.inf:
            raise ValueError(f"{name} must be at least 0, not {getattr(config, name)}")


def _check_shares(config: PhaseConfig | TrainConfig, *names: str) -> None:
    for name in names:
        if not 0 <= getattr(config, name) < 1:
            raise ValueError(f"{name} must be at least 0 and below 1")


def _check_choices(config: PhaseConfig | TrainConfig, **choices: object) -> None:
    for name, choice in choices.items():
        if getattr(config, name) not in get_args(choice):
            raise ValueError(f"{name} must be one of {', '.join(get_args(choice))}")
