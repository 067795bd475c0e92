"""Tiny content weights for tests: the real file's layout, random values, few channels."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from trainer.networks.content_features import STAGE_BLOCKS

# Stage -> channels inside a block; its output has four times as many.
_INNER = {2: 4, 3: 6, 4: 8}


def write_resnet(path: Path, last_stage: int = 4) -> Path:
    """Write weights up to the end of a stage. They are the same every time."""
    random = torch.Generator().manual_seed(1)

    def layer(leaving: int, entering: int, side: int) -> tuple[Tensor, Tensor]:
        scale = (2 / (entering * side * side)) ** 0.5  # keeps the size of activations
        weight = torch.randn(leaving, entering, side, side, generator=random) * scale
        return weight, torch.randn(leaving, generator=random) * 0.1

    layers, before = {"conv1": layer(4, 3, 7)}, 4
    for stage in range(2, last_stage + 1):
        inner = _INNER[stage]
        for block in STAGE_BLOCKS[stage]:
            name = f"res{stage}{block}_branch"
            if block == "a":
                layers[f"{name}1"] = layer(inner * 4, before, 1)
            layers[f"{name}2a"] = layer(inner, before, 1)
            layers[f"{name}2b"] = layer(inner, inner, 3)
            layers[f"{name}2c"] = layer(inner * 4, inner, 1)
            before = inner * 4
    weights = {f"{name}.weight": weight.half() for name, (weight, _) in layers.items()}
    biases = {f"{name}.bias": bias.half() for name, (_, bias) in layers.items()}
    save_file(weights | biases, path)
    return path
