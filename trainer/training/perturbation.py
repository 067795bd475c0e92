"""Synthetic changes of a photo that imitate those between two frames of a video.

In: a batch of photos and a random number generator. Out: a `Perturbation`: camera motion, a change
of brightness, and the noise of sensors and video compression. The stability loss compares the
cartoons of a photo and of the perturbed photo, and so teaches temporal consistency from still
images.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

# Camera motion between two frames; each value is drawn uniformly from -MAX to MAX.
MAX_ROTATION = 0.015  # radians
MAX_ZOOM = 0.015  # relative change of size
MAX_SHIFT = 2.0  # pixels
# Exposure
MAX_GAIN = 0.03  # relative change of brightness
MAX_OFFSET = 0.02  # of the range of levels
# Noise: its standard deviation is drawn uniformly from 0 to MAX, both of the range of levels.
MAX_SENSOR_NOISE = 0.02
MAX_LUMA_NOISE = 0.012  # gray blocks, as compression leaves them on walls, skies and roads
MAX_CHROMA_NOISE = 0.03  # colored blocks
BLOCK_SIZE = 8
"""Side of the gray blocks in pixels, that of the most common transform. Colored blocks are twice as
large, because most videos store chroma at half the resolution."""


@dataclass(frozen=True)
class Perturbation:
    """A small change of a batch of N images."""

    positions: Tensor
    """Sampling grid, (N, H, W, 2) in [-1, 1]: where each pixel comes from, as `grid_sample` takes
    it."""
    gain: Tensor
    """Factor on the brightness, (N, 1, 1, 1), about 1."""
    offset: Tensor
    """Addend to all levels, (N, 1, 1, 1), for images in [-1, 1]."""
    noise: Tensor
    """Addend to each level, (N, 3, H, W), for images in [-1, 1]."""

    def to(self, device: torch.device) -> Perturbation:
        """Return the perturbation on a device."""
        return Perturbation(
            *(getattr(self, field.name).to(device, non_blocking=True) for field in fields(self))
        )

    def part(self, images: slice) -> Perturbation:
        """Return the perturbation of some of the images."""
        return Perturbation(
            positions=self.positions[images],
            gain=self.gain[images],
            offset=self.offset[images],
            noise=self.noise[images],
        )

    @classmethod
    def sample(cls, images: Tensor, random: torch.Generator) -> Perturbation:
        """Sample a perturbation.

        Args:
            images: Batch (N, 3, H, W) whose shape and device the perturbation has.
            random: Generator on the CPU, so that every device has the same perturbations.
        """
        shape, device = images.shape, images.device
        positions = _sample_motion(shape, random)
        noise = _sample_noise(shape, random)
        gain = 1 + _uniform(shape[0], MAX_GAIN, random)
        offset = _uniform(shape[0], MAX_OFFSET * 2, random)  # images span 2, from -1 to 1
        return cls(
            positions=positions.to(device),
            gain=gain.view(-1, 1, 1, 1).to(device),
            offset=offset.view(-1, 1, 1, 1).to(device),
            noise=noise.to(device),
        )

    def warp(self, images: Tensor) -> Tensor:
        """Apply motion and exposure, but no noise, to images (N, 3, H, W) in [-1, 1].

        The same is applied to photos and to cartoons: a stable generator commutes with it.
        """
        moved = F.grid_sample(images, self.positions, align_corners=False)
        return (moved + 1) * self.gain - 1 + self.offset


def _sample_motion(shape: torch.Size, random: torch.Generator) -> Tensor:
    """Sample rotation, zoom and shift as a grid (N, H, W, 2)."""
    count, _, height, width = shape
    rotation = _uniform(count, MAX_ROTATION, random)
    zoom = 1 + _uniform(count, MAX_ZOOM, random)
    shift_x = _uniform(count, MAX_SHIFT * 2 / width, random)  # the grid spans 2, from -1 to 1
    shift_y = _uniform(count, MAX_SHIFT * 2 / height, random)
    cosine, sine = zoom * torch.cos(rotation), zoom * torch.sin(rotation)
    rows = (cosine, -sine, shift_x, sine, cosine, shift_y)
    matrix = torch.stack(rows, dim=1).view(count, 2, 3)
    return F.affine_grid(matrix, list(shape), align_corners=False)


def _sample_noise(shape: torch.Size, random: torch.Generator) -> Tensor:
    """Sample white noise and the block noise of compression, (N, 3, H, W)."""
    count, _, height, width = shape
    noise = torch.randn(shape, generator=random)
    noise = noise * _sample_deviation(count, MAX_SENSOR_NOISE, random)
    luma, chroma = (1, BLOCK_SIZE, MAX_LUMA_NOISE), (3, 2 * BLOCK_SIZE, MAX_CHROMA_NOISE)
    for channels, side, limit in (luma, chroma):
        block_shape = (count, channels, -(-height // side), -(-width // side))
        blocks = torch.randn(block_shape, generator=random)
        blocks = blocks.repeat_interleave(side, dim=2).repeat_interleave(side, dim=3)
        noise = noise + blocks[..., :height, :width] * _sample_deviation(count, limit, random)
    return noise


def _sample_deviation(count: int, limit: float, random: torch.Generator) -> Tensor:
    """Sample a standard deviation for each image, (N, 1, 1, 1), from 0 to the limit."""
    share_of_range = torch.rand(count, generator=random).view(-1, 1, 1, 1) * limit
    return share_of_range * 2  # images span 2, from -1 to 1


def _uniform(count: int, limit: float, random: torch.Generator) -> Tensor:
    """Sample `count` values from -limit to limit, (N,)."""
    return (torch.rand(count, generator=random) * 2 - 1) * limit
