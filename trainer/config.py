"""Values that define a training run: architecture, losses, schedule, data sampling.

In: a preset (`trainer.presets`) and settings as typed, `name=value`. Out: a `TrainConfig` whose
values are valid. Two runs with the same config, images and weights files produce the same
generator.

Left out: where images come from (`trainer.training.run_folder.Sources`) and which part of the
machine may be used (`trainer.device.Machine`), because neither changes the result.

Some options had British or less common names in earlier versions. `change_config` and
`TrainConfig.from_values` still accept those, see `OLD_OPTION_NAMES`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Literal, TypeAlias, get_args

from toonvid.errors import TrainingError
from trainer.config_checks import (
    check_choices,
    check_counts,
    check_fractions,
    check_not_negative,
)

PhaseName = Literal["initialization", "adversarial"]
TrainPrecision = Literal["auto", "f32", "bf16", "f16"]
GeneratorName = Literal["cel", "lite", "paper", "improved", "cyclegan", "unet"]
DiscriminatorName = Literal["lite", "paper", "patch"]
DiscriminatorInput = Literal["color", "gray"]
ContentNetworkName = Literal["resnet50", "vgg19"]
Objective = Literal["bce", "least-squares"]
ContentTarget = Literal["photo", "drawing", "layers", "teacher", "art"]
ContentNorm = Literal["l1", "l2"]
LearningRateSchedule = Literal["cosine", "constant", "linear"]

Value: TypeAlias = (
    "bool | int | float | str | tuple[int, ...] | tuple[float, ...] | tuple[str, ...]"
)

_MOST_HALVINGS = 5
"""Largest number of halvings of `unet`, which the sides of frames must be multiples of."""

MIN_CROP = 32
"""Smallest side of a crop in pixels; in smaller ones padding affects nearly all of the output."""

CHANGEABLE_ON_RESUME = ("save_every", "log_every", "sheet_every", "gradient_checkpointing")
"""Options that do not change the weights: a run may be resumed with other values of them."""

OLD_OPTION_NAMES = {
    "cartoon_colours": "cartoon_colors",
    "colour_weight": "color_weight",
    "content_pictures": "content_images",
    "discriminator_sees": "discriminator_input",
    "fall": "learning_rate_schedule",
    "warm_up": "warmup_steps",
}
"""Option names of earlier versions -> today's, without the name of the phase."""

OPTIONS_ADDED_LATER: dict[str, Value] = {
    "look_ink": 1.0,
    "look_tones": 6.0,
    "look_saturation": 1.4,
    "look_exposure": 1.06,
    "look_sharpness": 5.0,
    "look_flatness": 0.0,
    "look_ink_color": "120e12",
    "look_palette": (),
    "look_palette_share": 0.0,
    "ink_growth": 0,
    "color_rounding": 0,
    "skin_share": 0.0,
    "max_enlargement": 0.0,
    "noisy_share": 0.0,
    "image_pool": 0,
    "content_norm": "l1",
    "mix": True,
}
"""Options that configs of earlier versions lack -> a value that changes nothing for their runs."""

OLD_OPTION_VALUES = {
    "content_target": {"abstraction": "drawing"},
    "discriminator_input": {"colour": "color", "grey": "gray"},
    "learning_rate_schedule": {"none": "constant"},
}
"""Today's option name -> values of earlier versions -> today's."""


_CYCLEGAN_WEIGHTS = ("adversarial_weight", "smoothed_weight", "cycle_weight", "identity_weight")
"""Weights of the losses that CycleGAN has; smoothed cartoons are optional in it."""


