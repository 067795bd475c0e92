"""The network whose features images are compared by: ResNet-50 up to stage 4.

Images go in; feature maps, and how similar two of them are, come out. Distances between sets of
features are in `trainer.evaluation.fid_kid`.

FID and KID are usually computed with features of Inception-v3; with another network they are other
numbers. So `FEATURE_NETWORK` is part of the name of every figure that is computed here.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from toonvid.errors import TrainingError
from toonvid.video import Pixels
from trainer.data.images import to_tensor
from trainer.networks.content_features import ResNetFeatures

FEATURE_STAGE = 4

FEATURE_NETWORK = f"ResNet-50 stage {FEATURE_STAGE}"


def load_feature_network(weights: Path) -> ResNetFeatures:
    """Loads ResNet-50 up to stage 4, to the GPU if there is one.

    Args:
        weights: safetensors file with Caffe's names of the weights.

    Raises:
        TrainingError: The file cannot be read, or holds another network.
    """
    try:
        network = ResNetFeatures(load_file(weights), FEATURE_STAGE).eval()
        # Weights of the wrong shape are found by running the network, not by loading it.
        feature_maps(network, torch.zeros(1, 32, 32, 3, dtype=torch.uint8).numpy())
    except (OSError, SafetensorError) as error:
        raise TrainingError(f"cannot read the content weights {weights}: {error}") from error
    except (KeyError, RuntimeError) as error:
        reason = str(error).split("\n", 1)[0]
        raise TrainingError(f"{weights} does not hold a {FEATURE_NETWORK}: {reason}") from error
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return network.to(device, memory_format=torch.channels_last)


@torch.inference_mode()
def feature_maps(network: ResNetFeatures, images: Pixels) -> Tensor:
    """Computes the feature maps of images.

    Args:
        network: From `load_feature_network`.
        images: Shape (N, H, W, 3), uint8, RGB.

    Returns:
        Shape (N, 1024, H / 16, W / 16), float32, 0 or more, on the network's device.
    """
    return network(to_tensor(images).to(network.get_buffer("mean").device))[-1]


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
