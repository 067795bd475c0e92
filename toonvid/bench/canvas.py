"""What the demo scene is painted with: a canvas, soft shapes, and textures of noise.

In: positions in units of the frame's height. Out: opacities and colors for `Canvas.paint`. What is
painted is left to `demo_scene`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.floating]
Color: TypeAlias = tuple[float, float, float]

_NOISE_SIZE = 512  # samples on each side, a power of two
_SAMPLES_PER_HEIGHT = 512  # of noise at scale 1


@dataclass(frozen=True)
class Canvas:
    """A frame or a part of it, with the position of each pixel in units of the frame's height."""

    colors: Floats
    """(H, W, 3) float32, 0..255."""
    x: Floats
    """(H, W): distance from the left edge of the frame."""
    world: Floats
    """(H, W): distance from a fixed point of the world, which the camera moves past."""
    y: Floats
    """(H, W): distance from the top."""

    def part(self, left: float, right: float, top: float, bottom: float) -> Canvas:
        """Return a view of the rectangle between these positions; painting on it paints here."""
        height = self.y.shape[0]
        first, last = max(0, int(left * height)), max(0, int(right * height) + 2)
        upper, lower = max(0, int(top * height)), max(0, int(bottom * height) + 2)
        here = (slice(upper, lower), slice(first, last))
        return Canvas(self.colors[here], self.x[here], self.world[here], self.y[here])

    def paint(self, cover: Floats, color: Color | Floats) -> None:
        """Blend a color over the canvas.

        Args:
            cover: (H, W) opacity, 0..1.
            color: One color, or (H, W, 3).
        """
        change = np.asarray(color, np.float32) - self.colors
        change *= cover[..., None]
        self.colors[:] += change

    def shade(self, cover: Floats, light: float | Floats) -> None:
        """Multiply the light on the canvas.

        Args:
            cover: (H, W) opacity, 0..1.
            light: Factor where the opacity is 1, or (H, W) factors.
        """
        self.colors[:] *= (1 + (light - np.float32(1)) * cover)[..., None]


def lit(color: Color, light: Floats) -> Floats:
    """Return (H, W, 3) float32: a color times the light on it, (H, W)."""
    colors: Floats = light[..., None].astype(np.float32) * np.asarray(color, np.float32)
    return colors


def edge(inside: Floats, softness: float = 1.0) -> Floats:
    """Return 1 where `inside` is positive and 0 where it is negative, with a soft edge.

    Args:
        inside: Distance from the edge, in units of the frame's height.
        softness: Width of the edge; 1 is a pixel of a frame of 700 lines.
    """
    cover: Floats = np.clip(inside * np.float32(700 / softness) + np.float32(0.5), 0, 1)
    return cover


def box(across: Floats, up: Floats, left: float, right: float, bottom: float, top: float) -> Floats:
    """Return the opacity of a rectangle in coordinates of a house: 0..1 in both directions."""
    sides = np.minimum(across - left, right - across)
    return edge(np.minimum(sides, np.minimum(up - bottom, top - up)), softness=8)


def texture(u: Floats, v: Floats, scale: float = 1.0, steepness: float = 1.0) -> Floats:
    """Sample noise with detail at all scales, as surfaces and clouds have.

    Args:
        u: Horizontal position in units of the frame's height; (H, W), (1, W) or (H, 1).
        v: Vertical position, likewise.
        scale: Factor of size; at 1 the noise repeats after the height of a frame.
        steepness: Amplitudes fall as the frequency to this power; more is smoother.

    Returns:
        (H, W) float32 of mean 0 and standard deviation about 1.
    """
    noise = _noise(steepness).ravel()
    rate = np.float32(_SAMPLES_PER_HEIGHT / scale)
    left, right, across = _between_samples(u * rate)
    upper, lower, down = _between_samples(v * rate)
    upper, lower = upper * _NOISE_SIZE, lower * _NOISE_SIZE
    above = noise[upper + left]
    above += (noise[upper + right] - above) * across
    below = noise[lower + left]
    below += (noise[lower + right] - below) * across
    sampled: Floats = above + (below - above) * down
    return sampled


def _between_samples(position: Floats) -> tuple[NDArray[np.int32], NDArray[np.int32], Floats]:
    """Return the samples before and behind a position, and how far it is between them, 0..1."""
    whole = np.floor(position)
    first = whole.astype(np.int32) & (_NOISE_SIZE - 1)
    return first, (first + 1) & (_NOISE_SIZE - 1), (position - whole).astype(np.float32)


@lru_cache(maxsize=2)
def _noise(steepness: float) -> Floats:
    """Return periodic noise, (`_NOISE_SIZE`, `_NOISE_SIZE`) float32."""
    frequency = np.fft.fftfreq(_NOISE_SIZE)
    distance = np.hypot(frequency[:, None], frequency[None, : _NOISE_SIZE // 2 + 1])
    distance[0, 0] = np.inf  # no mean
    white = np.random.default_rng(7).standard_normal((_NOISE_SIZE, _NOISE_SIZE))
    noise = np.fft.irfft2(np.fft.rfft2(white) / distance**steepness, s=white.shape)
    colored: Floats = (noise / noise.std()).astype(np.float32)
    return colored
