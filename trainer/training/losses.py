"""What the generator is trained by. Each loss names its source; each gives a scalar.

Leaves out the weights they are summed with (`trainer.config`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.config import Objective
from trainer.data.color import to_yuv
from trainer.networks.content_features import ContentFeatures

COLOUR_AREA = 8
"""Side in pixels of the squares whose mean colours are compared."""

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
LARGEST_BLOTCHES = 0.012
"""The same of grey squares, as video coding leaves them on walls, skies and roads."""
LARGEST_TINTS = 0.03
"""The same of coloured squares, twice as large: most films store colours at half the size."""
BLOTCH = 8
"""Side of the grey squares in pixels, that of the most common transform."""

BORDER = 8
"""Pixels at each side where a moved picture is not known."""
SQUARE = 4
"""Side in pixels of the squares that generators work on."""
LINE_BLUR = 3
"""Side of the mean that is compared: a moved line is softened by the moving alone."""


def discriminator_loss(
    generated: list[Tensor],
    cartoons: list[Tensor],
    smoothed: list[Tensor],
    objective: Objective,
    smoothed_weight: float = 1.0,
) -> Tensor:
    """Edge-promoting adversarial loss of CartoonGAN (its equation 3) for the discriminator.

    Cartoons are to be judged as cartoons; generated pictures, and cartoons without clear edges, as
    none. Cross-entropy is the equation's; least squares (Mao et al., 2017) is a departure from it.

    Args:
        generated: D(G(p)), a map (N, 1, h, w) for each scale of the discriminator.
        cartoons: D(c).
        smoothed: D(e).
        objective: Which of the two.
        smoothed_weight: Of the smoothed cartoons; 1 in the paper.
    """
    return (
        _judge(cartoons, 1.0, objective)
        + _judge(generated, 0.0, objective)
        + smoothed_weight * _judge(smoothed, 0.0, objective)
    )


def adversarial_loss(generated: list[Tensor], objective: Objective) -> Tensor:
    """Edge-promoting adversarial loss of CartoonGAN for the generator: be taken for a cartoon.

    Departure: the generator maximises log D(G(p)) where equation 3 minimises log(1 - D(G(p))),
    which has no slope as long as the discriminator is right (Goodfellow et al., 2014, section 3).

    Args:
        generated: D(G(p)), a map (N, 1, h, w) for each scale of the discriminator.
        objective: As the discriminator's.
    """
    return _judge(generated, 1.0, objective)


def pixel_loss(generated: Tensor, targets: Tensor, photos: Tensor, ink_weight: float) -> Tensor:
    """l1 between pictures that counts more where there is ink.

    Plain l1 asks for the median of what may be there, and a line that may be here or a pixel
    further has no ink in its median. Counting the rare class more is Xie and Tu's balance
    ("Holistically-Nested Edge Detection", 2015).

    Args:
        generated: G(p), (N, 3, H, W) in [-1, 1].
        targets: What G(p) shall be, same shape and range.
        photos: p, same shape and range: ink is where the target is darker.
        ink_weight: What full ink on white counts more than the rest; 0 gives plain l1.
    """
    return ((generated.float() - targets).abs() * _balance(targets, photos, ink_weight)).mean()


def gradient_difference(
    generated: Tensor, targets: Tensor, photos: Tensor, ink_weight: float
) -> Tensor:
    """l1 between the differences of neighbouring pixels: flat stays flat, a line stays sharp.

    Source: the gradient difference loss of Mathieu et al., "Deep Multi-Scale Video Prediction
    Beyond Mean Square Error", 2016, with signs kept, counted as `pixel_loss` counts. Not in the
    paper.

    Args:
        generated: G(p), (N, 3, H, W) in [-1, 1].
        targets: What G(p) shall be, same shape and range.
        photos: p, same shape and range.
        ink_weight: As for `pixel_loss`.

    Returns:
        The sum of both directions' means.
    """
    error = generated.float() - targets
    balance = _balance(targets, photos, ink_weight)
    down = error.diff(dim=2).abs() * balance[:, :, 1:]
    across = error.diff(dim=3).abs() * balance[..., 1:]
    return down.mean() + across.mean()


def content_loss(features: ContentFeatures, generated: Tensor, targets: Tensor) -> Tensor:
    """Semantic content loss of CartoonGAN (its equation 4): l1 between pretrained features.

    Departures of the preset `lite`: the abstractions for the photos. Of all but `paper`: stages 2
    and 3 of ResNet-50 for conv4_4 of VGG-19.

    Args:
        features: The pretrained network.
        generated: G(p), (N, 3, H, W) in [-1, 1].
        targets: What G(p) shall mean, same shape and range: p in the paper.

    Returns:
        The mean over all elements, where the paper writes the norm.
    """
    with torch.no_grad():
        wanted = features(targets)
    pairs = zip(features.layer_weights, features(generated), wanted, strict=True)
    terms = [weight * F.l1_loss(made.float(), target.float()) for weight, made, target in pairs]
    return torch.stack(terms).sum()


def style_loss(features: ContentFeatures, generated: Tensor, cartoons: Tensor) -> Tensor:
    """l1 between the Gram matrices of generated pictures and of cartoons, over a whole batch.

    Source: Gatys et al., "Image Style Transfer Using Convolutional Neural Networks", 2016; with
    unrelated cartoons, as AnimeGAN (Chen et al., 2019). Not in the paper.

    Args:
        features: The pretrained network.
        generated: G(p), (N, 3, H, W) in [-1, 1].
        cartoons: c, same shape and range.
    """
    with torch.no_grad():
        wanted = [_gram(layer) for layer in features(cartoons)]
    made = [_gram(layer) for layer in features(generated)]
    pairs = zip(features.layer_weights, made, wanted, strict=True)
    return torch.stack([weight * F.l1_loss(ours, theirs) for weight, ours, theirs in pairs]).sum()


def total_variation(generated: Tensor) -> Tensor:
    """Mean difference of neighbouring pixels of G(p), (N, 3, H, W): less of it is less noise.

    Source: Rudin et al., 1992; as a loss, Johnson et al., 2016. Not in the paper.
    """
    generated = generated.float()
    return generated.diff(dim=2).abs().mean() + generated.diff(dim=3).abs().mean()


def colour_loss(generated: Tensor, photos: Tensor) -> Tensor:
    """l1 between the colours of areas in G(p) and in p, (N, 3, H, W): so that sky stays sky.

    Source: AnimeGAN's colour reconstruction in YUV (Chen et al., 2019), here on the means of 8x8
    pixels, which leave lines and texture free. Not in the paper.
    """
    made = F.avg_pool2d(to_yuv(generated.float()), COLOUR_AREA)
    return F.l1_loss(made, F.avg_pool2d(to_yuv(photos), COLOUR_AREA))


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

    def part(self, first: int, last: int) -> Disturbance:
        """The change of the pictures from number `first` up to `last`, without it."""
        parts = (self.positions, self.gain, self.offset, self.noise)
        return Disturbance(*(values[first:last] for values in parts))

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
        noise = noise * strength
        grey, tints = (1, BLOTCH, LARGEST_BLOTCHES), (3, 2 * BLOTCH, LARGEST_TINTS)
        for channels, side, largest in (grey, tints):
            shape = (count, channels, -(-height // side), -(-width // side))
            squares = torch.randn(shape, generator=random)
            blotches = squares.repeat_interleave(side, dim=2).repeat_interleave(side, dim=3)
            spread = torch.rand(count, generator=random).view(-1, 1, 1, 1) * largest * 2
            noise = noise + blotches[..., :height, :width] * spread
        return cls(
            positions=F.affine_grid(matrix, list(like.shape), align_corners=False).to(like.device),
            gain=1 + uniform(LARGEST_GAIN).view(-1, 1, 1, 1).to(like.device),
            offset=uniform(LARGEST_OFFSET * 2).view(-1, 1, 1, 1).to(like.device),
            noise=noise.to(like.device),
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


def equivariance_loss(
    generator: Callable[[Tensor], Tensor],
    photos: Tensor,
    cartoons: Tensor,
    shift: tuple[int, int],
) -> Tensor:
    """Mean square between the cartoon of a photo moved by whole pixels and the cartoon, moved so.

    A network that works on squares of 4 x 4 pixels draws an edge otherwise for each place that it
    has in them (Zhang, "Making Convolutional Networks Shift-Invariant Again", 2019): in a film,
    edges and lettering boil. Whole pixels need no interpolation, so that nothing is softened by
    the comparison, as it is in `stability_loss`. Not in the paper.

    Args:
        generator: G, for sides that are multiples of 4.
        photos: p, (N, 3, H, W) in [-1, 1].
        cartoons: G(p), same shape.
        shift: How far up and left, 0 to 3 pixels each.
    """
    height, width = (side - SQUARE for side in photos.shape[2:])
    down, right = shift
    part = (..., slice(down, down + height), slice(right, right + width))
    difference = generator(photos[part]).float() - cartoons.float()[part]
    inner = difference[..., BORDER:-BORDER, BORDER:-BORDER]
    return inner.square().mean()


def _judge(maps: list[Tensor], target: float, objective: Objective) -> Tensor:
    """How far judgements are from 1 (a cartoon) or 0; each scale counts the same."""
    loss = F.binary_cross_entropy_with_logits if objective == "bce" else F.mse_loss
    terms = [loss(judged.float(), torch.full_like(judged, target).float()) for judged in maps]
    return torch.stack(terms).mean()


def _balance(targets: Tensor, photos: Tensor, ink_weight: float) -> Tensor:
    """How much each pixel counts, (N, 1, H, W): 1, and more where the target has ink."""
    darker = F.relu(photos - targets).mean(dim=1, keepdim=True) / 2
    return 1 + ink_weight * darker


def _gram(layer: Tensor) -> Tensor:
    """(N, C, h, w) to (C, C): how often two features are there together, as a mean."""
    with torch.autocast(layer.device.type, enabled=False):
        flat = layer.float().transpose(0, 1).flatten(1)
        return flat @ flat.T / flat.shape[1]
