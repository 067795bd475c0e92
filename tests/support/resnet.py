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
