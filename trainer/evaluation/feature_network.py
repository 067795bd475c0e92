"""The network whose features images are compared by: ResNet-50 up to stage 4.

Images go in; feature maps, and how similar two of them are, come out. Distances between sets of
features are in `trainer.evaluation.fid_kid`.

FID and KID are usually computed with features of Inception-v3; with another network they are other
numbers. So `FEATURE_NETWORK` is part of the name of every figure that is computed here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from toonvid.errors import TrainingError
from toonvid.video import Pixels
from trainer.data.images import to_tensor
from trainer.networks.content_features import (
    WEIGHTS_URLS,
    ResNetFeatures,
    is_torchvision,
    make_resnet,
)
from trainer.networks.weights import find_downloaded, read_weights

FEATURE_STAGE = 4

FEATURE_NETWORK = f"ResNet-50 stage {FEATURE_STAGE}"

WEIGHTS_URL = WEIGHTS_URLS["resnet50"]
"""torchvision's file, which `toonvid train` downloads."""


@dataclass(frozen=True)
class FeatureNetwork:
    """A network with its weights, whose features images are compared by."""

    network: ResNetFeatures
    name: str
    """Name that figures are printed with: other weights of the same network give other figures."""

    @torch.inference_mode()
    def maps(self, images: Pixels) -> Tensor:
        """Computes the feature maps of images.

        Args:
            images: Shape (N, H, W, 3), uint8, RGB.

        Returns:
            Shape (N, 1024, H / 16, W / 16), float32, 0 or more, on the network's device.
        """
        return self.network(to_tensor(images).to(self.network.get_buffer("mean").device))[-1]


def find_weights() -> Path | None:
    """Returns the weights that `toonvid train` has downloaded, or None if it has not."""
    return find_downloaded(WEIGHTS_URL)


def load_feature_network(weights: Path) -> FeatureNetwork:
    """Loads ResNet-50 up to stage 4, to the GPU if there is one.

    Args:
        weights: Weights with torchvision's names, as `toonvid train` downloads them, or with
            Caffe's and BatchNorm folded; safetensors or PyTorch's format.

    Raises:
        TrainingError: The file cannot be read, or holds another network.
    """
    values = read_weights(weights)
    name = f"{FEATURE_NETWORK}, torchvision" if is_torchvision(values) else FEATURE_NETWORK
    try:
        network = FeatureNetwork(make_resnet(values, FEATURE_STAGE).eval(), name)
        # Weights of the wrong shape are found by running the network, not by loading it.
        network.maps(np.zeros((1, 32, 32, 3), np.uint8))
    except (KeyError, RuntimeError) as error:
        reason = str(error).split("\n", 1)[0]
        raise TrainingError(f"{weights} does not hold a {FEATURE_NETWORK}: {reason}") from error
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network.network.to(device, memory_format=torch.channels_last)
    return network


def content_similarity(maps: Tensor, others: Tensor) -> Tensor:
    """Mean over all positions of the cosine between two feature vectors.

    The content loss compares features of a network at each position, too (Chen et al., 2018,
    equation 5), by their L1 distance. Here their directions are compared, as in equation 1 of
    Zhang et al., 2018 (LPIPS), so that contrast counts little.

    Args:
        maps: Feature maps, shape (N, C, H, W).
        others: Same shape.

    Returns:
        Shape (N,), from 0 to 1 for features that are not negative.
    """
    return F.cosine_similarity(maps, others, dim=1).mean(dim=(1, 2))
