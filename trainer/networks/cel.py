"""The layered generator `cel`: a photo's flat color and ink, and the function that composes them.

In: photos. Out: cartoons. The network gives two layers that a small network can learn, a smooth
color for each region and lines; `compose`, which has no weights, makes tonal steps and puts the ink
over them. A small network cannot paint such hard steps itself.

Left out: training and export.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainer.networks.checkpointing import Stages
from trainer.networks.flat_areas import SQUARE, flatten_areas
from trainer.networks.luminance import find_brightest, find_luminance

LEAK = 0.1
"""Slope of the activations below 0."""
RESIDUAL_GAIN = 0.3
"""Initial gain of a residual block's branch: without normalization, sums would grow."""
OUTPUT_GAIN = 0.1
"""Initial gain of the last convolution: the first color layer is nearly the photo."""
INK_START = -2.0
"""Ink logit at the start: about an eighth, the share of ink in a drawing."""

BRIGHTENING = 0.3
"""Curve of the luminance: y + 0.3 y (1 - y). Ink darkens a picture, and this gives it back."""
SHARPNESS = 5.0
"""Default steepness of the soft staircase; 0 would be a ramp, infinity hard steps, which would
crawl in a video."""
SMOOTHSTEP_WIDTH = 1.81
"""Where smoothstep reaches 1, for the function that is nearest to a hyperbolic tangent."""
CHROMA_TOE = 0.15
"""Added to the luminance where chroma is divided by it, so that shadows stay calm."""
DARKEST = 0.05
"""Luminance of black without ink, so that lines show in shadows."""
HUE_KEPT = 0.6
"""Share of what a color's brightest channel has above 1 that is taken from all three. If only that
channel were cut off, bright red would turn pink and a bright sky white. With a share of 1, nothing
would look bright."""
INK_COLOR = "120e12"
"""Default color of the ink, hexadecimal RGB: a warm black."""
INK_SOFTNESS = 2.5
"""Width in logits of the ramp from no ink to full ink: one to two pixels at the rim of a line. A
steeper ramp makes jagged rims, and lines that flicker more; tonal steps hardly flicker."""

INK_BIAS = 0.0
"""Added to the logits: the thickness of all lines. Thin lines keep faces and small detail; a style
with bold ones has an ink above 1."""

INK, TONES, SATURATION, EXPOSURE = 1.0, 6.0, 1.4, 1.06
"""Defaults of the look: the controls of `compose`, and the exposure."""

CONTROL_RANGES = {"ink": (0.0, 2.0), "tones": (2.0, 12.0), "saturation": (0.0, 2.0)}
"""Control that an engine has as an input -> its smallest and largest value."""
CONTROL_STEPS = {"ink": 0.1, "tones": 1.0, "saturation": 0.1}
"""Control -> step of keys and sliders. Between whole tones, white turns gray."""


@dataclass(frozen=True)
class Look:
    """How layers are composed: the controls of `compose`, which need no training."""

    ink: float = INK
    """Strength of the lines: 0 has none, 1 is as drawn, above 1 they get wider."""
    tones: float = TONES
    """Steps from black to white."""
    saturation: float = SATURATION
    """Factor on the distance from gray; 0 is black and white, 1 leaves colors as they are."""
    exposure: float = EXPOSURE
    """Factor on the luminance before the steps; above 1 so that what is nearly white gets white."""
    sharpness: float = SHARPNESS
    """Steepness of the steps, above 0: 1 is soft shading, 5 has clear steps."""
    flatness: float = 0.0
    """Areas of less contrast than this, a standard deviation of the color in [0, 1], become flat;
    see `trainer.networks.flat_areas`. 0 leaves the color as it is."""
    ink_color: str = INK_COLOR
    """Color of the lines, hexadecimal RGB."""
    palette: tuple[str, ...] = ()
    """Colors from the darkest to the brightest, hexadecimal RGB, that the picture is tinted with by
    its luminance; none for no tint, else at least two."""
    palette_share: float = 0.0
    """How much of the color the tint replaces, in [0, 1]: 1 leaves nothing but the palette."""


class Layers(NamedTuple):
    """What the network gives for N photos."""

    color: Tensor
    """Flat color, (N, 3, H, W), about in [-1, 1]."""
    ink_logits: Tensor
    """Ink before the sigmoid, (N, 1, H, W)."""


