"""Color transfer: gives images the mean and contrast of the colors of another set.

In: crops of both sets. Out: one linear map of RGB, applied to every image of the first set.

Source: Reinhard et al., "Color Transfer between Images", 2001, who match the mean and the standard
deviation of each color channel. Departures: YUV instead of their logarithmic color space, and one
map for all images, so that an image that is darker or redder than another stays so.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.data.color import YUV, to_yuv


@dataclass(frozen=True)
class ColorStatistics:
    """Mean and contrast of the colors of many crops, in YUV of images in [-1, 1]."""

    mean: Tensor
    """Mean over all pixels, (3,)."""
    contrast: Tensor
    """Standard deviation within a crop, averaged over the crops, (3,). Not the one over all pixels:
    light and dark pages of a picture book would count as contrast that none of them has."""

    @classmethod
    def measure(cls, crops: Tensor) -> ColorStatistics:
        """Measure crops, (N, 3, H, W) RGB in [-1, 1]."""
        channels = to_yuv(crops).flatten(2)
        return cls(channels.mean(dim=(0, 2)), channels.std(dim=2).mean(dim=0))


@dataclass(frozen=True)
class ColorTransfer:
    """A map of colors, the same for all images: `matrix` @ RGB + `offset`."""

    matrix: Tensor
    """Shape (3, 3)."""
    offset: Tensor
    """Shape (3,), in the range of images in [-1, 1]."""

    @classmethod
    def between(
        cls, source: ColorStatistics, target: ColorStatistics, share: float
    ) -> ColorTransfer:
        """Return the map from the colors of one set towards those of another.

        Args:
            source: Statistics of the images that will be mapped.
            target: Statistics that they shall get.
            share: 0 changes nothing, 1 matches `target`.
        """
        yuv = source.mean.new_tensor(YUV)
        gains = (target.contrast / source.contrast.clamp(min=1e-3)) ** share
        matrix = yuv.inverse() @ torch.diag(gains) @ yuv
        mean = torch.lerp(source.mean, target.mean, share)
        return cls(matrix, yuv.inverse() @ (mean - gains * source.mean))

    def __call__(self, images: Tensor) -> Tensor:
        """Map images (N, 3, H, W), RGB in [-1, 1]; values out of range are clamped."""
        return F.conv2d(images, self.matrix[..., None, None], self.offset).clamp(-1, 1)
