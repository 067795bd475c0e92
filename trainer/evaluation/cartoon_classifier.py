"""A linear classifier that tells art from photos, by the features of a network.

Images of art and photos go in; a classifier comes out, which says of a picture whether it is art.

Art and photos are files of other sizes, compressions and borders, by which they could be told
apart. So everything the classifier sees, in training and later, is first made alike
(`standard_view`). Whether blur, sharpening and other simple edits make art of a photo for it is
checked with `trainer.evaluation.edits`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from toonvid.errors import TrainingError
from toonvid.video import Pixels
from trainer.data.images import UnusableImageError, read_image, resize_to
from trainer.evaluation.feature_network import FeatureNetwork

log = logging.getLogger(__name__)

VIEW = 224
"""Side in pixels of what the classifier sees, as of the images that ResNet-50 was trained on."""
INSET = 0.04
"""Share of each side that is cut off first: scanned pages have margins, photos have frames."""
LEAST_SIDE = 244
"""Short side in pixels of the smallest image that it can see."""
JPEG_QUALITY = 75
"""Quality at which every view is compressed, whatever its file was."""
WEIGHT_DECAY = 1e-2
"""Weight of the squared weights in the loss: there are more features than images."""
ITERATIONS = 200
"""Most steps of L-BFGS."""
_BATCH = 16  # views that go through the network at once

Features = NDArray[np.float32]
"""Pooled features of views, shape (N, D)."""


@dataclass(frozen=True)
class CartoonClassifier:
    """A logistic regression on standardized features."""

    mean: Features
    """Shape (D,)."""
    scale: Features
    """Standard deviation, shape (D,)."""
    weights: Features
    """Shape (D,)."""
    bias: float
    art: int
    """Number of images of art that it has learned from."""
    photos: int
    """Number of photos that it has learned from."""

    def is_art(self, features: Features) -> NDArray[np.bool_]:
        """Whether each picture is art rather than a photo.

        Args:
            features: From `pool_features`, shape (N, D).

        Returns:
            Shape (N,).
        """
        return (features - self.mean) / self.scale @ self.weights + self.bias > 0


def standard_view(image: Pixels) -> Pixels:
    """Brings an image to the size, shape and compression that all others are brought to.

    The borders are cut off, the short side is reduced, a square is cut from the middle, and that is
    compressed as JPEG and read again.

    Args:
        image: Shape (H, W, 3), uint8, RGB.

    Returns:
        Shape (VIEW, VIEW, 3).

    Raises:
        UnusableImageError: The image is too small to be reduced; enlarging would blur it.
    """
    down, right = (round(INSET * side) for side in image.shape[:2])
    inner = image[down : image.shape[0] - down, right : image.shape[1] - right]
    height, width = inner.shape[:2]
    if min(height, width) < VIEW:
        raise UnusableImageError(f"{width} x {height} without its rim, smaller than {VIEW}")
    small = resize_to(inner, VIEW)
    top, left = ((side - VIEW) // 2 for side in small.shape[:2])
    square = small[top : top + VIEW, left : left + VIEW]
    bgr = cv2.cvtColor(square, cv2.COLOR_RGB2BGR)
    compressed = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
    return cv2.cvtColor(cv2.imdecode(compressed, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def pool_features(network: FeatureNetwork, views: Iterable[Pixels]) -> Features:
    """Computes the mean and the standard deviation of each feature over a view.

    Args:
        network: The network.
        views: From `standard_view`; at least one.

    Returns:
        Shape (N, D), with D twice the number of features of stage 4.
    """
    iterator, pooled = iter(views), []
    while batch := list(islice(iterator, _BATCH)):
        maps = network.maps(np.stack(batch))
        both = torch.cat([maps.mean(dim=(2, 3)), maps.std(dim=(2, 3))], dim=1)
        pooled.append(both.cpu().numpy())
    return np.concatenate(pooled)


def train_classifier(
    network: FeatureNetwork,
    art: Sequence[Path],
    photos: Sequence[Path],
    on_progress: Callable[[int], None] = lambda _: None,
) -> CartoonClassifier:
    """Learns to tell art from photos.

    Args:
        network: The network whose features are compared.
        art: Images of art; those that cannot be used are logged and left out.
        photos: As many photos.
        on_progress: Called with the number of images done.

    Raises:
        TrainingError: None of the art, or none of the photos, can be used.
    """
    of_art = pool_usable(network, art, "art", on_progress)
    of_photos = pool_usable(network, photos, "photos", lambda done: on_progress(len(art) + done))
    features = np.concatenate([of_art, of_photos])
    is_art = np.arange(len(features)) < len(of_art)
    mean, deviation = features.mean(axis=0), features.std(axis=0)
    scale = deviation + 1e-3 * deviation.mean() + 1e-12  # a feature may be 0 everywhere
    inputs = torch.from_numpy((features - mean) / scale).double()
    weights, bias = _fit(inputs, torch.from_numpy(is_art).double())
    return CartoonClassifier(
        mean=mean,
        scale=scale,
        weights=weights.float().numpy(),
        bias=bias,
        art=len(of_art),
        photos=len(of_photos),
    )


def pool_usable(
    network: FeatureNetwork,
    paths: Sequence[Path],
    kind: str,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Features:
    """Computes the pooled features of the images that can be used, and logs the others.

    Args:
        network: The network.
        paths: Files of images.
        kind: `art` or `photos`, for messages.
        on_progress: Called with the number of images done.

    Returns:
        Shape (N, D), with N the number of images that can be used.

    Raises:
        TrainingError: None can be used.
    """
    reason = "there are none"

    def views() -> Iterator[Pixels]:
        nonlocal reason
        for done, path in enumerate(paths, 1):
            try:
                yield standard_view(read_image(path))
            except UnusableImageError as error:
                log.warning("skipped %s: %s", path, error)
                reason = f"{path}: {error}"
            on_progress(done)

    usable = views()
    first = next(usable, None)
    if first is None:
        raise TrainingError(f"the cartoon classifier can use none of the {kind}; {reason}")
    return pool_features(network, chain([first], usable))


def _fit(inputs: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, float]:
    """Fits a logistic regression: inputs (N, D), targets (N,) of 0 and 1."""
    weights = torch.zeros(inputs.shape[1], dtype=torch.double, requires_grad=True)
    bias = torch.zeros(1, dtype=torch.double, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weights, bias], max_iter=ITERATIONS, line_search_fn="strong_wolfe"
    )

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        error = F.binary_cross_entropy_with_logits(inputs @ weights + bias, targets)
        total = error + WEIGHT_DECAY * weights.square().sum()
        total.backward()
        return total

    optimizer.step(loss)
    return weights.detach(), float(bias.detach())