class Light(NamedTuple):
    """What `compose_shares` makes of the luminance of N photos, each (N, 1, ...)."""

    gain: Tensor
    """Factor on the color."""
    offset: Tensor
    """Added to the color after that."""
    stairs: Tensor
    """Luminance in tonal steps, in [0, 1]."""


class CelGenerator(nn.Module):
    """The network and `compose` behind it. 4.1 thousand multiply-adds a pixel, of which fixed
    filters, which enlarge what has half the size, are 0.2.

    A pyramid of 1/2, 1/4 and 1/8 of the size with skips, without normalization, so that tiles,
    half precision and neighboring frames agree. Ink comes out at full size by pixel shuffle. Color
    comes out at half size, where it is smooth anyway; a gate, at half size as well, lets the
    photo's own detail through where an edge of full sharpness is wanted.
    """

    multiple_of = SQUARE
    """H and W of the input must be multiples of this."""

    def __init__(
        self, width: int = 32, blocks: int = 1, look: Look | None = None, mix: bool = False
    ) -> None:
        """Make a generator with random weights.

        Args:
            width: Channels at 1/4 of the size; half as many at 1/2, half as many more at 1/8.
            blocks: Residual blocks at 1/4 of the size; one more at 1/8.
            look: How its layers are composed; None for the defaults.
            mix: Whether there is a residual convolution at half size before the last one.
        """
        super().__init__()
        self.look = look or Look()
        half, eighth = width // 2, width * 3 // 2
        self.enter = nn.Conv2d(4 * 3, half, kernel_size=3, padding=1)
        self.down = nn.Conv2d(half, width, kernel_size=3, stride=2, padding=1)
        self.down_again = nn.Conv2d(width, eighth, kernel_size=3, stride=2, padding=1)
        # All but the outer ones look further for the price of the others: regions are large.
        dilations = [2 if 0 < index < max(blocks, 2) else 1 for index in range(blocks + 1)]
        self.eighth_blocks = Stages(*(CelBlock(eighth, each) for each in dilations))
        self.up = nn.Conv2d(eighth, 4 * width, kernel_size=1)
        self.quarter_blocks = Stages(*(CelBlock(width) for _ in range(blocks)))
        self.up_again = nn.Conv2d(width, 4 * half, kernel_size=1)
        self.mix = nn.Conv2d(half, half, kernel_size=3, padding=1) if mix else None
        self.leave = nn.Conv2d(half, 3 + 1 + 4, kernel_size=3, padding=1)
        means = torch.eye(3).repeat_interleave(4, dim=1)[..., None, None] / 4  # (3, 12, 1, 1)
        self.register_buffer("means", means, persistent=False)
        self.register_buffer("enlarge", enlarging_filters(3), persistent=False)
        self.register_buffer("enlarge_gate", enlarging_filters(1), persistent=False)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, a=LEAK)
                nn.init.zeros_(layer.bias)
        with torch.no_grad():
            for block in (*self.eighth_blocks, *self.quarter_blocks):
                block.second.weight.mul_(RESIDUAL_GAIN)
            self.leave.weight.mul_(OUTPUT_GAIN)
            self.leave.bias[4:] = INK_START

    def forward(self, photos: Tensor, controls: Mapping[str, Tensor] | None = None) -> Tensor:
        """Photos (N, 3, H, W) in [-1, 1] to cartoons of the same shape and range.

        Args:
            photos: p.
            controls: Control of `CONTROL_RANGES` -> scalar, or (1,); those that are missing are as
                in the look.
        """
        return self.compose_layers(self.layers(photos), controls)

    def compose_layers(
        self, layers: Layers, controls: Mapping[str, Tensor] | None = None
    ) -> Tensor:
        """Layers of N photos to cartoons (N, 3, H, W) in [-1, 1]. `controls` as in `forward`."""
        values = {**asdict(self.look), **(controls or {})}
        return compose((layers.color + 1) / 2, layers.ink_logits, **values) * 2 - 1

    def compose_drawing(self, color: Tensor, ink: Tensor) -> Tensor:
        """A drawing's layers to cartoons, with the same look.

        Args:
            color: Flat color, (N, 3, H, W) in [-1, 1].
            ink: (N, 1, H, W) in [0, 1].

        Returns:
            (N, 3, H, W) in [-1, 1].
        """
        values = asdict(self.look)
        cover = ink * _clamp_share(values.pop("ink"))
        del values["flatness"]  # areas of a drawing are flat
        return compose_shares((color + 1) / 2, cover, **values) * 2 - 1

    def layers(self, photos: Tensor) -> Layers:
        """Photos (N, 3, H, W) in [-1, 1] to flat color and ink."""
        layers = self._draw(F.pixel_unshuffle(photos, 2))
        return Layers(*(F.pixel_shuffle(layer.flatten(1, 2), 2) for layer in layers))

    def _draw(self, pixels: Tensor) -> Layers:
        """Blocks of 2 x 2 pixels to layers by blocks.

        Args:
            pixels: From `F.pixel_unshuffle`, (N, 12, H/2, W/2).

        Returns:
            Layers of the shapes (N, 3, 4, H/2, W/2) and (N, 1, 4, H/2, W/2).
        """
        half = activate(self.enter(pixels))  # (N, 16, H/2, W/2)
        quarter = activate(self.down(half))  # (N, 32, H/4, W/4)
        eighth = activate(self.down_again(quarter))  # (N, 48, H/8, W/8)
        eighth = activate(self.eighth_blocks(eighth))
        quarter = quarter + F.pixel_shuffle(self.up(eighth), 2)
        quarter = activate(self.quarter_blocks(quarter))
        half = activate(half + F.pixel_shuffle(self.up_again(quarter), 2))
        if self.mix is not None:
            half = activate(half + self.mix(half))
        change, gate, ink = self.leave(half).split((3, 1, 4), dim=1)
        # Means of 2 x 2 pixels
        means = F.conv2d(pixels, self.means.to(pixels.dtype))
        blurred = _enlarge(means, self.enlarge)
        flat = blurred + _enlarge(change, self.enlarge)
        gate = _enlarge(torch.sigmoid(gate), self.enlarge_gate)
        photos = pixels.unflatten(1, (3, 4))
        return Layers(flat + gate * (photos - blurred), ink.unflatten(1, (1, 4)))


