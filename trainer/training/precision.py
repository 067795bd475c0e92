"""Mixed precision: arithmetic of the convolutions, and what goes with it.

In: the precision that was asked for, and a device. Out: a `Precision` that provides the autocast
context and the gradient scaler. Weights, losses and statistics are float32 in every precision.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass

import torch

from trainer.config import TrainPrecision

log = logging.getLogger(__name__)

_WITHOUT_TENSOR_CORES = re.compile(r"GTX 16\d\d|\bMX\d{3}\b|\bT\d{3,4}\b")
"""Names of GPUs of Turing without tensor cores; `T4` has some."""

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}


@dataclass(frozen=True)
class Precision:
    """Arithmetic of a run's convolutions."""

    device: torch.device
    """Device that the networks are on."""
    name: str
    """`f32`, `bf16` or `f16`."""

    def autocast(self) -> torch.autocast:
        """Return a context in which convolutions use this precision; it does nothing at f32."""
        enabled = self.name != "f32"
        return torch.autocast(self.device.type, DTYPES[self.name] if enabled else None, enabled)

    def make_scaler(self) -> torch.amp.GradScaler:
        """Create a gradient scaler, which does nothing except at f16.

        Gradients below 6e-8 are 0 in float16; bfloat16 has the range of float32 and needs none.
        """
        return torch.amp.GradScaler(self.device.type, enabled=self.name == "f16")


def choose_precision(asked: TrainPrecision, device: torch.device) -> Precision:
    """Choose the precision: as asked, or for `auto` the fastest that the device has natively."""
    if asked != "auto":
        return Precision(device, asked)
    if device.type == "cuda":
        capability = torch.cuda.get_device_capability(device)
        name = fastest_on_gpu(capability, torch.cuda.get_device_name(device))
    else:
        name = "bf16" if _has_bf16() else "f32"
    log.info("precision %s", name)
    return Precision(device, name)


def fastest_on_gpu(capability: tuple[int, int], gpu: str) -> str:
    """Return the fastest precision of a GPU: bf16 from Ampere on, which older ones emulate.

    Below it is f16 where there are tensor cores. Others are hardly faster at f16 than at f32, and
    those of Turing (GTX 16, T1000 and their relatives) are known for convolutions that give NaN
    (https://github.com/pytorch/pytorch/issues/58123).

    Args:
        capability: Compute capability, (major, minor).
        gpu: Name of the GPU, as PyTorch gives it.
    """
    if capability >= (8, 0):
        return "bf16"
    has_tensor_cores = capability >= (7, 0) and not _WITHOUT_TENSOR_CORES.search(gpu)
    return "f16" if has_tensor_cores else "f32"


def _has_bf16() -> bool:
    """Whether the CPU multiplies bfloat16 natively; elsewhere it is slower than float32."""
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
