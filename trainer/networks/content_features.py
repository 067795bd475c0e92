"""Content networks: pretrained networks whose features the content and style losses compare.

In: images (N, 3, H, W), RGB in [-1, 1]. Out: feature maps. The paper uses conv4_4 of VGG-19
(section 3.2.2). ResNet-50 is a departure: it takes a tenth of the time, and its stages 2 and 3 have
the strides of VGG's conv3 and conv4 (4 and 8).

Left out: reading and downloading of weights (`trainer.networks.weights`).
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from toonvid.errors import TrainingError
from trainer.config import ContentNetworkName
from trainer.networks.weights import download_weights, read_weights

CAFFE_MEAN = (103.939, 116.779, 123.68)
"""Mean of blue, green and red in levels, which Caffe's ResNet-50 expects to be subtracted."""

STAGE_BLOCKS = {2: "abc", 3: "abcd", 4: "abcdef"}
"""Stage -> names of its blocks, as in Caffe's names of the weights (`res3b_branch2a`)."""

TORCHVISION_MEAN = (0.485, 0.456, 0.406)
TORCHVISION_DEVIATION = (0.229, 0.224, 0.225)
"""Mean and standard deviation of red, green, blue in [0, 1] that torchvision's weights expect."""
TORCHVISION_LEVELS = tuple(255 * mean for mean in reversed(TORCHVISION_MEAN))
"""The same mean in Caffe's form: blue, green and red in levels."""

VGG_LAYERS = (
    *(("conv", 0), ("conv", 2), ("pool", 4)),
    *(("conv", 5), ("conv", 7), ("pool", 9)),
    *(("conv", 10), ("conv", 12), ("conv", 14), ("conv", 16), ("pool", 18)),
    *(("conv", 19), ("conv", 21), ("conv", 23), ("conv", 25)),
)
"""Layers up to conv4_4, with their indices in torchvision's `features`. A ReLU follows each
convolution except the last."""

WEIGHTS_URLS: dict[ContentNetworkName, str] = {
    "vgg19": "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth",
    "resnet50": "https://download.pytorch.org/models/resnet50-0676ba61.pth",
}
"""torchvision's files. Each name ends with the first digits of the file's SHA-256."""

WEIGHTS_SHA256: dict[ContentNetworkName, str] = {
    "vgg19": "dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44",
    "resnet50": "0676ba61b6795bbe1773cffd859882e5e297624d384b6993f7c9e683e722fb8a",
}
_WEIGHTS_MEGABYTES: dict[ContentNetworkName, int] = {"vgg19": 575, "resnet50": 103}

TORCHVISION_RESNET_WEIGHT = "layer1.0.conv1.weight"
"""Name of a weight that only torchvision's ResNet-50 has, and Caffe's has not."""


