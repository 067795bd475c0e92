"""Paired losses of the initialization phase of `cel`: the layers against a drawing's layers.

Everything counts more in skin: faces are a small part of photos, and the first thing that a viewer
looks at.

Left out: the weights that they are summed with, and the losses of the adversarial phase.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.data.color import to_luminance
from trainer.networks.cel import CelGenerator, Layers
from trainer.training.losses import BLUR_SIZE, MARGIN
from trainer.training.perturbation import Perturbation

HIDDEN = 0.8
"""How much less color counts under full ink, which covers it anyway."""
COARSE = 4
"""Side in pixels of the squares whose mean colors are compared for haze."""
INK_BALANCE = 2.0
"""How much more a pixel of full ink counts than one without: lines are a tenth of a picture, and
plain cross-entropy would rather leave out a line than draw it a pixel off (Xie and Tu,
"Holistically-Nested Edge Detection", 2015)."""
SKIN_BALANCE = 3.0
"""How much more a pixel in skin counts than another."""
SKIN_REACH = 9
"""Side in pixels of the mean over skin: eyes and brows, which are no skin, count as well."""


def color_loss(layers: Layers, color: Tensor, ink: Tensor) -> Tensor:
    """L1 between flat colors, lower under ink.

    Args:
        layers: The generator's, of N photos.
        color: The drawings' flat color, (N, 3, H, W) in [-1, 1].
        ink: The drawings' ink, (N, 1, H, W) in [0, 1].
    """
    return ((layers.color.float() - color).abs() * _importance(color, ink)).mean()


def color_gradient_loss(layers: Layers, color: Tensor, ink: Tensor) -> Tensor:
    """L1 between the gradients of flat colors, lower under ink: flat stays flat, steps stay steps.

    Gradient difference loss (Mathieu et al., "Deep Multi-Scale Video Prediction Beyond Mean Square
    Error", 2016), with signs kept, at full size and on the means of 4 x 4 pixels. The second finds
    haze: slow variation in what ought to be one color, whose gradient from pixel to pixel is tiny.

    Args:
        layers: The generator's, of N photos.
        color: The drawings' flat color, (N, 3, H, W) in [-1, 1].
        ink: The drawings' ink, (N, 1, H, W) in [0, 1].
    """
    error = layers.color.float() - color
    shown = _importance(color, ink)
    down = error.diff(dim=2).abs() * shown[:, :, 1:]
    across = error.diff(dim=3).abs() * shown[..., 1:]
    coarse = F.avg_pool2d(error * shown, COARSE)
    haze = coarse.diff(dim=2).abs().mean() + coarse.diff(dim=3).abs().mean()
    return down.mean() + across.mean() + haze


def ink_loss(layers: Layers, color: Tensor, ink: Tensor) -> Tensor:
    """Weighted cross-entropy plus half a Dice loss between ink layers.

    Dice (Milletari et al., "V-Net", 2016) looks at the overlap of all lines of a photo, so that few
    and thin lines count as much as many. It is a mean over photos, so that parts of a batch add up.

    Args:
        layers: The generator's, of N photos.
        color: The drawings' flat color, (N, 3, H, W) in [-1, 1].
        ink: The drawings' ink, (N, 1, H, W) in [0, 1].
    """
    logits = layers.ink_logits.float()
    entropy = F.binary_cross_entropy_with_logits(logits, ink, reduction="none")
    share = torch.sigmoid(logits)
    both, either = (share * ink).sum(dim=(1, 2, 3)), (share + ink).sum(dim=(1, 2, 3))
    dice = 1 - (2 * both + 1) / (either + 1)  # the ones: a photo without lines has a slope too
    balance = (1 + INK_BALANCE * ink) * (1 + SKIN_BALANCE * _find_skin(color))
    return (entropy * balance).mean() + dice.mean() / 2


def layer_stability_loss(
    generator: CelGenerator, photos: Tensor, layers: Layers, perturbation: Perturbation
) -> Tensor:
    """L1 between the layers of a perturbed photo and the layers of the photo, moved the same way.

    As `trainer.training.losses.stability_loss` (Wang et al., "Consistent Video Style Transfer via
    Compound Regularization", 2020), but ink is moved without the change of brightness.

    Args:
        generator: Has given `layers`.
        photos: p, (N, 3, H, W) in [-1, 1].
        layers: Those of the photos.
        perturbation: The change, for as many photos of this size.
    """
    perturbed = (perturbation.warp(photos) + perturbation.noise).clamp(-1, 1)
    seen = generator.layers(perturbed)
    color = seen.color.float() - perturbation.warp(layers.color.float())
    still = F.grid_sample(
        torch.sigmoid(layers.ink_logits.float()), perturbation.positions, align_corners=False
    )
    ink = torch.sigmoid(seen.ink_logits.float()) - still
    difference = torch.cat([color, 2 * ink], dim=1)  # ink in [0, 1], color in [-1, 1]
    inner = difference[..., MARGIN:-MARGIN, MARGIN:-MARGIN]
    return F.avg_pool2d(inner, BLUR_SIZE, stride=1).abs().mean()


def _importance(color: Tensor, ink: Tensor) -> Tensor:
    """How much each pixel's color counts, (N, 1, H, W): less under ink, more in skin."""
    return (1 - HIDDEN * ink) * (1 + SKIN_BALANCE * _find_skin(color))


def _find_skin(color: Tensor) -> Tensor:
    """Where colors (N, 3, H, W) in [-1, 1] are those of skin, and close by: (N, 1, H, W) in [0, 1].

    The box in Cb and Cr of Chai and Ngan, "Face Segmentation Using Skin-Color Map in Videophone
    Applications", 1999. It takes in wood and brick, which only count for more than they need to.
    """
    red, _, blue = color.split(1, dim=1)
    luminance = to_luminance(color)
    reddish, bluish = 0.713 * (red - luminance) / 2 * 255, 0.564 * (blue - luminance) / 2 * 255
    inside = (reddish > 5) & (reddish < 45) & (bluish > -51) & (bluish < -1)
    return F.avg_pool2d(inside.float(), SKIN_REACH, stride=1, padding=SKIN_REACH // 2)