@dataclass(frozen=True)
class PhaseConfig:
    """Schedule, optimizer and loss weights of one phase. A loss of weight 0 is not computed.

    The losses are defined in `trainer.training.losses`. The paper has two of them, the
    edge-promoting adversarial loss (equation 3) and the content loss (equation 4); all others are
    departures, and 0 in the preset `paper`.
    """

    steps: int
    """Number of training steps, one batch each, from 0; 0 leaves the phase out."""
    learning_rate: float
    """Peak learning rate of Adam for both networks, above 0; the paper has 2e-4."""
    learning_rate_schedule: LearningRateSchedule = "constant"
    """Learning rate after the warmup: constant, half a cosine down to 0, or constant for half of
    the steps and then linear down to 0."""
    warmup_steps: int = 1
    """Number of steps over which the learning rate rises linearly, from 1; default 1, no rise."""
    beta1: float = 0.5
    """Decay of Adam's first moment, in [0, 1); default 0.5."""
    beta2: float = 0.999
    """Decay of Adam's second moment, in [0, 1); default 0.999, as in Kingma and Ba, 2015. The paper
    states none."""
    gradient_clip: float = 0.0
    """Largest norm of each network's gradient; a longer gradient is scaled down to it. From 0;
    default 0, no limit."""
    adversarial_weight: float = 0.0
    """Weight of the edge-promoting adversarial loss in the generator's objective, from 0. The
    paper has 1 in the adversarial phase and 0 in the initialization phase."""
    smoothed_weight: float = 1.0
    """Weight of edge-smoothed cartoons e in the discriminator's loss, relative to generated images;
    from 0, default 1 as in the paper."""
    content_weight: float = 0.0
    """Weight of the content loss, omega in equation 2, from 0; the paper has 10."""
    pixel_weight: float = 0.0
    """Weight of the L1 loss between G(p) and the content target, from 0."""
    gradient_difference_weight: float = 0.0
    """Weight of the L1 loss between image gradients of G(p) and of the content target, from 0."""
    ink_weight: float = 0.0
    """Additional weight, in those two losses, of a pixel with full ink on white; from 0, default 0:
    all pixels have the same weight."""
    pixel_only_steps: int = 0
    """Number of steps at the start of the phase that use only the pixel, gradient difference and
    equivariance losses, from 0. Such a step takes about a third of the time of a full one."""
    color_weight: float = 0.0
    """Weight of the color reconstruction loss between G(p) and p, from 0."""
    style_weight: float = 0.0
    """Weight of the Gram matrix loss between G(p) and cartoons, from 0."""
    total_variation_weight: float = 0.0
    """Weight of the total variation of G(p), from 0."""
    stability_weight: float = 0.0
    """Weight of the temporal stability loss, from 0."""
    equivariance_weight: float = 0.0
    """Weight of the shift equivariance loss, from 0."""
    cycle_weight: float = 0.0
    """Weight of CycleGAN's cycle consistency loss, from 0; Zhu et al. have 10."""
    identity_weight: float = 0.0
    """Weight of CycleGAN's identity loss, from 0; Zhu et al. have 0.5 x 10."""
    layer_color_weight: float = 0.0
    """Weight of the L1 loss between the flat color layers of `cel` and of the drawing, from 0."""
    layer_gradient_weight: float = 0.0
    """Weight of the L1 loss between the gradients of these two layers, from 0."""
    layer_ink_weight: float = 0.0
    """Weight of the cross-entropy and Dice loss between the ink layers, from 0."""
    layer_stability_weight: float = 0.0
    """Weight of the temporal stability loss on both layers, from 0."""

    def __post_init__(self) -> None:
        check_counts(self, "warmup_steps")
        weights = [f.name for f in fields(self) if f.name.endswith("_weight")]
        check_not_negative(self, "steps", "pixel_only_steps", "gradient_clip", *weights)
        check_fractions(self, "beta1", "beta2")
        check_choices(self, learning_rate_schedule=LearningRateSchedule)
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
        """Whether a loss compares the layers of the generator `cel` with a drawing's."""
        return any(getattr(self, f.name) for f in fields(self) if f.name.startswith("layer_"))


