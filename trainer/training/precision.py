"""Mixed precision: which arithmetic a device is fast at, and the switches for it."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import torch

from trainer.config import TrainPrecision

log = logging.getLogger(__name__)

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}


@dataclass(frozen=True)
class Precision:
    """The arithmetic of a run's convolutions. Weights, losses and statistics are float32."""

    device: torch.device
    name: str
    """f32, bf16 or f16."""

    def autocast(self) -> torch.autocast:
        """A context in which convolutions work in this precision; none at f32."""
        enabled = self.name != "f32"
        return torch.autocast(self.device.type, DTYPES[self.name] if enabled else None, enabled)

    def make_scaler(self) -> torch.amp.GradScaler:
        """What keeps float16 gradients from vanishing; it does nothing at the other precisions."""
        return torch.amp.GradScaler(self.device.type, enabled=self.name == "f16")


def choose_precision(asked: TrainPrecision, device: torch.device) -> Precision:
    """The precision that was asked for; for `auto` the best that the device is fast at."""
    if asked != "auto":
        return Precision(device, asked)
    if device.type == "cuda":
        name = "bf16" if torch.cuda.get_device_capability(device) >= (8, 0) else "f16"
    else:
        name = "bf16" if _has_bf16() else "f32"
    log.info("precision %s", name)
    return Precision(device, name)


def _has_bf16() -> bool:
    """Whether the processor multiplies bfloat16 by itself; elsewhere it is slower than float32."""
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
