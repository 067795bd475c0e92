"""What the generator is trained by. Each loss names its source; each gives a scalar.

Leaves out the weights they are summed with (`trainer.config`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.features import ContentFeatures

STAGE_WEIGHTS = (0.5, 1.0)
"""Of ResNet-50's stages 2 and 3 in the content loss: the coarser one says more about content."""

LARGEST_TURN = 0.015
"""In radians. This and what follows: what happens to a picture between two frames of a film."""
LARGEST_ZOOM = 0.015
LARGEST_SHIFT = 2.0
"""In pixels."""
LARGEST_GAIN = 0.03
LARGEST_OFFSET = 0.02
"""Of the whole range of levels."""
LARGEST_NOISE = 0.02
"""Standard deviation, of the whole range of levels."""

BORDER = 8
"""Pixels at each side where a moved picture is not known."""
LINE_BLUR = 3
"""Side of the mean that is compared: a moved line is softened by the moving alone."""


def pixel_loss(
    generated: Tensor, abstractions: Tensor, photos: Tensor, ink_weight: float
) -> Tensor:
    """l1 that counts more where there is ink.

    Plain l1 asks for the median of what may be there, and a line that may be here or a pixel
    further has no ink in its median. Counting the rare class more is Xie and Tu's balance
    ("Holistically-Nested Edge Detection", 2015).

    Args:
        generated: G(p), (N, 3, H, W) in [-1, 1].
        abstractions: What G(p) shall be, same shape and range.
        photos: p, same shape and range: ink is where the abstraction is darker.
        ink_weight: What full ink on white counts more than the rest; 0 gives plain l1.
    """
    darker = F.relu(photos - abstractions).mean(dim=1, keepdim=True) / 2
    return ((generated - abstractions).abs() * (1 + ink_weight * darker)).mean()


def content_loss(features: ContentFeatures, generated: Tensor, targets: Tensor) -> Tensor:
    """Semantic content loss of CartoonGAN: l1 between feature maps of a pretrained network.

    Departures: ResNet-50's stages 2 and 3 for VGG-19 conv4_4, and the abstractions for the photos.

    Args:
        features: The pretrained network.
        generated: G(p), (N, 3, H, W) in [-1, 1].
        targets: What G(p) shall mean, same shape and range.

    Returns:
        The mean over all elements, where the paper writes the norm.
    """
    with torch.no_grad():
        wanted = features(targets)
    pairs = zip(STAGE_WEIGHTS, features(generated), wanted, strict=True)
    terms = [weight * F.l1_loss(made.float(), target.float()) for weight, made, target in pairs]
    return torch.stack(terms).sum()


@dataclass(frozen=True)
class Disturbance:
    """A small change of a batch, as from one frame of a film to the next."""

    positions: Tensor
    """(N, H, W, 2): where each pixel comes from, in [-1, 1], as `grid_sample` takes it."""
    gain: Tensor
    """(N, 1, 1, 1), around 1."""
    offset: Tensor
    """(N, 1, 1, 1), in the units of pictures in [-1, 1]."""
    noise: Tensor
    """(N, 3, H, W), in the units of pictures in [-1, 1]."""

    @classmethod
    def draw(cls, like: Tensor, random: torch.Generator) -> Disturbance:
        """Draw a change for a batch shaped like `like`; `random` is on the CPU."""
        count, _, height, width = like.shape

        def uniform(largest: float) -> Tensor:
            return (torch.rand(count, generator=random) * 2 - 1) * largest

        turn, zoom = uniform(LARGEST_TURN), 1 + uniform(LARGEST_ZOOM)
        shift_x, shift_y = uniform(LARGEST_SHIFT * 2 / width), uniform(LARGEST_SHIFT * 2 / height)
        cosine, sine = zoom * torch.cos(turn), zoom * torch.sin(turn)
        rows = (cosine, -sine, shift_x, sine, cosine, shift_y)
        matrix = torch.stack(rows, dim=1).view(count, 2, 3)
        noise = torch.randn(like.shape, generator=random)
        strength = torch.rand(count, generator=random).view(-1, 1, 1, 1) * LARGEST_NOISE * 2
        return cls(
            positions=F.affine_grid(matrix, list(like.shape), align_corners=False).to(like.device),
            gain=1 + uniform(LARGEST_GAIN).view(-1, 1, 1, 1).to(like.device),
            offset=uniform(LARGEST_OFFSET * 2).view(-1, 1, 1, 1).to(like.device),
            noise=(noise * strength).to(like.device),
        )

    def move(self, pictures: Tensor) -> Tensor:
        """Turned, zoomed, shifted and brightened."""
        moved = F.grid_sample(pictures, self.positions, align_corners=False)
        return (moved + 1) * self.gain - 1 + self.offset


def stability_loss(
    generator: Callable[[Tensor], Tensor],
    photos: Tensor,
    cartoons: Tensor,
    disturbance: Disturbance,
) -> Tensor:
    """l1 between the cartoon of a disturbed photo and the cartoon of the photo, moved the same way.

    Source: compound regularization (Wang et al., "Consistent Video Style Transfer via Compound
    Regularization", 2020). It teaches a steady film from single photos.

    Args:
        generator: G.
        photos: p, (N, 3, H, W) in [-1, 1].
        cartoons: G(p), same shape.
        disturbance: The change, for as many photos of this size.
    """
    disturbed = (disturbance.move(photos) + disturbance.noise).clamp(-1, 1)
    difference = generator(disturbed).float() - disturbance.move(cartoons.float())
    inner = difference[..., BORDER:-BORDER, BORDER:-BORDER]
    return F.avg_pool2d(inner, LINE_BLUR, stride=1).abs().mean()