class ContentFeatures(nn.Module):
    """A pretrained network with frozen weights that computes feature maps of images."""

    layer_weights: tuple[float, ...]
    """Weight of each feature map in the losses."""

    def _register(self, weights: dict[str, Tensor], names: list[str]) -> None:
        """Register the weights of layers as buffers, which are moved along but not trained.

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
    """ResNet-50 (He et al., 2016) from the image to the end of a stage."""

    layer_weights = (0.5, 1.0)
    """Weights of stages 2 and 3: the coarser one represents more of the content."""

    def __init__(
        self,
        weights: dict[str, Tensor],
        last_stage: int = 3,
        mean: tuple[float, ...] = CAFFE_MEAN,
        late_stride: bool = False,
    ) -> None:
        """Create a network with given weights.

        Args:
            weights: Weights with BatchNorm folded into the convolutions; names as in Caffe, layout
                OIHW.
            last_stage: Last stage that is computed, from 2 to 4.
            mean: Mean of blue, green and red in levels, which is subtracted.
            late_stride: Whether the stride of a stage is in its first block's 3x3 convolution, as
                in torchvision, or in the 1x1 convolution before it, as in the publication.

        Raises:
            KeyError: A weight is missing.
        """
        super().__init__()
        self._last_stage = last_stage
        self._late_stride = late_stride
        self._register(weights, _resnet_layers(last_stage))
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> list[Tensor]:
        """Compute the features of images (N, 3, H, W), RGB in [-1, 1].

        Returns:
            The outputs of stages 2, 3 and 4 up to the last: (N, 256, H/4, W/4), (N, 512, H/8, W/8)
            and (N, 1024, H/16, W/16), not negative.
        """
        x = (images.flip(1) + 1) * 127.5 - self.mean  # RGB to BGR levels
        x = F.relu(self._convolve("conv1", x, stride=2, padding=3))  # (N, 64, H/2, W/2)
        x = F.max_pool2d(F.pad(x, (1, 1, 1, 1)), kernel_size=3, stride=2)
        features = []
        for stage in range(2, self._last_stage + 1):
            for block in STAGE_BLOCKS[stage]:
                x = self._run_block(f"res{stage}{block}", x)
            features.append(x)
        return features

    def _run_block(self, name: str, x: Tensor) -> Tensor:
        """Run a bottleneck block; the first one of stages 3 and 4 has stride 2."""
        stride = 2 if name in ("res3a", "res4a") else 1
        skip = self._convolve(f"{name}_branch1", x, stride) if name.endswith("a") else x
        early, late = (1, stride) if self._late_stride else (stride, 1)
        x = F.relu(self._convolve(f"{name}_branch2a", x, early))
        x = F.relu(self._convolve(f"{name}_branch2b", x, late, padding=1))
        return F.relu(skip + self._convolve(f"{name}_branch2c", x))


class VggFeatures(ContentFeatures):
    """VGG-19 (Simonyan and Zisserman, 2015) from the image to conv4_4, before its ReLU."""

    layer_weights = (1.0,)
    """One feature map, whose weight is omega of equation 2 alone."""

    def __init__(self, weights: dict[str, Tensor]) -> None:
        """Create a network with given weights, named as in torchvision (`features.25.weight`).

        Raises:
            KeyError: A weight is missing.
        """
        super().__init__()
        self._register(weights, [f"features.{n}" for kind, n in VGG_LAYERS if kind == "conv"])
        self.register_buffer("mean", torch.tensor(TORCHVISION_MEAN).view(1, 3, 1, 1))
        self.register_buffer("deviation", torch.tensor(TORCHVISION_DEVIATION).view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> list[Tensor]:
        """Compute conv4_4 of images (N, 3, H, W), RGB in [-1, 1]: one tensor (N, 512, H/8, W/8)."""
        x = ((images + 1) / 2 - self.mean) / self.deviation
        for index, (kind, number) in enumerate(VGG_LAYERS):
            if kind == "pool":
                x = F.max_pool2d(x, 2)
            else:
                x = self._convolve(f"features_{number}", x, padding=1)
                x = x if index == len(VGG_LAYERS) - 1 else F.relu(x)
        return [x]


def load_content_features(network: ContentNetworkName, weights: Path | None) -> ContentFeatures:
    """Load a content network.

    Args:
        network: Name of the network.
        weights: File of its weights, safetensors or PyTorch's .pth; None downloads torchvision's
            once, into PyTorch's own cache.

    Raises:
        TrainingError: The file cannot be downloaded or read, or holds another network.
    """
    if weights:
        values = read_weights(weights)
    else:
        size = _WEIGHTS_MEGABYTES[network]
        values = download_weights(WEIGHTS_URLS[network], WEIGHTS_SHA256[network], size)
    try:
        if network == "vgg19":
            return VggFeatures(values)
        return make_resnet(values)
    except KeyError as error:
        wanted = "ResNet-50" if network == "resnet50" else "VGG-19"
        raise TrainingError(
            f"{weights} is not a {wanted} as toonvid reads it: no {error}"
        ) from error


def make_resnet(values: dict[str, Tensor], last_stage: int = 3) -> ResNetFeatures:
    """Make ResNet-50 of weights under torchvision's names or Caffe's.

    Args:
        values: Weights by name. torchvision's have BatchNorm apart, and Caffe's have it folded.
        last_stage: Last stage that is computed, from 2 to 4.

    Raises:
        KeyError: A weight is missing.
    """
    if not is_torchvision(values):
        return ResNetFeatures(values, last_stage)
    folded = fold_torchvision(values)
    return ResNetFeatures(folded, last_stage, mean=TORCHVISION_LEVELS, late_stride=True)


def is_torchvision(values: dict[str, Tensor]) -> bool:
    """Whether weights of ResNet-50 have torchvision's names; Caffe's are the others."""
    return TORCHVISION_RESNET_WEIGHT in values


def fold_torchvision(values: dict[str, Tensor]) -> dict[str, Tensor]:
    """Convert torchvision's ResNet-50 to Caffe's names and input, with BatchNorm folded.

    Args:
        values: torchvision's weights by name.

    Returns:
        Weights as `ResNetFeatures` takes them.

    Raises:
        KeyError: A weight is missing.
    """
    weights: dict[str, Tensor] = {}

    def fold(name: str, convolution: str, norm: str) -> None:
        gain = values[f"{norm}.weight"] / (values[f"{norm}.running_var"] + 1e-5).sqrt()
        weights[f"{name}.weight"] = values[f"{convolution}.weight"] * gain.view(-1, 1, 1, 1)
        weights[f"{name}.bias"] = values[f"{norm}.bias"] - values[f"{norm}.running_mean"] * gain

    fold("conv1", "conv1", "bn1")
    # torchvision divides the input by its standard deviation, in RGB; move that into the weights.
    deviations = 255 * torch.tensor(TORCHVISION_DEVIATION).view(1, 3, 1, 1)
    weights["conv1.weight"] = (weights["conv1.weight"] / deviations).flip(1)
    for stage, blocks in STAGE_BLOCKS.items():
        for number, block in enumerate(blocks):
            ours, theirs = f"res{stage}{block}_branch", f"layer{stage - 1}.{number}"
            for index, letter in enumerate("abc", start=1):
                fold(f"{ours}2{letter}", f"{theirs}.conv{index}", f"{theirs}.bn{index}")
            if number == 0:
                fold(f"{ours}1", f"{theirs}.downsample.0", f"{theirs}.downsample.1")
    return weights


def _resnet_layers(last_stage: int) -> list[str]:
    """List the names of all convolutions up to the end of a stage."""
    names = ["conv1"]
    for stage in range(2, last_stage + 1):
        names += [f"res{stage}a_branch1"]
        names += [f"res{stage}{b}_branch2{c}" for b in STAGE_BLOCKS[stage] for c in "abc"]
    return names
