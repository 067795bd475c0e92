"""An engine of the paper's generator with random weights. No shipped style has this network."""

from __future__ import annotations

import copy
import hashlib
from pathlib import Path

import torch
from torch import nn

from toonvid.engine import Engine, EngineCard
from trainer.exporting.export import OPSET, to_onnx
from trainer.networks.paper import Generator, fold_batch_norm


def paper_engine(folder: Path) -> Engine:
    """Write `paper.onnx`, `paper.f16.onnx` and their card."""
    torch.manual_seed(0)
    generator = Generator().eval()
    for layer in generator.modules():  # initial weights would draw one gray
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")
    generator = fold_batch_norm(generator)
    half = copy.deepcopy(generator).half()
    files = {"paper.onnx": to_onnx(generator), "paper.f16.onnx": to_onnx(half)}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    card = EngineCard(
        style="paper",
        title="Paper",
        description="For tests.",
        sha256={name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
        parameters=0,
        multiply_adds_per_pixel=0,
        license="MIT",
        multiple_of=Generator.multiple_of,
        opset=OPSET,
    )
    (folder / "paper.json").write_text(card.to_json(), encoding="utf-8")
    return Engine(card, folder)
