"""Content networks: what the content loss compares pictures by.

The paper takes VGG-19 conv4_4. ResNet-50 is a departure: it is a tenth of the work, and its
stages 2 and 3 end where VGG's conv3 and conv4 do (stride 4 and 8).
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from toonvid.errors import TrainingError
from trainer.config import ContentNetworkName
from trainer.networks.weights import fetch_weights, read_weights

CAFFE_MEAN = (103.939, 116.779, 123.68)
"""Blue, green, red in levels: what the weights of ResNet-50 expect to be taken off."""

STAGE_BLOCKS = {2: "abc", 3: "abcd", 4: "abcdef"}
"""Stage -> names of its blocks, as in the weights' own names (`res3b_branch2a`)."""

TORCHVISION_MEAN = (0.485, 0.456, 0.406)
TORCHVISION_DEVIATION = (0.229, 0.224, 0.225)
"""Red, green, blue in 0..1: what the weights of torchvision expect."""
TORCHVISION_LEVELS = tuple(255 * mean for mean in reversed(TORCHVISION_MEAN))
"""The mean as Caffe's: blue, green, red in levels."""

VGG_LAYERS = (
    *(("conv", 0), ("conv", 2), ("pool", 4)),
    *(("conv", 5), ("conv", 7), ("pool", 9)),
    *(("conv", 10), ("conv", 12), ("conv", 14), ("conv", 16), ("pool", 18)),
    *(("conv", 19), ("conv", 21), ("conv", 23), ("conv", 25)),
)
"""Up to conv4_4, with their numbers in torchvision's `features`; a ReLU is between them."""

WEIGHTS_URLS: dict[ContentNetworkName, str] = {
    "vgg19": "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth",
    "resnet50": "https://download.pytorch.org/models/resnet50-0676ba61.pth",
}
"""torchvision's places. Each name holds the first figures of the file's SHA-256."""

TORCHVISION_MARK = "layer1.0.conv1.weight"
"""A weight that tells torchvision's ResNet-50 from Caffe's."""


