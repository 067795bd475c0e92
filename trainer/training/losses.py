"""Losses of the generator and the discriminator.

In: batches of images in [-1, 1] or outputs of the discriminator. Out: scalars, unweighted. Each
docstring names the source of its loss; the equations are those of CartoonGAN (Chen, Lai and Liu,
CVPR 2018):

    (1)  G*, D* = arg min_G max_D L(G, D)
    (2)  L(G, D) = L_adv(G, D) + omega * L_con(G, D)
    (3)  L_adv = E_c[log D(c)] + E_e[log(1 - D(e))] + E_p[log(1 - D(G(p)))]
    (4)  L_con = E_p[ || VGG(G(p)) - VGG(p) ||_1 ]

with photos p, cartoons c, and cartoons with smoothed edges e.

Left out: the weights (`trainer.config`), and which loss is computed in which phase
(`trainer.training.phases`).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.config import ContentNorm, Objective
from trainer.data.color import to_yuv
from trainer.networks.content_features import ContentFeatures
from trainer.training.perturbation import Perturbation

COLOR_AREA = 8
"""Side in pixels of the squares whose mean colors the color loss compares."""

MARGIN = 8
"""Width in pixels of the border that the stability and equivariance losses leave out, because the
warped image is unknown there."""
GENERATOR_STRIDE = 4
"""Total stride of the generators in pixels: shifted by that much, their output shifts exactly."""
BLUR_SIZE = 3
"""Side in pixels of the mean filter of the stability loss: warping alone softens a line by that."""


def discriminator_loss(
    generated: list[Tensor],
    cartoons: list[Tensor],
    smoothed: list[Tensor] | None,
    objective: Objective,
    smoothed_weight: float = 1.0,
) -> Tensor:
    """Edge-promoting adversarial loss (equation 3) for the discriminator, to be minimized.

    The discriminator learns to output 1 for cartoons, and 0 for generated images and for cartoons
    with smoothed edges. Cross-entropy is the negative of equation 3; least squares (Mao et al.,
    "Least Squares Generative Adversarial Networks", 2017) is a departure.

    Args:
        generated: D(G(p)), logits (N, 1, h, w) for each scale of the discriminator.
        cartoons: D(c), same shapes.
        smoothed: D(e), same shapes; None leaves out its term.
        objective: Cross-entropy or least squares.
        smoothed_weight: Weight of the term of D(e); 1 in the paper.
    """
    loss = _adversarial_term(cartoons, 1.0, objective) + _adversarial_term(
        generated, 0.0, objective
    )
    if smoothed is not None:
        loss = loss + smoothed_weight * _adversarial_term(smoothed, 0.0, objective)
    return loss


def adversarial_loss(generated: list[Tensor], objective: Objective) -> Tensor:
    """Edge-promoting adversarial loss (equation 3) for the generator, to be minimized.

    Departure: the generator maximizes log D(G(p)) instead of minimizing log(1 - D(G(p))), which has
    hardly any gradient while the discriminator is right (Goodfellow et al., 2014, section 3).

    Args:
        generated: D(G(p)), logits (N, 1, h, w) for each scale of the discriminator.
        objective: Same as the discriminator's.
    """
    return _adversarial_term(generated, 1.0, objective)


def content_loss(
    features: ContentFeatures, generated: Tensor, targets: Tensor, norm: ContentNorm = "l1"
) -> Tensor:
    """Semantic content loss (equation 4): L1 between feature maps of a pretrained network.

    Departures: in all presets but `paper`, stages 2 and 3 of ResNet-50 instead of conv4_4 of
    VGG-19; in `lite` and `distilled`, drawings or a teacher's output as targets instead of photos.

    Args:
        features: Pretrained network.
        generated: G(p), (N, 3, H, W) in [-1, 1].
        targets: Content target, same shape and range; p in the paper.
        norm: `l2` takes squares, as the feature loss of Auto-painter (Liu et al., 2017).

    Returns:
        Scalar: the mean over all elements, where the paper writes the norm, so that the weight does
        not depend on the crop's size.
    """
    with torch.no_grad():
        target_features = features(targets)
    pairs = zip(features.layer_weights, features(generated), target_features, strict=True)
    distance = F.l1_loss if norm == "l1" else F.mse_loss
    terms = [weight * distance(ours.float(), target.float()) for weight, ours, target in pairs]
    return torch.stack(terms).sum()


def pixel_loss(generated: Tensor, targets: Tensor, photos: Tensor, ink_weight: float) -> Tensor:
    """L1 between G(p) and its target, with a higher weight on pixels with ink. Not in the paper.

    Plain L1 asks for the median of all plausible values of a pixel. A line that may be here or one
    pixel further has no ink in its median, so it would vanish. A higher weight for the rare class
    is the class balancing of Xie and Tu, "Holistically-Nested Edge Detection", 2015.

    Args:
        generated: G(p), (N, 3, H, W) in [-1, 1].
        targets: Target of G(p), same shape and range.
        photos: p, same shape and range; a pixel has ink where its target is darker than its photo.
        ink_weight: Additional weight of full ink on white; 0 gives plain L1.
    """
    return (
        (generated.float() - targets).abs() * _pixel_weights(targets, photos, ink_weight)
    ).mean()


def gradient_difference(
    generated: Tensor, targets: Tensor, photos: Tensor, ink_weight: float
) -> Tensor:
    """L1 between image gradients: flat areas stay flat, and lines stay sharp. Not in the paper.

    Source: the gradient difference loss of Mathieu et al., "Deep Multi-Scale Video Prediction
    Beyond Mean Square Error", 2016, here on signed differences.

    Args:
        generated: G(p), (N, 3, H, W) in [-1, 1].
        targets: Target of G(p), same shape and range.
        photos: p, same shape and range.
        ink_weight: As in `pixel_loss`.

    Returns:
        Scalar: the mean over vertical plus the mean over horizontal differences.
    """
    error = generated.float() - targets
    weights = _pixel_weights(targets, photos, ink_weight)
    vertical = error.diff(dim=2).abs() * weights[:, :, 1:]
    horizontal = error.diff(dim=3).abs() * weights[..., 1:]
    return vertical.mean() + horizontal.mean()


def color_loss(generated: Tensor, photos: Tensor) -> Tensor:
    """L1 between the mean colors of small areas, in YUV: a sky keeps its color. Not in the paper.

    Source: the color reconstruction loss of AnimeGAN (Chen et al., 2019), here on means over 8 x 8
    pixels, which leaves lines and texture free.

    Args:
        generated: G(p), (N, 3, H, W) in [-1, 1].
        photos: p, same shape and range.
    """
    generated_means = F.avg_pool2d(to_yuv(generated.float()), COLOR_AREA)
    return F.l1_loss(generated_means, F.avg_pool2d(to_yuv(photos), COLOR_AREA))


def style_loss(features: ContentFeatures, generated: Tensor, cartoons: Tensor) -> Tensor:
    """L1 between the Gram matrices of generated images and of cartoons. Not in the paper.

    Source: Gatys et al., "Image Style Transfer Using Convolutional Neural Networks", 2016, with
    cartoons that are unrelated to the photos as in AnimeGAN (Chen et al., 2019).

    Args:
        features: Pretrained network.
        generated: G(p), (N, 3, H, W) in [-1, 1].
        cartoons: c, same shape and range.
    """
    with torch.no_grad():
        target_grams = [_gram(layer) for layer in features(cartoons)]
    grams = [_gram(layer) for layer in features(generated)]
    pairs = zip(features.layer_weights, grams, target_grams, strict=True)
    return torch.stack([weight * F.l1_loss(ours, target) for weight, ours, target in pairs]).sum()


def total_variation(generated: Tensor) -> Tensor:
    """Mean absolute difference of neighboring pixels, which penalizes noise. Not in the paper.

    Source: Rudin et al., 1992; as a loss of a generator, Johnson et al., 2016.

    Args:
        generated: G(p), (N, 3, H, W).
    """
    generated = generated.float()
    return generated.diff(dim=2).abs().mean() + generated.diff(dim=3).abs().mean()


def stability_loss(
    generator: Callable[[Tensor], Tensor],
    photos: Tensor,
    cartoons: Tensor,
    perturbation: Perturbation,
) -> Tensor:
    """L1 between the cartoon of a perturbed photo and the equally warped cartoon of the photo.

    It teaches temporal consistency from still images. Not in the paper. Source: Wang et al.,
    "Consistent Video Style Transfer via Compound Regularization", 2020.

    Args:
        generator: G.
        photos: p, (N, 3, H, W) in [-1, 1].
        cartoons: G(p), same shape.
        perturbation: Perturbation for N images of this size.
    """
    perturbed = (perturbation.warp(photos) + perturbation.noise).clamp(-1, 1)
    difference = generator(perturbed).float() - perturbation.warp(cartoons.float())
    inner = difference[..., MARGIN:-MARGIN, MARGIN:-MARGIN]
    return F.avg_pool2d(inner, BLUR_SIZE, stride=1).abs().mean()


def equivariance_loss(
    generator: Callable[[Tensor], Tensor],
    photos: Tensor,
    cartoons: Tensor,
    shift: tuple[int, int],
) -> Tensor:
    """Mean squared difference between the cartoon of a shifted photo and the shifted cartoon.

    A network with stride draws an edge differently for each position relative to its grid (Zhang,
    "Making Convolutional Networks Shift-Invariant Again", 2019), which flickers in a video. Shifts
    by whole pixels need no interpolation, so that the comparison itself softens nothing, unlike in
    `stability_loss`. Not in the paper.

    Args:
        generator: G, for sides that are multiples of `GENERATOR_STRIDE`.
        photos: p, (N, 3, H, W) in [-1, 1].
        cartoons: G(p), same shape.
        shift: Shift up and left in pixels, each from 0 to 3.
    """
    height, width = (side - GENERATOR_STRIDE for side in photos.shape[2:])
    down, right = shift
    shifted = (..., slice(down, down + height), slice(right, right + width))
    difference = generator(photos[shifted]).float() - cartoons.float()[shifted]
    inner = difference[..., MARGIN:-MARGIN, MARGIN:-MARGIN]
    return inner.square().mean()


def _adversarial_term(logits: list[Tensor], label: float, objective: Objective) -> Tensor:
    """Distance of the discriminator's outputs from a label; every scale has the same weight."""
    loss = F.binary_cross_entropy_with_logits if objective == "bce" else F.mse_loss
    terms = [loss(scale.float(), torch.full_like(scale, label).float()) for scale in logits]
    return torch.stack(terms).mean()


def _pixel_weights(targets: Tensor, photos: Tensor, ink_weight: float) -> Tensor:
    """Weight of each pixel, (N, 1, H, W): 1, plus up to `ink_weight` where the target has ink."""
    ink = F.relu(photos - targets).mean(dim=1, keepdim=True) / 2  # 1 for black on white
    return 1 + ink_weight * ink


def _gram(layer: Tensor) -> Tensor:
    """Gram matrix of a feature map: (N, C, h, w) to (C, C), the mean over N, h and w."""
    # In half precision the sum over all positions would overflow.
    with torch.autocast(layer.device.type, enabled=False):
        flat = layer.float().transpose(0, 1).flatten(1)  # (C, N*h*w)
        return flat @ flat.T / flat.shape[1]