@dataclass(frozen=True)
class TrainConfig:
    """All values of a training run. The defaults are the paper's where it states them."""

    initialization: PhaseConfig
    """First phase: the generator alone learns to reproduce the content target (section 3.3)."""
    adversarial: PhaseConfig
    """Second phase: generator and discriminator learn together, from photos and cartoons."""
    seed: int = 1
    """Seed of the initial weights and of everything sampled at random, from 0; default 1."""
    batch_size: int = 8
    """Number of crops of each kind in a batch, from 1; default 8."""
    crop: int = 256
    """Side of the square crops in pixels, a multiple of 4 from `MIN_CROP`; default 256."""
    frame_heights: tuple[int, ...] = (256,)
    """Short sides in pixels to which photos are resized, one of them sampled for each crop, so that
    the generator sees the scales of different video sizes."""
    cartoon_scales: tuple[float, ...] = (1.0,)
    """Factors by which cartoons are resized, one of them sampled for each crop, above 0."""
    generator: GeneratorName = "paper"
    """Generator architecture."""
    width: int = 256
    """Number of channels of the generator at 1/4 of the resolution, from 4; default 256."""
    blocks: int = 8
    """Number of residual blocks of the generator, from 1; default 8. For `cyclegan` 0 stands for 6
    up to a crop of 128 pixels, and 9 above. For `unet` the number of halvings, up to 5."""
    mix: bool = True
    """Whether `cel` has a residual convolution at half size before its last one, for a tenth more
    work; default true, as all generators had before the preset `cel` left it out."""
    discriminator: DiscriminatorName = "paper"
    """Discriminator architecture."""
    discriminator_width: int = 32
    """Number of channels of the discriminator's first convolution, from 1; default 32."""
    image_pool: int = 0
    """Number of generated images of each kind that CycleGAN's discriminators may see again, from 0;
    default 0, only the new ones."""
    discriminator_input: DiscriminatorInput = "color"
    """Input of the full-resolution scale of the discriminator `lite`: RGB, or luminance only. Its
    half-resolution scale always has RGB."""
    objective: Objective = "bce"
    """Form of the adversarial loss: binary cross-entropy as in the paper, or least squares."""
    content_network: ContentNetworkName = "vgg19"
    """Pretrained network of the content and style losses; VGG-19 in the paper."""
    content_target: ContentTarget = "photo"
    """Image that content, pixel and gradient difference losses compare G(p) with: p itself as in
    the paper, a drawing of p, its two layers, or a trained generator's output for p. With `art`,
    p is line art, and the target is the art that it was drawn from."""
    content_norm: ContentNorm = "l1"
    """Norm of the content loss: l1 as in the paper, or the mean square."""
    cartoon_colors: float = 0.0
    """Degree to which drawings are recolored to the cartoons' palette, in [0, 1]; default 0, the
    drawing's own colors. Drawings without layers are recolored in the adversarial phase only."""
    look_ink: float = 1.0
    """Strength of the lines of `cel`, from 0: 0 has none, 1 is as drawn, above 1 they get wider.
    This and the next options `look_*` set how its layers are composed; they change no weight."""
    look_tones: float = 6.0
    """Number of tonal steps from black to white, from 1; default 6."""
    look_saturation: float = 1.4
    """Factor on the distance of a color from gray, from 0: 0 is black and white; default 1.4."""
    look_exposure: float = 1.06
    """Factor on the luminance before the tonal steps, above 0; default 1.06."""
    look_sharpness: float = 5.0
    """Steepness of the tonal steps, above 0: 1 is soft shading; default 5, clear steps."""
    look_flatness: float = 0.0
    """Areas of less contrast than this, a standard deviation of the color in [0, 1], become flat;
    default 0, which leaves the color as it is."""
    look_ink_color: str = "120e12"
    """Color of the lines, hexadecimal RGB; default a warm black."""
    look_palette: tuple[str, ...] = ()
    """Colors from the darkest to the brightest, hexadecimal RGB, that the picture is tinted with by
    its luminance; default none."""
    look_palette_share: float = 0.0
    """How much of the color the tint replaces, in [0, 1]; default 0, no tint."""
    ink_growth: int = 0
    """Number of pixels by which the lines of a drawing grow on each side, from 0; default 0."""
    color_rounding: int = 0
    """Radius in pixels of a median over the flat color of a drawing, which drops details and rounds
    corners; from 0, default 0: none."""
    skin_share: float = 0.0
    """Share of the crops, in [0, 1], that are the one with most drawn features in skin out of
    `SKIN_CANDIDATES`, since faces are a small part of photos; default 0."""
    max_enlargement: float = 0.0
    """Largest factor by which a photo may be enlarged to one of the frame heights, from 1; heights
    that need more are left out where there is another. Default 0, no limit."""
    noisy_share: float = 0.0
    """Share of the photos, in [0, 1], to which the noise of cameras and video coding is added while
    the generator learns the drawing of the clean photo; default 0."""
    content_images: int = 64
    """Maximum number of images of a batch that the content, style and stability losses use, from 1;
    default 64. These losses take most of the time of a step."""
    ema_decay: float = 0.0
    """Decay per step of the exponential moving average (EMA) of the generator's weights, in [0, 1).
    The EMA is what is exported; default 0, the weights themselves."""
    precision: TrainPrecision = "auto"
    """Arithmetic of the convolutions; weights, losses and statistics are float32. `auto` selects
    the fastest one that the device supports natively."""
    gradient_checkpointing: bool = False
    """Whether gradient checkpointing is on from the start; it is also turned on when memory runs
    out."""
    save_every: int = 250
    """Number of steps between two training states on disk, from 1; default 250."""
    log_every: int = 25
    """Number of steps between two entries of `stats.jsonl`, from 1; default 25."""
    sheet_every: int = 1000
    """Number of steps between two contact sheets, from 1; default 1000."""

    def __post_init__(self) -> None:
        check_counts(self, "batch_size", "discriminator_width", "content_images")
        check_counts(self, "save_every", "log_every", "sheet_every")
        check_not_negative(self, "seed", "look_ink", "look_saturation", "look_flatness")
        check_not_negative(self, "ink_growth", "color_rounding", "image_pool")
        check_fractions(self, "ema_decay")
        check_choices(self, generator=GeneratorName, discriminator=DiscriminatorName)
        check_choices(self, objective=Objective, discriminator_input=DiscriminatorInput)
        check_choices(self, content_network=ContentNetworkName, content_target=ContentTarget)
        check_choices(self, precision=TrainPrecision, content_norm=ContentNorm)
        if self.width < 4:
            raise ValueError(f"width must be at least 4, not {self.width}")
        multiple = {"cel": 8, "unet": 2**self.blocks}.get(self.generator, 4)
        if self.crop < MIN_CROP or self.crop % multiple:
            raise ValueError(
                f"crop must be a multiple of {multiple} from {MIN_CROP} on, not {self.crop}"
            )
        if self.look_tones < 1 or min(self.look_exposure, self.look_sharpness) <= 0:
            raise ValueError(
                "look_tones must be at least 1, look_exposure and look_sharpness above 0"
            )
        for color in (self.look_ink_color, *self.look_palette):
            if not re.fullmatch(r"[0-9a-f]{6}", color):
                raise ValueError(f"a color has six hexadecimal digits, not {color!r}")
        if self.look_palette_share and len(self.look_palette) < 2:
            raise ValueError("look_palette_share needs a look_palette of at least two colors")
        if self.max_enlargement and not self.max_enlargement >= 1:
            raise ValueError(f"max_enlargement must be 0 or at least 1, not {self.max_enlargement}")
        for name in ("noisy_share", "skin_share", "look_palette_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be from 0 to 1, not {getattr(self, name)}")
        if (self.initialization.has_layer_losses or self.adversarial.has_layer_losses) and (
            self.generator != "cel" or self.content_target != "layers"
        ):
            raise ValueError("layer weights need generator=cel and content_target=layers")
        if not self.mix and self.generator != "cel":
            raise ValueError("mix=false needs generator=cel")
        if not 0 <= self.cartoon_colors <= 1:
            raise ValueError(f"cartoon_colors must be from 0 to 1, not {self.cartoon_colors}")
        if self.cartoon_colors and self.content_target == "photo":
            raise ValueError("cartoon_colors needs drawings, and the content target is the photo")
        for name in ("frame_heights", "cartoon_scales"):
            values = getattr(self, name)
            if not values or not all(0 < value < math.inf for value in values):
                raise ValueError(f"{name} must name at least one, all above 0")
        phases = [phase for phase in (self.initialization, self.adversarial) if phase.steps]
        if self.generator in ("cel", "unet") and any(p.equivariance_weight for p in phases):
            # The loss shifts crops by 4 pixels, whose rest these generators cannot take.
            raise ValueError(f"generator={self.generator} has no equivariance_weight: set it to 0")
        _check_cyclegan(self)
        _check_line_art(self)
        if not self.steps:
            raise ValueError("initialization.steps and adversarial.steps must not both be 0")

    @property
    def steps(self) -> int:
        """Number of steps of both phases together."""
        return self.initialization.steps + self.adversarial.steps

    def phase_at(self, step: int) -> tuple[PhaseName, PhaseConfig, int]:
        """Phase of a training step.

        Args:
            step: Index of the step in the run, from 0, which is also the number of steps before it.

        Returns:
            The phase's name, its config, and the index of the step in the phase, from 0.
        """
        if step < self.initialization.steps:
            return "initialization", self.initialization, step
        return "adversarial", self.adversarial, step - self.initialization.steps

    @property
    def needs_content_network(self) -> bool:
        """Whether any phase has a loss on features of a pretrained network."""
        phases = [phase for phase in (self.initialization, self.adversarial) if phase.steps]
        return any(phase.content_weight or phase.style_weight for phase in phases)

    @classmethod
    def from_values(cls, values: Mapping[str, object]) -> TrainConfig:
        """Rebuild a config from what `dataclasses.asdict` gave, after a round trip through JSON.

        Names and values of earlier versions are accepted.

        Raises:
            TypeError, ValueError, KeyError: These are not the values of a config.
        """
        found = _with_added_options(_with_current_names(values), cls)
        # Defaults may have changed since the run began, so no other missing value is filled in.
        if missing := {field.name for field in fields(cls)} - set(found):
            raise ValueError(f"no {', '.join(sorted(missing))}")
        phases = {
            name: PhaseConfig(**_with_current_names(found.pop(name)))  # type: ignore[arg-type]
            for name in get_args(PhaseName)
        }
        lists = {n: tuple(v) for n, v in found.items() if isinstance(v, list)}  # JSON has no tuples
        return cls(**(found | lists | phases))  # type: ignore[arg-type]