class CelBlock(nn.Module):
    """Two 3x3 convolutions beside a skip (He et al., 2016), without normalization."""

    def __init__(self, width: int, dilation: int = 1) -> None:
        """Make a block with random weights.

        Args:
            width: Channels.
            dilation: Distance in pixels between the taps of the first convolution.
        """
        super().__init__()
        self.first = nn.Conv2d(width, width, kernel_size=3, padding=dilation, dilation=dilation)
        self.second = nn.Conv2d(width, width, kernel_size=3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(activate(self.first(x)))


def compose(
    color: Tensor,
    ink_logits: Tensor,
    ink: float | Tensor = INK,
    tones: float | Tensor = TONES,
    saturation: float | Tensor = SATURATION,
    exposure: float | Tensor = EXPOSURE,
    sharpness: float = SHARPNESS,
    flatness: float = 0.0,
    ink_color: str = INK_COLOR,
    palette: Sequence[str] = (),
    palette_share: float = 0.0,
) -> Tensor:
    """Make a cartoon of the network's layers.

    Args:
        color: Flat color, (N, 3, ...), about in [0, 1]; (N, 3, H, W) where there is a flatness.
        ink_logits: Ink before the sigmoid, (N, 1, ...).
        ink, tones, saturation, exposure, sharpness, flatness, ink_color, palette, palette_share:
            See `Look`.

    Returns:
        Shape of `color`, in [0, 1].
    """
    cover = find_cover(ink_logits, ink)
    if flatness:
        color = flatten_areas(color.clamp(0, 1), flatness)
    return compose_shares(
        color,
        cover,
        tones,
        saturation,
        exposure,
        sharpness,
        ink_color,
        palette,
        palette_share,
    )


def find_cover(ink_logits: Tensor, ink: float | Tensor) -> Tensor:
    """How much of the color the ink hides, in [0, 1], of the shape of the logits.

    Args:
        ink_logits: Ink before the sigmoid.
        ink: See `Look`.
    """
    # Not the sigmoid itself: ink is to be opaque, and half-sure lines are to be thin, not gray.
    # In brackets what is a scalar: where `ink` is an input, it is computed once and not per pixel.
    cover = ((ink_logits + (INK_BIAS + 2 * (ink - 1))) / INK_SOFTNESS + 0.5).clamp(0, 1)
    return cover * _clamp_share(ink)


def compose_shares(
    color: Tensor,
    cover: Tensor,
    tones: float | Tensor = TONES,
    saturation: float | Tensor = SATURATION,
    exposure: float | Tensor = EXPOSURE,
    sharpness: float = SHARPNESS,
    ink_color: str = INK_COLOR,
    palette: Sequence[str] = (),
    palette_share: float = 0.0,
) -> Tensor:
    """Make a cartoon of a drawing's layers: tonal steps, saturation, tint, and ink over them.

    The soft staircase of luminance is that of Winnemoeller et al., "Real-Time Video Abstraction",
    2006.

    Args:
        color: Flat color, (N, 3, ...), about in [0, 1].
        cover: Ink, (N, 1, ...) in [0, 1].
        tones, saturation, exposure, sharpness, ink_color, palette, palette_share: See `Look`.

    Returns:
        Shape of `color`, in [0, 1].
    """
    color = color.clamp(0, 1)
    light = find_light(
        find_luminance(color), find_brightest(color), tones, saturation, exposure, sharpness
    )
    return paint(color, cover, light, ink_color, palette, palette_share)


def find_light(
    luminance: Tensor,
    brightest: Tensor,
    tones: float | Tensor,
    saturation: float | Tensor,
    exposure: float | Tensor,
    sharpness: float,
) -> Light:
    """The part of `compose_shares` that is the same for R, G and B.

    Args:
        luminance: (N, 1, ...) in [0, 1].
        brightest: Largest of R, G and B, of the same shape and range.
        tones, saturation, exposure, sharpness: See `Look`.

    Returns:
        Tensors of the same shape.
    """
    bright = _brighten(luminance, exposure)
    stairs = DARKEST + (1 - DARKEST) * _soft_staircase(bright, tones, sharpness)
    gain = _chroma_gain(luminance, stairs, saturation)
    excess = (stairs + (brightest - luminance) * gain - 1).clamp(min=0)
    return Light(gain, stairs - luminance * gain - HUE_KEPT * excess, stairs)


def paint(
    color: Tensor,
    cover: Tensor,
    light: Light,
    ink_color: str = INK_COLOR,
    palette: Sequence[str] = (),
    palette_share: float = 0.0,
) -> Tensor:
    """The part of `compose_shares` that depends on each color.

    Args:
        color: Flat color, (N, 3, ...) in [0, 1].
        cover: Ink, (N, 1, ...) in [0, 1].
        light: From `find_light`, of the same color.
        ink_color, palette, palette_share: See `Look`.

    Returns:
        Shape of `color`, in [0, 1].
    """
    painted = (color * light.gain + light.offset).clamp(0, 1)
    if palette_share:
        painted = painted + palette_share * (_tint(light.stairs, palette) - painted)
    line = _constant(parse_color(ink_color), color).view(3, *[1] * (color.ndim - 2))
    return painted * (1 - cover) + line * cover


def grade(color: Tensor, look: Look) -> Tensor:
    """Flat color (N, 3, H, W) in [-1, 1] as a look shows it, but without steps, tint and ink.

    Returns:
        Same shape and range.
    """
    color = (color + 1) / 2
    luminance = find_luminance(color)
    shown = DARKEST + (1 - DARKEST) * _brighten(luminance, look.exposure)
    relit = _relight(color, luminance, shown, look.saturation)
    return (relit - HUE_KEPT * (find_brightest(relit) - 1).clamp(min=0)) * 2 - 1


def ungrade(shown: Tensor, look: Look) -> Tensor:
    """Flat color that `grade` turns into what is given, (N, 3, H, W) in [-1, 1], clamped to that.

    Where the look has no saturation, the color is gray.
    """
    shown = (shown + 1) / 2
    shown = shown + HUE_KEPT / (1 - HUE_KEPT) * (find_brightest(shown) - 1).clamp(min=0)
    brightness = find_luminance(shown)
    bright = ((brightness - DARKEST) / (1 - DARKEST) / look.exposure).clamp(0, 1)
    # The root in [0, 1] of bright = (1 + b) y - b y^2
    slope = 1 + BRIGHTENING
    luminance = (slope - (slope**2 - 4 * BRIGHTENING * bright).sqrt()) / (2 * BRIGHTENING)
    gain = look.saturation * (brightness + CHROMA_TOE) / (luminance + CHROMA_TOE)
    chroma = (shown - brightness) / gain if look.saturation else torch.zeros_like(shown)
    return ((luminance + chroma) * 2 - 1).clamp(-1, 1)


def parse_color(text: str) -> tuple[float, ...]:
    """Six hexadecimal digits to R, G and B in [0, 1].

    Raises:
        ValueError: The text is something else.
    """
    if not re.fullmatch(r"[0-9a-fA-F]{6}", text):
        raise ValueError(f"a color has six hexadecimal digits, not {text!r}")
    # Not by bytes.fromhex, which `torch.compile` cannot trace.
    return tuple(int(text[start : start + 2], 16) / 255 for start in (0, 2, 4))


def _soft_staircase(values: Tensor, steps: float | Tensor, sharpness: float) -> Tensor:
    """[0, 1] to [0, 1] in so many steps, each with a smooth rise around its middle.

    The paper's rise is a hyperbolic tangent; smoothstep is at most 6 % of half a step apart from
    it, and a third of the work.
    """
    slope = sharpness / SMOOTHSTEP_WIDTH
    scaled = values * steps
    middle = torch.floor(scaled) + 0.5
    along = ((scaled - middle) * (2 * slope)).clamp(-1, 1)
    rise = along * (3 - along * along)
    height = 3 * min(slope, 1) - min(slope, 1) ** 3  # at the ends of the step
    return (middle + rise / (2 * height)) / steps


def _constant(values: Sequence[float] | Sequence[Sequence[float]], like: Tensor) -> Tensor:
    """A tensor of the device and dtype of another, in a form that `torch.compile` can trace."""
    return torch.tensor(values, dtype=like.dtype, device=like.device)


def _brighten(luminance: Tensor, exposure: float | Tensor) -> Tensor:
    """Luminance in [0, 1] after the curve of `BRIGHTENING` and the exposure, at most 1."""
    return (exposure * (luminance + BRIGHTENING * luminance * (1 - luminance))).clamp(max=1)


def _relight(
    color: Tensor, luminance: Tensor, wanted: Tensor, saturation: float | Tensor
) -> Tensor:
    """A color with another luminance."""
    return wanted + (color - luminance) * _chroma_gain(luminance, wanted, saturation)


def _chroma_gain(luminance: Tensor, wanted: Tensor, saturation: float | Tensor) -> Tensor:
    """Factor on chroma. It grows with the luminance, else what is brightened turns gray."""
    return saturation * (wanted + CHROMA_TOE) / (luminance + CHROMA_TOE)


def _tint(luminance: Tensor, palette: Sequence[str]) -> Tensor:
    """Luminance (N, 1, ...) in [0, 1] to colors between those of a palette, (N, 3, ...)."""
    count = len(palette) - 1
    each_color = (3, *[1] * (luminance.ndim - 2))
    colors = _constant([parse_color(text) for text in palette], luminance)
    tinted = colors[0].view(each_color)
    for k, rise in enumerate(colors.diff(dim=0).unbind()):  # of each color over the one before
        tinted = tinted + (luminance * count - k).clamp(0, 1) * rise.view(each_color)
    return tinted


def _clamp_share(value: float | Tensor) -> float | Tensor:
    """A control cut off at 0 and 1."""
    if isinstance(value, Tensor):
        return value.clamp(0, 1)
    return min(max(value, 0.0), 1.0)


def enlarging_filters(channels: int) -> Tensor:
    """Filters that enlarge by 2, bilinearly, into blocks of 2 x 2 pixels.

    Returns:
        Shape (4 * channels, channels, 3, 3); the blocks are as `F.pixel_shuffle` takes them.
    """
    near, far = 0.75, 0.25
    phases = torch.tensor([[far, near, 0.0], [0.0, near, far]])
    kernels = torch.einsum("yi,xj->yxij", phases, phases).reshape(4, 3, 3)
    return torch.einsum("cd,pij->cpdij", torch.eye(channels), kernels).flatten(0, 1)


def _enlarge(half: Tensor, filters: Tensor) -> Tensor:
    """(N, C, H/2, W/2) to twice the size by blocks, (N, C, 4, H/2, W/2).

    It is what `F.interpolate` does in mode bilinear, by the filters that engines have too.
    """
    padded = F.pad(half, (1, 1, 1, 1), mode="replicate")
    return F.conv2d(padded, filters.to(half.dtype)).unflatten(1, (half.shape[1], 4))


def activate(x: Tensor) -> Tensor:
    return F.leaky_relu(x, LEAK)
