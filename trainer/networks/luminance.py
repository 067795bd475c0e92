"""The luminance of colors and their brightest channel, in forms that engines compute fast."""

from __future__ import annotations

import torch
from torch import Tensor

LUMINANCE = (0.299, 0.587, 0.114)
"""ITU-R BT.601, of R, G and B."""


def find_luminance(color: Tensor) -> Tensor:
    """RGB (N, 3, ...) to (N, 1, ...)."""
    red, green, blue = color.split(1, dim=1)
    return LUMINANCE[0] * red + LUMINANCE[1] * green + LUMINANCE[2] * blue


def find_brightest(color: Tensor) -> Tensor:
    """The largest of R, G and B: (N, 3, ...) to (N, 1, ...)."""
    red, green, blue = color.split(1, dim=1)
    return torch.maximum(torch.maximum(red, green), blue)