def change_config(config: TrainConfig, settings: Iterable[str]) -> TrainConfig:
    """Change some values of a config.

    Args:
        config: Config to start from; it is not modified.
        settings: Assignments `name=value`. An option of a phase is named like `adversarial.steps`;
            the values of a list are separated by commas. Of two settings of the same option, the
            last one counts. Names and values of earlier versions are accepted.

    Raises:
        TrainingError: An option does not exist, or a value is not valid for it.
    """
    changed: dict[str, dict[str, Value]] = {"": {}} | {name: {} for name in get_args(PhaseName)}
    for setting in settings:
        typed_name, _, text = setting.partition("=")
        name = current_option_name(typed_name)
        if name not in (known := option_names(config)):
            raise TrainingError(
                f"no training option named {typed_name!r}; there are: {', '.join(known)}"
            )
        phase, _, field = name.rpartition(".")
        owner = getattr(config, phase) if phase else config
        try:
            changed[phase][field] = _parse(str(_current_value(field, text)), getattr(owner, field))
        except ValueError as error:
            raise TrainingError(f"training option {name}: {text!r} is not a value of it") from error
    try:
        phases = {n: replace(getattr(config, n), **changed[n]) for n in get_args(PhaseName)}
        return replace(config, **changed[""], **phases)
    except ValueError as error:
        raise TrainingError(f"training option {error}") from error


