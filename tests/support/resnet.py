"""Weights of a ResNet-50 with the right shapes, for tests of losses on its features."""

from __future__ import annotations

import torch
from torch import Tensor

from trainer.networks.content_features import STAGE_BLOCKS


def resnet_weights() -> dict[str, Tensor]:
    """Return weights up to stage 3, all of them 0."""
    shapes = {"conv1": (64, 3, 7, 7)}
    for stage, inner in ((2, 64), (3, 128)):
        for block in STAGE_BLOCKS[stage]:
            name = f"res{stage}{block}_branch"
            before = {"2a": 64, "3a": 256}.get(f"{stage}{block}", inner * 4)
            shapes[f"{name}2a"] = (inner, before, 1, 1)
            shapes[f"{name}2b"] = (inner, inner, 3, 3)
            shapes[f"{name}2c"] = (inner * 4, inner, 1, 1)
            if block == "a":
                shapes[f"{name}1"] = (inner * 4, before, 1, 1)
    weights = {f"{name}.weight": torch.zeros(shape) for name, shape in shapes.items()}
    return weights | {f"{name}.bias": torch.zeros(shape[0]) for name, shape in shapes.items()}


def torchvision_weights() -> dict[str, Tensor]:
    """Random weights of ResNet-50 with torchvision's names."""
    random = torch.Generator().manual_seed(0)
    weights: dict[str, Tensor] = {}

    def add(convolution: str, norm: str, filters: int, channels: int, size: int) -> None:
        deviation = (channels * size * size) ** -0.5
        shape = (filters, channels, size, size)
        weights[f"{convolution}.weight"] = torch.randn(shape, generator=random) * deviation
        for part in ("weight", "bias", "running_mean", "running_var"):
            weights[f"{norm}.{part}"] = torch.rand(filters, generator=random) + 0.5

    add("conv1", "bn1", 64, 3, 7)
    before = 64
    for stage, (inner, blocks) in enumerate(((64, 3), (128, 4), (256, 6)), start=1):
        for block in range(blocks):
            name = f"layer{stage}.{block}"
            add(f"{name}.conv1", f"{name}.bn1", inner, before, 1)
            add(f"{name}.conv2", f"{name}.bn2", inner, inner, 3)
            add(f"{name}.conv3", f"{name}.bn3", 4 * inner, inner, 1)
            if block == 0:
                add(f"{name}.downsample.0", f"{name}.downsample.1", 4 * inner, before, 1)
            before = 4 * inner
    return weights
