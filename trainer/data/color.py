"""YUV of pictures in [-1, 1]: luminance, where lines are, and two differences, where colour is."""

from __future__ import annotations

import torch
from torch import Tensor

YUV = (
    (0.299, 0.587, 0.114),
    (-0.147, -0.289, 0.436),
    (0.615, -0.515, -0.100),
)
"""Rows Y, U, V of red, green, blue (ITU-R BT.601)."""


def to_yuv(pictures: Tensor) -> Tensor:
    """(N, 3, H, W) RGB in [-1, 1] to YUV of the same shape; Y in [-1, 1]."""
    return torch.einsum("nchw,yc->nyhw", pictures, pictures.new_tensor(YUV))


def to_luminance(pictures: Tensor) -> Tensor:
    """(N, 3, H, W) RGB in [-1, 1] to (N, 1, H, W) in [-1, 1]."""
    return (pictures * pictures.new_tensor(YUV[0]).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)
