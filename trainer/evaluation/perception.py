"""How pictures look to a network: ResNet-50 up to stage 4, and how alike it finds two of them.

Distances seen through another network, Inception say, are other numbers: `FEATURE_NET` is part of
the name of every figure that comes from here.
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

FEATURE_NET = f"ResNet-50 stage {FEATURE_STAGE}"


def load_feature_net(weights: Path) -> ResNetFeatures:
    """Load ResNet-50 up to stage 4, on the GPU if there is one.

    Raises:
        TrainingError: The file cannot be read, or holds another network.
    """
    try:
        network = ResNetFeatures(load_file(weights), FEATURE_STAGE).eval()
        feature_maps(network, torch.zeros(1, 32, 32, 3, dtype=torch.uint8).numpy())
    except (OSError, SafetensorError) as error:
        raise TrainingError(f"cannot read the content weights {weights}: {error}") from error
    except (KeyError, RuntimeError) as error:  # a weight is missing, or does not fit its neighbours
        reason = str(error).split("\n", 1)[0]
        raise TrainingError(f"{weights} does not hold a {FEATURE_NET}: {reason}") from error
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return network.to(device, memory_format=torch.channels_last)


@torch.inference_mode()
def feature_maps(network: ResNetFeatures, pictures: Pixels) -> Tensor:
    """Pictures (N, H, W, 3), uint8, RGB, to features (N, 1024, H/16, W/16), float32, 0 or more."""
    return network(to_tensor(pictures).to(network.get_buffer("mean").device))[-1]


def content_similarity(maps: Tensor, others: Tensor) -> Tensor:
    """How alike a network finds two pictures, place by place: cosine over channels, averaged.

    The features are those that a content loss compares (equation 5 of Chen et al., 2018); here by
    their direction, as in equation 1 of Zhang et al., 2018, so that contrast counts little.

    Args:
        maps: Feature maps, shape (N, C, H, W).
        others: Same shape.

    Returns:
        Shape (N,), from 0 to 1 for features that are not negative.
    """
    return F.cosine_similarity(maps, others, dim=1).mean(dim=(1, 2))