def option_names(config: TrainConfig) -> list[str]:
    """List every option by the name that `change_config` accepts."""
    names = []
    for field in fields(config):
        value = getattr(config, field.name)
        inner = [f"{field.name}.{f.name}" for f in fields(value)] if is_dataclass(value) else []
        names += inner or [field.name]
    return names


def current_option_name(name: str) -> str:
    """Translate an option's name, which may be of an earlier version, to today's."""
    phase, dot, field = name.rpartition(".")
    return phase + dot + OLD_OPTION_NAMES.get(field, field)


def _current_value(field: str, value: object) -> object:
    """Translate a value of the field, which may be of an earlier version, to today's."""
    renamed = OLD_OPTION_VALUES.get(field, {})
    return renamed.get(value, value) if isinstance(value, str) else value


def _with_added_options(values: dict[str, object], config: type[TrainConfig]) -> dict[str, object]:
    """Fill in the options that earlier versions did not have."""
    names = {field.name for field in fields(config)}
    return {n: v for n, v in OPTIONS_ADDED_LATER.items() if n in names} | values


def _with_current_names(values: Mapping[str, object]) -> dict[str, object]:
    """Translate the names and values of a config's or a phase's fields to today's."""
    named = {current_option_name(name): value for name, value in values.items()}
    return {name: _current_value(name, value) for name, value in named.items()}


