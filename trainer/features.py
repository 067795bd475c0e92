"""Content networks: what the content loss compares pictures by.

The paper takes VGG-19 conv4_4. Here it is ResNet-50, a departure: it is a tenth of the work, and
its stages 2 and 3 end where VGG's conv3 and conv4 do (stride 4 and 8).
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from toonvid.errors import TrainingError

IMAGENET_MEAN = (103.939, 116.779, 123.68)
"""Blue, green, red in levels: what these weights expect to be taken off."""

STAGE_BLOCKS = {2: "abc", 3: "abcd", 4: "abcdef"}
"""Stage -> names of its blocks, as in the weights' own names (`res3b_branch2a`)."""


class ContentFeatures(nn.Module):
    """ResNet-50 (He et al., 2016) from the picture to the end of a stage, its weights frozen."""

    def __init__(self, weights: dict[str, Tensor], last_stage: int = 3) -> None:
        """Take over weights.

        Args:
            weights: BatchNorm folded into the convolutions; names as in Caffe, layout OIHW.
            last_stage: 2 to 4; later stages are not run.

        Raises:
            KeyError: A weight is missing.
        """
        super().__init__()
        self._last_stage = last_stage
        for layer in _layer_names(last_stage):
            for part in ("weight", "bias"):
                self.register_buffer(f"{layer}_{part}", weights[f"{layer}.{part}"].float())
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1))

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
        x = F.relu(self._convolve(f"{name}_branch2a", x, stride))
        x = F.relu(self._convolve(f"{name}_branch2b", x, padding=1))
        return F.relu(skip + self._convolve(f"{name}_branch2c", x))

    def _convolve(self, layer: str, x: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
        weight, bias = self.get_buffer(f"{layer}_weight"), self.get_buffer(f"{layer}_bias")
        return F.conv2d(x, weight, bias, stride, padding)


def load_content_features(weights: Path) -> ContentFeatures:
    """Load ResNet-50 from a safetensors file.

    Raises:
        TrainingError: The file cannot be read, or holds another network.
    """
    try:
        return ContentFeatures(load_file(weights))
    except (OSError, SafetensorError) as error:
        raise TrainingError(f"cannot read the content weights {weights}: {error}") from error
    except KeyError as error:
        raise TrainingError(
            f"{weights} is not a ResNet-50 as toonvid reads it: no {error}"
        ) from error


def _layer_names(last_stage: int) -> list[str]:
    """Every convolution up to the end of a stage."""
    names = ["conv1"]
    for stage in range(2, last_stage + 1):
        names += [f"res{stage}a_branch1"]
        names += [f"res{stage}{b}_branch2{c}" for b in STAGE_BLOCKS[stage] for c in "abc"]
    return names
