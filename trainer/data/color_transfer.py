"""The colours of a set of pictures in six numbers, and drawings that take on another set's colours.

Source: Reinhard et al., "Color Transfer between Images", 2001, who match mean and spread of each
colour channel. Departures: YUV for their logarithmic space, and one change for all pictures, so
that what is darker or redder than another stays so.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.data.color import YUV, to_yuv


@dataclass(frozen=True)
class ColorStatistics:
    """Mean and contrast of the colours of many crops, each (3,), in YUV of pictures in [-1, 1]."""

    mean: Tensor
    contrast: Tensor
    """The standard deviation within a crop, averaged over crops: a page of a picture book may be
    light or dark as a whole, and yet have little contrast in each of its panels."""

    @classmethod
    def of(cls, crops: Tensor) -> ColorStatistics:
        """Measure crops (N, 3, H, W), RGB in [-1, 1]."""
        channels = to_yuv(crops).flatten(2)
        return cls(channels.mean(dim=(0, 2)), channels.std(dim=2).mean(dim=0))


@dataclass(frozen=True)
class ColorTransfer:
    """One change of colours for all pictures: RGB to `matrix` @ RGB + `offset`."""

    matrix: Tensor
    """(3, 3)"""
    offset: Tensor
    """(3,), in the units of pictures in [-1, 1]."""

    @classmethod
    def between(cls, here: ColorStatistics, there: ColorStatistics, share: float) -> ColorTransfer:
        """What moves one palette towards another.

        Args:
            here: Of the pictures that will be changed.
            there: Of those that they shall resemble.
            share: How far: 0 changes nothing, 1 goes all the way.
        """
        yuv = here.mean.new_tensor(YUV)
        gains = (there.contrast / here.contrast.clamp(min=1e-3)) ** share
        matrix = yuv.inverse() @ torch.diag(gains) @ yuv
        mean = torch.lerp(here.mean, there.mean, share)
        return cls(matrix, yuv.inverse() @ (mean - gains * here.mean))

    def __call__(self, pictures: Tensor) -> Tensor:
        """Pictures (N, 3, H, W) in [-1, 1], RGB, with other colours; cut off where out of range."""
        return F.conv2d(pictures, self.matrix[..., None, None], self.offset).clamp(-1, 1)
