"""YUV of images in [-1, 1]: luminance, which holds lines, and two color differences.

Used by losses that weigh lines and colors differently, and by the color transfer.
"""

from __future__ import annotations

import torch
from torch import Tensor

YUV = (
    (0.299, 0.587, 0.114),
    (-0.147, -0.289, 0.436),
    (0.615, -0.515, -0.100),
)
"""Matrix from RGB to YUV: rows Y, U, V; columns red, green, blue (ITU-R BT.601)."""


def to_yuv(images: Tensor) -> Tensor:
    """Convert (N, 3, H, W) RGB in [-1, 1] to YUV of the same shape; Y is in [-1, 1]."""
    return torch.einsum("nchw,yc->nyhw", images, images.new_tensor(YUV))


def to_luminance(images: Tensor) -> Tensor:
    """Convert (N, 3, H, W) RGB in [-1, 1] to luminance, (N, 1, H, W) in [-1, 1]."""
    return (images * images.new_tensor(YUV[0]).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)