def _parse(text: str, like: Value) -> Value:
    """Convert text to a value of the same type as `like`."""
    if isinstance(like, bool):
        if text not in ("true", "false"):
            raise ValueError(text)
        return text == "true"
    if isinstance(like, tuple):
        kind = type(like[0]) if like else str
        return tuple(kind(part) for part in text.split(",") if part or kind is not str)
    return type(like)(text)


def _check_cyclegan(config: TrainConfig) -> None:
    """Check that CycleGAN's options stand together, and that none of them would do nothing."""
    phase = config.adversarial
    if config.generator != "cyclegan":
        if not config.blocks >= 1:
            raise ValueError(f"blocks must be at least 1, not {config.blocks}")
        cycle = (phase, config.initialization)
        if config.image_pool or any(p.cycle_weight or p.identity_weight for p in cycle):
            raise ValueError("image_pool, cycle_weight and identity_weight need generator=cyclegan")
        return
    check_not_negative(config, "blocks")
    if config.initialization.steps or config.content_target != "photo":
        raise ValueError(
            "generator=cyclegan needs initialization.steps=0 and content_target=photo: it learns "
            "from photos and cartoons from the first step on"
        )
    if phase.pixel_only_steps or config.noisy_share or config.cartoon_colors:
        raise ValueError("generator=cyclegan has no pixel_only_steps and no noisy_share")
    if not (phase.adversarial_weight and phase.cycle_weight):
        raise ValueError("generator=cyclegan needs an adversarial_weight and a cycle_weight")
    weights = [f.name for f in fields(phase) if f.name.endswith("_weight")]
    if others := [n for n in weights if getattr(phase, n) and n not in _CYCLEGAN_WEIGHTS]:
        raise ValueError(f"generator=cyclegan has no {', '.join(others)}: set it to 0")


def _check_line_art(config: TrainConfig) -> None:
    """Check the options of a generator that colors line art, and that none would do nothing."""
    if config.generator == "unet" and config.blocks > _MOST_HALVINGS:
        raise ValueError(f"blocks must be at most {_MOST_HALVINGS} for generator=unet")
    if config.content_target != "art":
        return
    if config.adversarial.steps and config.discriminator != "patch":
        raise ValueError("content_target=art needs discriminator=patch, which judges pairs")
    unused = ("cartoon_colors", "ink_growth", "color_rounding", "skin_share", "max_enlargement")
    names = [name for name in unused if getattr(config, name)]
    weights = ("style_weight", "color_weight", "smoothed_weight")
    names += [n for n in weights if config.adversarial.steps and getattr(config.adversarial, n)]
    if names:
        raise ValueError(f"content_target=art has no {', '.join(names)}: set it to 0")