class ContentFeatures(nn.Module):
    """A pretrained network, its weights frozen, that gives features of pictures."""

    layer_weights: tuple[float, ...]
    """Of each layer in the content loss."""

    def _take(self, weights: dict[str, Tensor], names: list[str]) -> None:
        """Take over the layers of these names.

        Raises:
            KeyError: A weight is missing.
        """
        for layer in names:
            for part in ("weight", "bias"):
                name = f"{layer}_{part}".replace(".", "_")
                self.register_buffer(name, weights[f"{layer}.{part}"].float())

    def _convolve(self, layer: str, x: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
        weight, bias = self.get_buffer(f"{layer}_weight"), self.get_buffer(f"{layer}_bias")
        return F.conv2d(x, weight, bias, stride, padding)


class ResNetFeatures(ContentFeatures):
    """ResNet-50 (He et al., 2016) from the picture to the end of a stage."""

    layer_weights = (0.5, 1.0)
    """Of stages 2 and 3: the coarser one says more about content."""

    def __init__(
        self,
        weights: dict[str, Tensor],
        last_stage: int = 3,
        mean: tuple[float, ...] = CAFFE_MEAN,
        late_stride: bool = False,
    ) -> None:
        """Take over weights.

        Args:
            weights: BatchNorm folded into the convolutions; names as in Caffe, layout OIHW.
            last_stage: 2 to 4; later stages are not run.
            mean: Blue, green, red in levels: what is taken off.
            late_stride: Whether a stage halves in its first block's 3x3, as torchvision's weights
                have it, or in the 1x1 before.

        Raises:
            KeyError: A weight is missing.
        """
        super().__init__()
        self._last_stage = last_stage
        self._late_stride = late_stride
        self._take(weights, _resnet_layers(last_stage))
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """Features of pictures (N, 3, H, W), RGB in [-1, 1].

        Returns:
            For stage 2, 3, 4 up to the last: (N, 256, H/4, W/4), (N, 512, H/8, W/8) and
            (N, 1024, H/16, W/16), not negative.
        """
        x = (pictures.flip(1) + 1) * 127.5 - self.mean
        x = F.relu(self._convolve("conv1", x, stride=2, padding=3))  # (N, 64, H/2, W/2)
        x = F.max_pool2d(F.pad(x, (1, 1, 1, 1)), kernel_size=3, stride=2)
        features = []
        for stage in range(2, self._last_stage + 1):
            for block in STAGE_BLOCKS[stage]:
                x = self._run_block(f"res{stage}{block}", x)
            features.append(x)
        return features

    def _run_block(self, name: str, x: Tensor) -> Tensor:
        """One bottleneck; the first of stages 3 and 4 halves height and width."""
        stride = 2 if name in ("res3a", "res4a") else 1
        skip = self._convolve(f"{name}_branch1", x, stride) if name.endswith("a") else x
        early, late = (1, stride) if self._late_stride else (stride, 1)
        x = F.relu(self._convolve(f"{name}_branch2a", x, early))
        x = F.relu(self._convolve(f"{name}_branch2b", x, late, padding=1))
        return F.relu(skip + self._convolve(f"{name}_branch2c", x))


class VggFeatures(ContentFeatures):
    """VGG-19 (Simonyan and Zisserman, 2015) from the picture to conv4_4, before its ReLU."""

    layer_weights = (1.0,)

    def __init__(self, weights: dict[str, Tensor]) -> None:
        """Take over weights named as torchvision's (`features.25.weight`).

        Raises:
            KeyError: A weight is missing.
        """
        super().__init__()
        self._take(weights, [f"features.{n}" for kind, n in VGG_LAYERS if kind == "conv"])
        self.register_buffer("mean", torch.tensor(TORCHVISION_MEAN).view(1, 3, 1, 1))
        self.register_buffer("deviation", torch.tensor(TORCHVISION_DEVIATION).view(1, 3, 1, 1))

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """conv4_4 of pictures (N, 3, H, W), RGB in [-1, 1]: one tensor (N, 512, H/8, W/8)."""
        x = ((pictures + 1) / 2 - self.mean) / self.deviation
        for place, (kind, number) in enumerate(VGG_LAYERS):
            if kind == "pool":
                x = F.max_pool2d(x, 2)
            else:
                x = self._convolve(f"features_{number}", x, padding=1)
                x = x if place == len(VGG_LAYERS) - 1 else F.relu(x)
        return [x]


def load_content_features(network: ContentNetworkName, weights: Path | None) -> ContentFeatures:
    """Load a content network.

    Args:
        network: Which one.
        weights: Its weights as safetensors or as PyTorch's .pth; None fetches torchvision's, once,
            into PyTorch's own cache.

    Raises:
        TrainingError: The file cannot be had or read, or holds another network.
    """
    values = read_weights(weights) if weights else fetch_weights(WEIGHTS_URLS[network])
    try:
        if network == "vgg19":
            return VggFeatures(values)
        if TORCHVISION_MARK not in values:
            return ResNetFeatures(values)
        return ResNetFeatures(fold_torchvision(values), mean=TORCHVISION_LEVELS, late_stride=True)
    except KeyError as error:
        wanted = "ResNet-50" if network == "resnet50" else "VGG-19"
        raise TrainingError(
            f"{weights} is not a {wanted} as toonvid reads it: no {error}"
        ) from error


def fold_torchvision(values: dict[str, Tensor]) -> dict[str, Tensor]:
    """torchvision's ResNet-50 with BatchNorm folded, under the names and for the input of Caffe's.

    Raises:
        KeyError: A weight is missing.
    """
    weights: dict[str, Tensor] = {}

    def fold(name: str, convolution: str, norm: str) -> None:
        gain = values[f"{norm}.weight"] / (values[f"{norm}.running_var"] + 1e-5).sqrt()
        weights[f"{name}.weight"] = values[f"{convolution}.weight"] * gain.view(-1, 1, 1, 1)
        weights[f"{name}.bias"] = values[f"{norm}.bias"] - values[f"{norm}.running_mean"] * gain

    fold("conv1", "conv1", "bn1")
    # It takes red, green, blue over their deviations: that is in the weights from here on.
    deviations = 255 * torch.tensor(TORCHVISION_DEVIATION).view(1, 3, 1, 1)
    weights["conv1.weight"] = (weights["conv1.weight"] / deviations).flip(1)
    for stage, blocks in STAGE_BLOCKS.items():
        for number, block in enumerate(blocks):
            ours, theirs = f"res{stage}{block}_branch", f"layer{stage - 1}.{number}"
            for place, letter in enumerate("abc", start=1):
                fold(f"{ours}2{letter}", f"{theirs}.conv{place}", f"{theirs}.bn{place}")
            if number == 0:
                fold(f"{ours}1", f"{theirs}.downsample.0", f"{theirs}.downsample.1")
    return weights


def _resnet_layers(last_stage: int) -> list[str]:
    """Every convolution up to the end of a stage."""
    names = ["conv1"]
    for stage in range(2, last_stage + 1):
        names += [f"res{stage}a_branch1"]
        names += [f"res{stage}{b}_branch2{c}" for b in STAGE_BLOCKS[stage] for c in "abc"]
    return names
